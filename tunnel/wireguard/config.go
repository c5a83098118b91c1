package wireguard

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"syscall"
	"time"

	"warren/tunnel"
	"warren/tunnel/tun"
	"warren/tunnel/wireguard/protocol"
)

// Bounds of [LinkConfig].
const (
	MinKeepalive = 50 * time.Millisecond
	MaxDeadAfter = 10 * time.Minute
	DefaultMTU   = 1420                            // leaves room for the outer headers of both families in 1500
	MaxMTU       = maxDatagram - protocol.Overhead // of its device
)

// Control prepares a socket before it is bound, as [net.ListenConfig.Control] does: it
// marks it, or ties it to an interface.
type Control func(network, address string, c syscall.RawConn) error

// Config is what all links of a router share.
type Config struct {
	PrivateKey protocol.PrivateKey
	Control    Control      // for all sockets; may be nil
	Logger     *slog.Logger // nil discards
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
	Wait(queue int) error
	TryRead(queue int, p []byte) (int, error)
	Write(frame []byte) error
	Close() error
}

// LinkConfig is one tunnel.
type LinkConfig struct {
	Name         string // of the peer
	PublicKey    protocol.PublicKey
	PresharedKey protocol.PresharedKey // all zeros: none
	Remotes      []string              // host:port, tried in order; none: wait for the peer
	// Keepalive is how long nothing is sent before an empty packet is. 0 sends none
	// but those that the protocol wants.
	Keepalive time.Duration
	// DeadAfter is how long nothing may come from the peer; at least twice the
	// keepalive of both ends, which the peer must have set. 0 is for a peer of which
	// that is not known: the tunnel then goes down when its session cannot be renewed.
	DeadAfter time.Duration
	Device    Device             // closed when Run returns
	Events    func(tunnel.Event) // must not block; may be nil
}

func (c *LinkConfig) check() error {
	if c.Device == nil {
		return errors.New("no device")
	}
	if mtu := c.Device.MTU(); mtu > MaxMTU {
		return fmt.Errorf("mtu %d: at most %d", mtu, MaxMTU)
	}
	for _, r := range c.Remotes {
		host, port, err := net.SplitHostPort(r)
		if err != nil || host == "" || port == "" {
			return fmt.Errorf("remote %q: want host:port, with brackets around an IPv6 address", r)
		}
	}
	if c.Keepalive != 0 && c.Keepalive < MinKeepalive {
		return fmt.Errorf("keepalive %v: at least %v, or none", c.Keepalive, MinKeepalive)
	}
	if c.DeadAfter != 0 && (c.Keepalive == 0 || c.DeadAfter < 2*c.Keepalive || c.DeadAfter > MaxDeadAfter) {
		return fmt.Errorf("dead_after %v: at least twice the keepalive of %v, and at most %v", c.DeadAfter, c.Keepalive, MaxDeadAfter)
	}
	return nil
}
