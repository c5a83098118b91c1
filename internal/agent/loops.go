package agent

import (
	"fmt"

	"warren/bgp"
	"warren/internal/config"
	"warren/internal/status"
)

// loopHints is about prefixes that do not get where they are wanted because routers share an
// AS number, a router ID or a cluster ID.
func (l *loop) loopHints(neighbors map[string]bgp.NeighborStatus) (hints []status.Hint) {
	for _, cfg := range l.peers() {
		n := l.mostLooped(cfg.Name, neighbors)
		for _, text := range []string{
			l.loopedText(cfg, n.Looped.ByAS, "path has our own AS", l.cfg.ASN, n.Looped.Last,
				fmt.Sprintf("spokes that share an AS number need as_override = true at the hub, or allow_own_as = %d here", cfg.BGP.AllowOwnAS+1)),
			l.loopedText(cfg, n.Looped.ByOriginator, "originator has our own router ID", l.cfg.RouterID, n.Looped.Last,
				"give each router a router_id of its own"),
			l.loopedText(cfg, n.Looped.ByCluster, "way here has our own cluster ID", cfg.BGP.ClusterID, n.Looped.Last,
				"give each router that reflects a cluster_id of its own, or each client a session with each of them"),
			l.withheldText(cfg, n.Withheld),
		} {
			if text != "" {
				hints = append(hints, status.Hint{Peer: cfg.Name, Text: text})
			}
		}
	}
	return hints
}

// rivalHints is about addresses that this router has assigned to a peer, and another router to another one.
func (l *loop) rivalHints(neighbors map[string]bgp.NeighborStatus) (hints []status.Hint) {
	for _, cfg := range l.peers() {
		r := l.rivalOf(cfg.Name, neighbors)
		if r.Prefixes == 0 {
			continue
		}
		also := ""
		if r.Prefixes > 1 {
			also = fmt.Sprintf(" (and %d more)", r.Prefixes-1)
		}
		hints = append(hints, status.Hint{Peer: cfg.Name, Text: fmt.Sprintf(
			"%s announces %v%s, which is assigned to peer %s here and to another router there, with the router ID %v: two routers cannot have one address; correct assign in one of the two",
			cfg.Name, r.First, also, peerOf(r.Holder), r.RouterID)})
	}
	return hints
}

// rivalOf is bgp.Rival of that of a peer's sessions in which it is the most.
func (l *loop) rivalOf(peer string, neighbors map[string]bgp.NeighborStatus) (most bgp.Rival) {
	if p := l.m.peers[peer]; p != nil {
		for _, a := range p.attachments {
			if r := neighbors[a.name].Rival; r.Prefixes > most.Prefixes {
				most = r
			}
		}
	}
	return most
}

// mostLooped returns the status of that of a peer's sessions in which the most is held back:
// in all of them the same is.
func (l *loop) mostLooped(peer string, neighbors map[string]bgp.NeighborStatus) (most bgp.NeighborStatus) {
	p := l.m.peers[peer]
	if p == nil {
		return most
	}
	held := func(n bgp.NeighborStatus) int {
		return n.Looped.ByAS + n.Looped.ByOriginator + n.Looped.ByCluster + n.Withheld
	}
	for _, a := range p.attachments {
		if n := neighbors[a.name]; held(n) > held(most) {
			most = n
		}
	}
	return most
}

// loopedText is about prefixes that have been here before, and that there is no other route to.
func (l *loop) loopedText(cfg config.Peer, n int, what string, own any, last, mend string) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%s announces %s whose %s %v, and there is no other route to %s: %s (the last: %s)",
		cfg.Name, prefixCount(n), what, own, itOrThem(n), mend, last)
}

// withheldText is about prefixes that export lets out and the peer is not sent.
func (l *loop) withheldText(cfg config.Peer, n int) string {
	switch {
	case n == 0:
		return ""
	case cfg.BGP.ASN == l.cfg.ASN:
		return fmt.Sprintf("%s of other peers in our own AS %d %s not announced to %s, which is to hear %s from those themselves (iBGP): "+
			"if it has no session with each of them, set route_reflector_client = true in the file of either",
			prefixCount(n), l.cfg.ASN, isAre(n), cfg.Name, itOrThem(n))
	default:
		return fmt.Sprintf("%s of other peers in AS %d %s not announced to %s, which is in AS %[2]d too and would refuse %[5]s as a loop: "+
			"set as_override = true in its file, or give each an AS number of its own",
			prefixCount(n), cfg.BGP.ASN, isAre(n), cfg.Name, itOrThem(n))
	}
}

func prefixCount(n int) string {
	if n == 1 {
		return "1 prefix"
	}
	return fmt.Sprintf("%d prefixes", n)
}

func isAre(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

func itOrThem(n int) string {
	if n == 1 {
		return "it"
	}
	return "them"
}
