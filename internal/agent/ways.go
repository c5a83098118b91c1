package agent

import (
	"context"
	"net/netip"
	"slices"

	"warren/internal/fib"
	"warren/internal/status"
)

// What `warren status --routes` is answered with is bounded: by so many prefixes, and by so many ways to them, of
// which the last prefix may have more. A way takes some 150 bytes of the answer.
const (
	maxRoutesShown = 10_000
	maxWaysShown   = 40_000
)

// waysOf is the answer to `warren status --routes`: of a prefix; of one address, the longest
// prefix that it is in; of the zero prefix, all. The loop is not held up by sorting.
func (l *loop) waysOf(ctx context.Context, of netip.Prefix) (r status.Routes, err error) {
	var prefixes []netip.Prefix
	if err := l.ask(ctx, func(context.Context) { prefixes = l.state.prefixesOf(of) }); err != nil {
		return r, err
	}
	slices.SortFunc(prefixes, comparePrefix)
	more := max(len(prefixes)-maxRoutesShown, 0)
	prefixes = prefixes[:len(prefixes)-more]
	err = l.ask(ctx, func(context.Context) {
		links := map[string]*attachment{}
		l.m.all(func(a *attachment) { links[a.name] = a })
		r = l.state.shownRoutes(prefixes, links, maxWaysShown)
	})
	r.More += more
	return r, err
}

// shownRoutes returns the ways to prefixes, but those of the last ones where there are most before or more. links are
// the attachments by the names of their neighbors.
func (s *state) shownRoutes(prefixes []netip.Prefix, links map[string]*attachment, most int) status.Routes {
	r, sum := status.Routes{Routes: []status.Route{}}, 0
	for i, p := range prefixes {
		if sum >= most {
			r.More = len(prefixes) - i
			break
		}
		if ways := s.shownWays(p, links); len(ways) > 0 {
			r.Routes = append(r.Routes, status.Route{Prefix: p.String(), Ways: ways})
			sum += len(ways)
		}
	}
	return r
}

// prefixesOf returns the learned prefixes, and the addresses of peers, that are asked for, in no order.
func (s *state) prefixesOf(of netip.Prefix) (found []netip.Prefix) {
	if !of.IsValid() {
		for p := range s.learned.All() {
			found = append(found, p)
		}
		for p := range s.assigned {
			if !s.learned.Has(p) {
				found = append(found, p)
			}
		}
		return found
	}
	if s.learned.Has(of) || s.assigned[of] != nil || !of.IsSingleIP() {
		return append(found, of)
	}
	for bits := of.Bits() - 1; bits >= 0; bits-- {
		if p := netip.PrefixFrom(of.Addr(), bits).Masked(); s.learned.Has(p) {
			return append(found, p)
		}
	}
	return nil
}

// shownWays returns the ways to a prefix, and what each is to it now. links are the attachments by the names of
// their neighbors.
func (s *state) shownWays(p netip.Prefix, links map[string]*attachment) (ways []status.Way) {
	sum := 0
	all := desiredFor(s, p).Ways
	waits := s.waits(all)
	leads := map[string]bool{} // what is used: several peers on a network may have named one gateway
	for _, way := range all {
		a := links[way.Neighbor]
		if a == nil {
			continue
		}
		shown := status.Way{
			Peer: a.peer.name, Interface: way.Interface, Link: a.cfg.Link, Weight: max(way.Weight, 1), State: s.wayState(way, sum > 0, waits),
		}
		if to := usedName(way); shown.State == status.WayUsed && leads[to] {
			shown.State = status.WayReserve
		} else if shown.State == status.WayUsed {
			sum, leads[to] = sum+shown.Weight, true
		}
		ways = append(ways, shown)
	}
	for i := range ways {
		if ways[i].State == status.WayUsed {
			ways[i].Share = float64(ways[i].Weight) / float64(sum)
		}
	}
	return ways
}

// waits reports whether those of the ways wait whose neighbors are late: there are others.
func (s *state) waits(all []fib.Way) bool {
	return slices.ContainsFunc(all, func(w fib.Way) bool { return !s.down[w.Interface] && !s.late[w.Neighbor] })
}

// wayState is what a way is, where others before it are used or are not, and late ones wait or do
// not: fib.Change has the rule.
func (s *state) wayState(way fib.Way, others, waits bool) string {
	switch {
	case s.down[way.Interface]:
		return status.WayDown
	case way.Reserve && others || waits && s.late[way.Neighbor]:
		return status.WayReserve
	}
	return status.WayUsed
}
