package kernelwg

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

// KeyLen is the length of each key in bytes.
const KeyLen = 32

// Keys are what the two ends of a tunnel know one another by (Curve25519, and for both together a preshared key, which may
// be all zeros: there is none).
type Keys struct {
	PrivateKey    [KeyLen]byte // of this end
	PeerPublicKey [KeyLen]byte
	PresharedKey  [KeyLen]byte
}

// Public returns the public key of this end.
func (k Keys) Public() [KeyLen]byte { return wgtypes.Key(k.PrivateKey).PublicKey() }

// Control is how the kernel is asked about its devices; a [wgctrl.Client] does that.
type Control interface {
	ConfigureDevice(name string, c wgtypes.Config) error
	Device(name string) (*wgtypes.Device, error)
	Close() error
}

// OpenControl returns the kernel's, in the network namespace of the calling thread. The interface must exist, as the kernel
// may have no module for WireGuard loaded before.
func OpenControl() (Control, error) {
	c, err := wgctrl.New()
	if err != nil {
		return nil, fmt.Errorf("kernelwg: %w", err)
	}
	return c, nil
}

// Session is what the kernel knows of the peer.
type Session struct {
	Remote    netip.AddrPort // where it is on the underlay; invalid: not known
	Handshake time.Time      // when the last one was completed; zero: none was
	Port      uint16         // of this end
}

// all are the addresses that the peer may send from, and is sent to.
func all() []net.IPNet {
	return []net.IPNet{
		{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)},
		{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)},
	}
}

// device is one interface, as the kernel is to have it.
type device struct {
	control   Control
	name      string
	keys      Keys
	port      uint16        // 0: the kernel's choice
	mark      int           // of the packets that leave
	keepalive time.Duration // an empty packet is sent after; 0: none is
}

// configure has the kernel know the peer, which is at remote; invalid: where it is known to be, or it comes. With renew
// the peer is made again: its session ends, and a handshake begins at once if the device has a keepalive. The kernel
// forgets with it when the last handshake of the peer's was made, so that an old one is accepted once more.
func (d *device) configure(remote netip.AddrPort, renew bool) error {
	private, preshared := wgtypes.Key(d.keys.PrivateKey), wgtypes.Key(d.keys.PresharedKey)
	peer := wgtypes.PeerConfig{
		PublicKey: d.keys.PeerPublicKey, PresharedKey: &preshared, PersistentKeepaliveInterval: &d.keepalive,
		ReplaceAllowedIPs: true, AllowedIPs: all(),
	}
	if remote.IsValid() {
		peer.Endpoint = net.UDPAddrFromAddrPort(remote)
	}
	c := wgtypes.Config{PrivateKey: &private, FirewallMark: &d.mark, ReplacePeers: renew, Peers: []wgtypes.PeerConfig{peer}}
	if d.port != 0 {
		port := int(d.port)
		c.ListenPort = &port
	}
	if err := d.control.ConfigureDevice(d.name, c); err != nil {
		return fmt.Errorf("kernelwg: configure %s: %w", d.name, err)
	}
	return nil
}

// adopt goes on with the peer that the interface has, if it is this one alone, and else begins without any.
func (d *device) adopt() error {
	have, err := d.control.Device(d.name)
	if err != nil {
		return fmt.Errorf("kernelwg: look at %s: %w", d.name, err)
	}
	same := have.PrivateKey == wgtypes.Key(d.keys.PrivateKey) && len(have.Peers) == 1 &&
		have.Peers[0].PublicKey == wgtypes.Key(d.keys.PeerPublicKey) && have.Peers[0].PresharedKey == wgtypes.Key(d.keys.PresharedKey)
	return d.configure(netip.AddrPort{}, !same)
}

// session looks at the peer. Without the peer there is an error, and the port.
func (d *device) session() (s Session, err error) {
	have, err := d.control.Device(d.name)
	if err != nil {
		return s, fmt.Errorf("kernelwg: look at %s: %w", d.name, err)
	}
	s.Port = uint16(have.ListenPort)
	for _, p := range have.Peers {
		if p.PublicKey != wgtypes.Key(d.keys.PeerPublicKey) {
			continue
		}
		s.Handshake = p.LastHandshakeTime
		if e := p.Endpoint; e != nil {
			at := e.AddrPort()
			s.Remote = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
		}
		return s, nil
	}
	return s, fmt.Errorf("kernelwg: look at %s: %w", d.name, errNoPeer)
}

var errNoPeer = errors.New("the peer was taken out of it")
