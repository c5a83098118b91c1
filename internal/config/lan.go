package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
)

// MaxPassword is how long a password of a BGP session may be, in bytes (Linux,
// TCP_MD5SIG_MAXKEYLEN).
const MaxPassword = 80

// LAN is where a peer is that is reached without a tunnel: on a network that this host has an
// address in. The zero LAN is that of a peer that is reached by tunnels.
type LAN struct {
	Address      netip.Addr // of the peer, without a zone, unlike every other peer's
	Interface    string     // that BGP keeps to; "": any; always set with a link-local IPv6 address
	PasswordFile string     // absolute; "": none
	Password     Secret     // signs the session (TCP MD5), 1 to MaxPassword bytes; nil: none
	TTLSecurity  bool       // what was forwarded is not taken (RFC 5082)
}

// IsSet reports whether the peer is reached without a tunnel.
func (l LAN) IsSet() bool { return l.Address.IsValid() }

// SamePlace reports whether l and o are one address, and one interface.
func (l LAN) SamePlace(o LAN) bool { return len(l.PlacedBy(o)) == 0 }

// Equal reports whether l and o make the same session, wherever the password was read from.
func (l LAN) Equal(o LAN) bool { return l.SamePlace(o) && len(l.SecuredBy(o)) == 0 }

// lanKeys are those that only a peer without a tunnel has.
func (raw *rawPeerBGP) lanKeys() []interface{ isGiven() (place, bool) } {
	return []interface{ isGiven() (place, bool) }{&raw.Address, &raw.Interface, &raw.PasswordFile, &raw.TTLSecurity}
}

// refuseLAN reports the keys that are for a peer without a tunnel.
func (l *loader) refuseLAN(raw *rawPeerBGP) {
	for _, k := range raw.lanKeys() {
		if at, given := k.isGiven(); given {
			l.fail(at, "is for a peer that is reached without a tunnel, and this one has [tunnel]: leave one of the two out")
		}
	}
}

// wantsLAN reports whether the file is of a peer without a tunnel, be it right or not.
func (raw *rawPeer) wantsLAN() bool {
	if len(raw.Tunnels.v) > 0 {
		return false
	}
	if raw.BGP.Address.state == faulty {
		return true
	}
	for _, k := range raw.BGP.lanKeys() {
		if _, given := k.isGiven(); given {
			return true
		}
	}
	return false
}

// lan makes a LAN of what a peer's file says, which has no tunnel.
func (l *loader) lan(raw *rawPeerBGP) LAN {
	lan := LAN{Interface: raw.Interface.v, TTLSecurity: raw.TTLSecurity.v}
	if raw.Interface.state == given {
		if err := checkInterface(lan.Interface); err != nil {
			l.fail(raw.Interface.place, "%q %v", lan.Interface, err)
		}
	}
	switch raw.Address.state {
	case absent:
		l.fail(raw.Address.place, "is required without [tunnel]: the peer's address on a network that this host has an address in")
	case given:
		a, err := parseNeighbor(raw.Address.v)
		switch {
		case err != nil:
			l.fail(raw.Address.place, "%q %v", raw.Address.v, err)
		case a.Is6() && a.IsLinkLocalUnicast() && raw.Interface.state == absent:
			l.fail(raw.Interface.place, "is required with the link-local address %v: the name of the interface that the peer is behind, such as eth0", a)
		default:
			lan.Address = a
		}
	}
	lan.PasswordFile, lan.Password = l.password(raw.PasswordFile)
	return lan
}

// parseNeighbor reads the address of a peer on a network of this host.
func parseNeighbor(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	switch {
	case err != nil:
		return a, errors.New("is not an address, such as 192.0.2.2 or 2001:db8::2")
	case a.Zone() != "":
		return a, fmt.Errorf("has a zone: write %v, and interface = %q", a.WithZone(""), a.Zone())
	case a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return a, errors.New("is the broadcast address")
	}
	return a, checkHost(netip.PrefixFrom(a, a.BitLen()), a)
}

// password reads the file of a password, which is its first line.
func (l *loader) password(v value[string]) (file string, password Secret) {
	if v.state != given {
		return "", nil
	}
	file = l.resolve(v.v)
	data, err := l.read(file, private)
	if err == nil {
		password, err = parsePassword(data)
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w; write the password there, in one line, the same as at the peer", err)
	}
	if err != nil {
		l.fail(v.place, "%s: %v", file, err)
		return "", nil
	}
	return file, password
}

// parsePassword reads the contents of a password file. The error does not repeat them.
func parsePassword(data []byte) (Secret, error) {
	line := bytes.TrimRight(data, "\r\n")
	switch {
	case len(line) == 0:
		return nil, errors.New("nothing is there; it must be one line with the password")
	case bytes.ContainsAny(line, "\r\n\x00"):
		return nil, errors.New("there is more than one line, or a zero byte; it must be one line with the password")
	case len(line) > MaxPassword:
		return nil, fmt.Errorf("the password has %d bytes; allowed are 1 to %d", len(line), MaxPassword)
	}
	return line, nil
}

// checkLANs checks that no two peers are at one address, and that none is behind a tunnel
// of this router's own. The peers are sorted, and the later of two is reported.
func (l *loader) checkLANs(drafts []draft) {
	tunnels := tunnelsOf(drafts)
	for i, d := range drafts {
		lan, raw := d.peer.BGP.LAN, &d.raw.BGP
		if !lan.IsSet() {
			continue
		}
		const taken = "%v is the address of %s already; the neighbors' routes would replace one another: each peer needs its own"
		for _, first := range drafts[:i] {
			if first.peer.BGP.LAN.Address == lan.Address {
				l.fail(raw.Address.place, taken, lan.Address, first.peer.File)
			}
		}
		for _, t := range tunnels {
			if t.PeerAddress == lan.Address {
				l.fail(raw.Address.place, taken, lan.Address, t.peer.File)
			}
			if lan.Interface != "" && lan.Interface == t.Interface {
				l.fail(raw.Interface.place, "%q is the tunnel of %s; name an interface of this host, behind which the peer is", lan.Interface, t.peer.File)
			}
		}
	}
}

// warnLANs is about peers that are not on a network of this host.
func (l *loader) warnLANs(c *Config, hosts []HostInterface) {
	for i := range c.Peers {
		lan := c.Peers[i].BGP.LAN
		if !lan.IsSet() {
			continue
		}
		at, where := c.Peers[i].raw.BGP.Address.place, "of this host"
		if lan.Interface != "" {
			where = "of interface " + lan.Interface
		}
		var inside, own []string
		for _, h := range hosts {
			for _, a := range h.Addresses {
				switch {
				case a.Addr() == lan.Address:
					own = append(own, h.Name)
				case a.Contains(lan.Address) && (lan.Interface == "" || lan.Interface == h.Name):
					inside = append(inside, h.Name)
				}
			}
		}
		switch {
		case len(own) > 0:
			l.fail(at, "%v is an address of this host, of its interface %s; set the peer's", lan.Address, strings.Join(slices.Compact(own), ", "))
		case len(inside) == 0:
			l.fail(at, "%v is in no network %s: there is no session until it is, as a peer without [tunnel] is reached without another router", lan.Address, where)
		}
	}
}
