package external

import (
	"fmt"
	"net/netip"

	"warren/tunnel"
)

// Sight is what there is to see of an interface at one moment.
type Sight struct {
	Index     int // 0: there is no such interface
	MTU       int // bytes
	Up        bool
	Running   bool // has a carrier, as far as its driver can tell (RFC 2863's operational state)
	Broadcast bool // an Ethernet segment or the like
	Addresses []netip.Prefix

	// The interface's own counters, which begin again when it is made again.
	// Drops are errors too, in both directions.
	RxBytes, TxBytes, RxPackets, TxPackets, Drops uint64
}

func (s Sight) stats() tunnel.Stats {
	return tunnel.Stats{RxBytes: s.RxBytes, TxBytes: s.TxBytes, RxPackets: s.RxPackets, TxPackets: s.TxPackets, Drops: s.Drops}
}

// problem says why the interface cannot carry anything, or nothing. own is that nobody else has made it.
func (s Sight) problem(name string, own bool) string {
	switch {
	case s.Index == 0:
		return fmt.Sprintf("interface %s does not exist (yet)", name)
	case s.Broadcast:
		return fmt.Sprintf("interface %s is an Ethernet segment, not a point-to-point link: use a tunnel without Ethernet in it (tun, WireGuard, GRE, IPIP)", name)
	case !s.Up && own:
		return fmt.Sprintf("interface %s is down: it is set up again", name)
	case !s.Up:
		return fmt.Sprintf("interface %s is down: whoever made it has to set it up", name)
	case !s.Running:
		return fmt.Sprintf("interface %s has no carrier: whatever works it is not running", name)
	}
	return ""
}
