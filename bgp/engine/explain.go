package engine

import (
	"cmp"
	"net/netip"
	"slices"

	"warren/bgp"
	"warren/bgp/judge"
)

// Explain says what became of the routes to a prefix, and to which neighbors one is sent. It takes as
// long as there are neighbors, and is for people: a judge is asked what it knows, and the
// policy once more why.
func (s *Speaker) Explain(q bgp.Question) bgp.Explanation {
	e := bgp.Explanation{Prefix: q.Of}
	if q.Address {
		e.Prefix, e.Refused = s.longest(q.Of.Addr())
	}
	if !e.Prefix.IsValid() {
		return e
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, e.Local = s.announced[e.Prefix]
	e.Candidates = s.candidatesLocked(e.Prefix)
	if all := len(e.Candidates); all > bgp.MaxCandidates {
		e.Candidates = shortened(e.Candidates, &q)
		e.More = all - len(e.Candidates)
	}
	e.Exports = s.exportsLocked(e.Prefix, e.Local)
	return e
}

// shortened leaves candidates out: the last ones, and, where one is asked about, others before it. The best
// stays.
func shortened(all []bgp.Candidate, q *bgp.Question) []bgp.Candidate {
	if q.From != "" {
		slices.SortStableFunc(all[1:], func(a, b bgp.Candidate) int { return trueLast(!q.IsFrom(a.Neighbor), !q.IsFrom(b.Neighbor)) })
	}
	return all[:bgp.MaxCandidates]
}

// longest returns the longest prefix that an address is in and that is in use, or, if there is none,
// the longest that neighbors announce; and those that are longer and announced.
func (s *Speaker) longest(a netip.Addr) (p netip.Prefix, refused []netip.Prefix) {
	s.mu.Lock()
	var conns []*peerConn
	for _, n := range s.neighbors {
		if n.session.conn != nil {
			conns = append(conns, n.session.conn)
		}
	}
	announced := map[netip.Prefix]bool{} // whether it is in use
	for bits := a.BitLen(); bits >= 0; bits-- {
		own, _ := a.Prefix(bits) // the length fits
		if _, ok := s.announced[own]; ok {
			announced[own] = true
		}
	}
	s.mu.Unlock()
	for _, c := range conns {
		c.covering(a, announced)
	}
	var all []netip.Prefix
	for p := range announced {
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b netip.Prefix) int { return cmp.Compare(b.Bits(), a.Bits()) })
	at := slices.IndexFunc(all, func(p netip.Prefix) bool { return announced[p] })
	switch {
	case at >= 0:
		return all[at], all[:at]
	case len(all) > 0:
		return all[0], nil
	}
	return p, nil
}

// covering notes the prefixes that an address is in and the peer announces, and which are in use.
func (c *peerConn) covering(a netip.Addr, announced map[netip.Prefix]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended != nil {
		return
	}
	c.judge.EachCovering(a, func(p netip.Prefix, is judge.Seen) {
		announced[p] = announced[p] || is == judge.SeenAccepted
	})
}

// look is what the peer's judge knows of a prefix.
func (c *peerConn) look(p netip.Prefix) judge.Sight {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended != nil {
		return judge.Sight{}
	}
	return c.judge.Look(p)
}

