package agent

import (
	"net/netip"
	"slices"

	"warren/bgp"
	"warren/internal/config"
	"warren/internal/fib"
)

// state is what desired decides from. The loop owns it.
type state struct {
	learned   map[netip.Prefix]string // best routes: the neighbor (peer's name) each came from
	up        map[string]*config.Peer // the peers whose tunnels are up, by name
	protected *bgp.Protected          // what no neighbor may take

	unreachable []netip.Prefix // what must never take another way, each once
	noIPv6      bool           // the kernel has none
	kept        memory         // what must not while the peer is gone that it was learned from
}

func newState() state {
	return state{learned: map[netip.Prefix]string{}, up: map[string]*config.Peer{}, kept: newMemory()}
}

// desired says which routes the kernel should have: every learned prefix
// leaves by the tunnel of the neighbor it came from. The way out is the
// session, not the next hop, because a tunnel has exactly one peer. Beneath are the
// unreachable ones, which count where no other route of the same prefix is left.
//
// The speaker refuses what is protected itself; it is left out here as well,
// because a prefix becomes local (an address is added) before the speaker has
// taken its routes back.
func desired(s state) []fib.Route {
	routes := make([]fib.Route, 0, len(s.learned))
	for prefix, neighbor := range s.learned {
		p, up := s.up[neighbor]
		if !up {
			continue
		}
		if s.protected.Concerns(prefix) {
			if ok, _ := policy(p.BGP.Import).Accepts(prefix, s.protected); !ok {
				continue
			}
		}
		routes = append(routes, fib.Route{Prefix: prefix, Interface: p.Tunnel.Interface})
	}
	return append(routes, nowhere(s)...)
}

// nowhere is the part of desired that leads nowhere: beneath other routes it does
// nothing, and it takes over by itself when they go. What was learned, and is inside
// something of this router's own by now, would hide a part of that.
func nowhere(s state) []fib.Route {
	routes := make([]fib.Route, 0, len(s.unreachable)+len(s.kept.prefixes))
	for _, prefix := range s.unreachable {
		if s.noIPv6 && isIPv6(prefix) {
			continue // nothing can go there
		}
		routes = append(routes, fib.Route{Prefix: prefix})
	}
	for prefix := range s.kept.prefixes {
		if s.noIPv6 && isIPv6(prefix) {
			continue
		}
		if !slices.Contains(s.unreachable, prefix) && !s.protected.Concerns(prefix) {
			routes = append(routes, fib.Route{Prefix: prefix})
		}
	}
	return routes
}

// unreachable is what must never take another way than its own. These are the
// networks that are at home: a packet to a part of one that no route leads to
// belongs nowhere else, neither to the Internet nor, by a learned default route, to a
// peer, which would send it back. A network that is connected as a whole needs none.
func unreachable(networks, connected []netip.Prefix) (prefixes []netip.Prefix) {
	for _, n := range networks {
		if atHome(n) && !slices.Contains(connected, n) {
			prefixes = append(prefixes, n)
		}
	}
	return prefixes
}

// announced is what this router offers: the configured networks, the prefixes
// that redistribute found, each once.
func announced(networks, locals []netip.Prefix) []netip.Prefix {
	all := slices.Concat(networks, locals)
	slices.SortFunc(all, comparePrefix)
	return slices.Compact(all)
}

func comparePrefix(a, b netip.Prefix) int {
	if c := a.Addr().Compare(b.Addr()); c != 0 {
		return c
	}
	return a.Bits() - b.Bits()
}
