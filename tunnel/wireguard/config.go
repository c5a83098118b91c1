package wireguard

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"syscall"
	"time"

	"warren/tunnel"
	"warren/tunnel/internal/remote"
	"warren/tunnel/tun"
	"warren/tunnel/wireguard/flow"
	"warren/tunnel/wireguard/liveness"
	"warren/tunnel/wireguard/protocol"
)

// Bounds of [LinkConfig].
const (
	MinKeepalive = 20 * time.Millisecond
	MinDeadAfter = 50 * time.Millisecond
	MaxDeadAfter = 10 * time.Minute
	DefaultMTU   = 1420                                 // leaves room for the outer headers of both families in 1500
	MaxMTU       = flow.MaxDatagram - protocol.Overhead // of its device
)

// Config is what all links of a router share.
type Config struct {
	PrivateKey protocol.PrivateKey // the router's own, see [Endpoint.SetPrivateKey], towards peers without [Keys.PrivateKey]
	// Control returns what prepares a socket before it is bound, as
	// [net.ListenConfig.Control] does: it marks the socket, and ties it to an interface
	// if underlay, which is LinkConfig.Underlay, is not empty. May be nil if no link
	// has an underlay.
	Control func(underlay string) func(network, address string, c syscall.RawConn) error
	// Now is the clock by which keys get old and peers are silent. It should go on while
	// the machine sleeps. Date is the date of a time that it returned. If they are nil,
	// it is [time.Now], which stops then.
	Now  func() time.Time
	Date func(time.Time) time.Time
	// Listens is told each UDP port that packets leave from, before any does, and Leaves each from which none does any
	// more, before another program can have it. They must not block; nil: nobody is told.
	Listens, Leaves func(port uint16)
	Resume          *EndpointHandover // what the program before has left; nil: nothing. See DropInherited
	Logger          *slog.Logger      // nil discards
}

// Device is the interface at this end of a tunnel; [tun.Device] is one, and says what
// the methods do.
type Device interface {
	Name() string
	MTU() int
	Queues() int
	Offload() tun.Offload
	SetOffload(tun.Offload) error
	SetCarrier(up bool) error
	SetMTU(int) error
	flow.Device
	Close() error
}

// limited is a Device by which packets go that another transport carries.
type limited interface {
	// SetLimit says how large packets may be that the link carries, in bytes, each time that this is another. It may be less than
	// the MTU, which is never below what IPv6 demands.
	SetLimit(bytes int)
}

// LinkConfig is one tunnel.
type LinkConfig struct {
	Name string // of the tunnel
	Peer string // which all tunnels to one router have in common; "": there is no other
	// Keys are those that the peer is known by, see [Link.SetKeys]. PrivateKey, PublicKey and
	// PresharedKey are another way to write that there is one of them.
	Keys         []Keys
	PrivateKey   protocol.PrivateKey
	PublicKey    protocol.PublicKey
	PresharedKey protocol.PresharedKey
	Remotes      []string // host:port; none: wait for the peer
	// RandomOrder has the remotes tried in another order each time, instead of as they are.
	RandomOrder bool
	// ReturnToFirst has the first of the remotes take over when it has been good for a while.
	ReturnToFirst bool
	// ConnectTimeout is how long the addresses of one remote have for an answer to a handshake
	// before those of the next are tried; 0 is [remote.DefaultConnectTimeout].
	ConnectTimeout time.Duration
	// Underlay is the interface that this link's packets leave by; "" follows the
	// host's routes.
	Underlay string
	// Keepalive is how long nothing is sent before an empty packet is, and how long
	// nothing may come from the peer before it is asked for a sign of life. 0 sends
	// none but those that the protocol wants.
	Keepalive time.Duration
	// DeadAfter is how long nothing may come from the peer, at least twice the
	// keepalive. 0 is for ever: the tunnel then goes down when its session cannot be
	// renewed, and Keepalive is what wg(8) calls persistent-keepalive.
	DeadAfter time.Duration
	// Probe asks a silent peer with ICMP echoes to PeerAddress inside the tunnel. It
	// needs DeadAfter, and CAP_NET_RAW. Without, the peer must send keepalives, of at
	// most half of DeadAfter, as another Warren does.
	Probe       bool
	PeerAddress netip.Addr // its zone is ignored: echoes leave by Device
	// LocalAddress is this end's in the tunnel. With it and PeerAddress, which then are of one
	// family, the link finds out how large packets pass where larger ones vanish.
	LocalAddress netip.Addr
	// AddressesOf is instead of LocalAddress and PeerAddress, where they depend on the keys in
	// use. May be nil.
	AddressesOf func(local, peer tunnel.Identity) (own, far netip.Addr)
	Marking     Marking            // of outer packets, until [Link.SetMarking]
	Paths       Paths              // for what is sent to the peer; may be nil
	Device      Device             // closed when Run returns
	Events      func(tunnel.Event) // must not block; may be nil

	// Assign are the addresses that the peer is to have, which it is told if it is another Warren
	// and asks; at most [tunnel.MaxAssigned]. Offered is called with those that the peer assigns
	// to this end, as it said, when it has been asked, which takes LocalAddress and
	// PeerAddress: after each Event with which the tunnel comes up, with none if the
	// peer says nothing. It must not block; nil does not ask.
	Assign  []netip.Addr
	Offered func([]netip.Addr)
	// Meetings is told how the secret of an invitation is replaced, if the last of the keys are of one, each of them derived by DeriveSecret. It
	// must not block; may be nil.
	Meetings func(tunnel.Meeting)
	// Lost is told this tunnel's ID when the tunnel goes down because this end has no way to the peer any more, and PeerLost that of a
	// tunnel which went down so at the peer, as it says: another one with it, or none. Neither may block; may be nil. See lost.go.
	Lost, PeerLost func(tunnel.SessionID)
	Resume         *Handover // the tunnel is up already, as the program before has left it; nil: it is not
}

func (c *LinkConfig) liveness() liveness.Config {
	return liveness.Config{Keepalive: c.Keepalive, DeadAfter: c.DeadAfter, Probe: c.Probe}
}

func (c *LinkConfig) check() error {
	if c.Device == nil {
		return errors.New("no device")
	}
	if mtu := c.Device.MTU(); mtu > MaxMTU {
		return fmt.Errorf("mtu %d: at most %d", mtu, MaxMTU)
	}
	if c.Probe && (!c.PeerAddress.IsValid() && c.AddressesOf == nil || c.DeadAfter == 0) {
		return errors.New("a probe needs the peer's address and dead_after")
	}
	if err := remote.Check(c.Remotes); err != nil {
		return err
	}
	if len(c.Assign) > tunnel.MaxAssigned {
		return fmt.Errorf("%d addresses for the peer: at most %d", len(c.Assign), tunnel.MaxAssigned)
	}
	if c.Keepalive != 0 && c.Keepalive < MinKeepalive {
		return fmt.Errorf("keepalive %v: at least %v, or none", c.Keepalive, MinKeepalive)
	}
	if c.DeadAfter != 0 && (c.Keepalive == 0 || c.DeadAfter < max(MinDeadAfter, 2*c.Keepalive) || c.DeadAfter > MaxDeadAfter) {
		return fmt.Errorf("dead_after %v: at least %v and twice the keepalive of %v, and at most %v", c.DeadAfter, MinDeadAfter, c.Keepalive, MaxDeadAfter)
	}
	return nil
}
