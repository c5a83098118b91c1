package agent

import (
	"fmt"
	"net/netip"
)

// The two ends of a tunnel derive a pair of IPv6 addresses, and BGP is spoken between those.
// For an end that has no IPv6 they derive a pair of IPv4 addresses beside:
//
//  1. The end without IPv6, which finds that out by itself, dials and listens there only.
//  2. The end with IPv6 cannot know, and begins with IPv6. It has its IPv4 address too, and
//     listens there. A connection of the peer's says that the peer has no IPv6: this end
//     goes over to IPv4 for this session of the tunnel. With the next it begins again.
//
// So nothing has to be told, and whatever the two believe of one another, whoever dials over
// IPv4 is heard. Prefixes of both families travel in a session over either.

func isIPv6(p netip.Prefix) bool { return p.Addr().Is6() }

// noIPv6Hint is about networks that cannot be reached here.
func (l *loop) noIPv6Hint() string {
	var networks []string
	for _, n := range l.cfg.Announce.Networks {
		if isIPv6(n) {
			networks = append(networks, n.String())
		}
	}
	if !l.state.noIPv6 || len(networks) == 0 {
		return ""
	}
	return fmt.Sprintf("this kernel has no IPv6, so that %s not announced: take IPv6 out of [announce] networks, "+
		"or turn it on (ipv6.disable on the kernel's command line)", few(networks)+isOrAre(networks))
}
