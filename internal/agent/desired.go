package agent

import (
	"net/netip"
	"slices"

	"warren/internal/fib"
)

// state is what desired decides from. The loop owns it.
type state struct {
	learned map[netip.Prefix]string // best routes: the neighbor (peer's name) each came from
	up      map[string]string       // interfaces of the tunnels that are up, by peer
	local   map[netip.Prefix]bool   // own networks and connected prefixes
}

func newState() state {
	return state{learned: map[netip.Prefix]string{}, up: map[string]string{}, local: map[netip.Prefix]bool{}}
}

// desired says which routes the kernel should have: every learned prefix
// leaves by the tunnel of the neighbor it came from. The way out is the
// session, not the next hop, because a tunnel has exactly one peer.
//
// The speaker refuses local prefixes itself; they are left out here as well,
// because a prefix becomes local (an address is added) before the speaker has
// taken its routes back.
func desired(s state) []fib.Route {
	routes := make([]fib.Route, 0, len(s.learned))
	for prefix, neighbor := range s.learned {
		ifname, up := s.up[neighbor]
		if !up || s.local[prefix] {
			continue
		}
		routes = append(routes, fib.Route{Prefix: prefix, Interface: ifname})
	}
	return routes
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

// localPrefixes is what no neighbor may give us: our own networks and what is
// connected. Tunnels' own prefixes are connected too and stay in: a peer must
// not attract the traffic to another tunnel's far end.
func localPrefixes(networks, connected []netip.Prefix) map[netip.Prefix]bool {
	local := make(map[netip.Prefix]bool, len(networks)+len(connected))
	for _, p := range networks {
		local[p] = true
	}
	for _, p := range connected {
		local[p] = true
	}
	return local
}