// candidatesLocked are those of bgp.Explanation.
func (s *Speaker) candidatesLocked(p netip.Prefix) []bgp.Candidate {
	type found struct {
		candidate
		shown bgp.Candidate
	}
	var good []found
	var refused []bgp.Candidate
	for _, n := range s.neighbors {
		is := judge.Sight{}
		if n.session.conn != nil {
			is = n.session.conn.look(p)
		}
		c, ok := s.shownLocked(n, p, is)
		switch {
		case !ok:
		case c.Verdict == bgp.VerdictBest:
			good = append(good, found{candidate{n: n, attrs: is.Attributes}, c})
		default:
			refused = append(refused, c)
		}
	}
	slices.SortFunc(good, func(a, b found) int {
		c, _ := a.compare(&b.candidate, s.cfg.ASN)
		return cmp.Or(c, byNumber(a.n, b.n)) // as in waysLocked
	})
	if best := slices.IndexFunc(good, func(f found) bool { return f.n == s.rib.bestOf(p) }); best > 0 {
		first := good[best]
		good = slices.Insert(slices.Delete(good, best, best+1), 0, first)
	}
	slices.SortFunc(refused, func(a, b bgp.Candidate) int { return cmp.Compare(a.Neighbor, b.Neighbor) })
	var used, reserve []bgp.Candidate
	for i := range good {
		c := good[i].shown
		if i == 0 || good[i].equal(&good[0].candidate, s.cfg.ASN) {
			used = append(used, c)
			continue
		}
		c.Verdict = bgp.VerdictReserve
		_, c.Step = good[0].compare(&good[i].candidate, s.cfg.ASN)
		reserve = append(reserve, c)
	}
	return slices.Concat(used, reserve, refused)
}

// shownLocked says what became of a prefix of n's, of which its judge knows what is. ok is false if
// n does not announce it.
func (s *Speaker) shownLocked(n *neighbor, p netip.Prefix, is judge.Sight) (c bgp.Candidate, ok bool) {
	c = bgp.Candidate{Neighbor: n.Name, Stale: is.Stale}
	switch is.Seen {
	case judge.SeenAccepted:
		c.Verdict = bgp.VerdictBest
	case judge.SeenFiltered:
		c.Verdict = bgp.VerdictFiltered
		_, c.Reason = n.Import.Accepts(p, s.protected)
		switch {
		case c.Reason.Kind == bgp.ReasonMartian:
			c.Verdict = bgp.VerdictMartian
		case c.Reason.Protected():
			c.Verdict = bgp.VerdictOwn
		}
	case judge.SeenWaiting:
		c.Verdict = bgp.VerdictLimited
	case judge.SeenLooped:
		c.Verdict = bgp.VerdictLooped
		c.Loop = map[judge.Loop]bgp.Loop{judge.LoopAS: bgp.LoopAS, judge.LoopOriginator: bgp.LoopOriginator, judge.LoopCluster: bgp.LoopCluster}[is.Loop]
		return c, true
	case judge.SeenInvalid:
		c.Verdict, c.Text = bgp.VerdictInvalid, is.Text
		return c, true
	default:
		if n.heldFor() <= 0 || !n.hold.tooMany {
			return c, false
		}
		c.Verdict, c.Hard = bgp.VerdictLimited, true
		ok, _ := n.Import.Accepts(p, s.protected)
		return c, ok
	}
	c.Origin = [...]string{"igp", "egp", "incomplete"}[min(is.Attributes.Origin, 2)]
	c.Path, c.LocalPref, c.MED = is.Attributes.PathText(), is.Attributes.LocalPref, is.Attributes.MED
	c.NextHop, c.Communities = is.NextHop, is.Communities
	return c, true
}

// exportsLocked are those of bgp.Explanation. local says that the prefix originates here.
func (s *Speaker) exportsLocked(p netip.Prefix, local bool) (all []bgp.Export) {
	from := s.rib.bestOf(p)
	for _, n := range s.neighbors {
		e := bgp.Export{Neighbor: n.Name, Withheld: s.exportLocked(n, from, p, local)}
		if from != nil && !local {
			e.From = from.Name
		}
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b bgp.Export) int { return cmp.Compare(a.Neighbor, b.Neighbor) })
	return all
}

func (s *Speaker) exportLocked(n, from *neighbor, p netip.Prefix, local bool) bgp.Withheld {
	switch {
	case n.session.shown() != stateEstablished:
		return bgp.WithheldSession
	case s.deferring:
		return bgp.WithheldDeferred
	}
	var sends [2]bool // by family
	for f, hop := range s.hopsLocked(n) {
		sends[f] = hop.ok
	}
	switch {
	case !local:
		return s.whyWithheldLocked(n, from, p, sends)
	case !sends[familyOf(p)]:
		return bgp.WithheldNextHop
	case !n.Export.Matches(p, true):
		return bgp.WithheldExport
	}
	return bgp.Sent
}
