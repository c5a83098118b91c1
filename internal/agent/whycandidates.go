package agent

import (
	"fmt"
	"slices"
	"strings"

	"warren/bgp"
	"warren/internal/status"
)

// candidates are those that the speaker knows, and the sides from which nothing can come now.
func (x *explainer) candidates() (all []status.WhyCandidate) {
	best := slices.IndexFunc(x.is.Candidates, func(c bgp.Candidate) bool { return c.Verdict == bgp.VerdictBest && !x.isDown(c.Neighbor) })
	for i := range x.is.Candidates {
		c := &x.is.Candidates[i]
		s := x.side(c.Neighbor)
		if s == nil || x.q.From != "" && s.peer.Name != x.q.From {
			continue
		}
		out := x.shown(c, s)
		switch c.Verdict {
		case bgp.VerdictBest, bgp.VerdictReserve:
			x.compared(&out, c, s, best)
		default:
			out.Reason, out.By = x.refusal(c, s)
		}
		all = append(all, out)
	}
	return append(all, x.unreachable()...)
}

func (x *explainer) side(neighbor string) *side {
	for i := range x.sides {
		if x.sides[i].name == neighbor {
			return &x.sides[i]
		}
	}
	return nil
}

func (x *explainer) isDown(neighbor string) bool {
	s := x.side(neighbor)
	return s == nil || !s.up || x.down[s.ifname]
}

// shown is a candidate but for why.
func (x *explainer) shown(c *bgp.Candidate, s *side) status.WhyCandidate {
	out := status.WhyCandidate{
		Peer: s.peer.Name, Interface: s.ifname, Link: s.link, Verdict: string(c.Verdict),
		Origin: c.Origin, ASPath: c.Path, LocalPref: c.LocalPref, MED: c.MED, Communities: append([]string{}, c.Communities...), Stale: c.Stale,
	}
	if c.NextHop.IsValid() {
		out.NextHop = c.NextHop.String()
	}
	return out
}

// label names a candidate among others.
func (x *explainer) label(neighbor string) string {
	s := x.side(neighbor)
	if s == nil {
		return peerOf(neighbor)
	}
	if neighbor != s.peer.Name {
		return fmt.Sprintf("%s (%s)", s.peer.Name, s.ifname)
	}
	return s.peer.Name
}

// compared says of a route that could be used why it is the best, or is not. best is the place of the
// first that is and can be used, or less than 0.
func (x *explainer) compared(out *status.WhyCandidate, c *bgp.Candidate, s *side, best int) {
	switch {
	case x.isDown(c.Neighbor):
		out.Verdict, out.Reason = string(bgp.VerdictUnreachable), x.noWay(s)
	case c.Verdict == bgp.VerdictReserve && best >= 0:
		out.Step = string(c.Step)
		out.Reason = fmt.Sprintf("that of %s is preferred by %s", x.label(x.is.Candidates[best].Neighbor), stepText(c.Step))
		if first := x.side(x.is.Candidates[best].Neighbor); s.drained && first != nil && !first.drained {
			out.Reason = fmt.Sprintf("%s, so that it is used only where there is no other way; %s", s.orders, out.Reason)
		}
	case c.Verdict == bgp.VerdictReserve:
		if out.Reason = "those that are preferred cannot be used now"; x.used[s.ifname] || x.used[s.ifname+" "+out.NextHop] {
			out.Verdict = string(bgp.VerdictBest)
		}
	default:
		if out.Reason, out.Step = x.winner(c); s.drained {
			out.Reason += "; used though " + s.orders + ", as no other way is better"
		}
	}
}

// winner says why a route is the best.
func (x *explainer) winner(c *bgp.Candidate) (reason, step string) {
	var equal []string
	for _, other := range x.is.Candidates {
		switch {
		case other.Neighbor == c.Neighbor:
		case other.Verdict == bgp.VerdictBest && !x.isDown(other.Neighbor):
			equal = append(equal, x.label(other.Neighbor))
		case other.Verdict == bgp.VerdictReserve && step == "" && !x.isDown(other.Neighbor):
			step = string(other.Step)
			reason = fmt.Sprintf("preferred to that of %s by %s", x.label(other.Neighbor), stepText(other.Step))
		}
	}
	if len(equal) > 0 {
		shares := "shares the traffic with " + strings.Join(equal, ", ") + ", as the routes are equal"
		if reason == "" {
			return shares, step
		}
		return reason + "; " + shares, step
	}
	if reason == "" {
		reason = "the only route that can be used"
	}
	return reason, step
}

// stepText is the name of a step of the decision.
func stepText(s bgp.Step) string {
	switch s {
	case bgp.StepStale:
		return "LLGR_STALE (RFC 9494 section 4.3)"
	case bgp.StepLocalPref:
		return "LOCAL_PREF, the degree of preference (RFC 4271 section 9.1.1)"
	case bgp.StepASPath:
		return "AS_PATH length (RFC 4271 section 9.1.2.2 a)"
	case bgp.StepOrigin:
		return "ORIGIN (RFC 4271 section 9.1.2.2 b)"
	case bgp.StepMED:
		return "MULTI_EXIT_DISC (RFC 4271 section 9.1.2.2 c)"
	case bgp.StepEBGP:
		return "eBGP before iBGP (RFC 4271 section 9.1.2.2 d)"
	case bgp.StepReflected:
		return "CLUSTER_LIST length (RFC 4456 section 9)"
	case bgp.StepAge:
		return "age: it came first (RFC 5004)"
	default:
		return "the router ID of the neighbor, then its address (RFC 4271 section 9.1.2.2 f, g)"
	}
}

// refusal says why a route is refused, and by which key.
func (x *explainer) refusal(c *bgp.Candidate, s *side) (reason, by string) {
	peer := s.peer.Name
	of := func(name string) string { return key(x.cfg.Where(peer, name), name) }
	switch c.Verdict {
	case bgp.VerdictLimited:
		if c.Hard {
			return fmt.Sprintf("the session is down, because the peer announced more than hard_max_prefixes = %d of a family", s.peer.BGP.HardMaxPrefixes), of("hard_max_prefixes")
		}
		return fmt.Sprintf("the peer announces more than max_prefixes = %d of the family, and those that came first are taken", s.peer.BGP.MaxPrefixes), of("max_prefixes")
	case bgp.VerdictLooped:
		return x.looped(c.Loop, s)
	case bgp.VerdictInvalid:
		return "malformed, and treated as withdrawn: " + c.Text, ""
	case bgp.VerdictMartian:
		return c.Reason.String(), ""
	case bgp.VerdictOwn:
		return x.own(c.Reason, of("import"))
	}
	if c.Reason == (bgp.Reason{}) {
		return "import has just been changed, and takes it in a moment", of("import")
	}
	return c.Reason.String(), of("import")
}

// own says what of this router's a route would take.
func (x *explainer) own(r bgp.Reason, imports string) (reason, by string) {
	where := ""
	if r.By.IsValid() {
		where = x.cfg.WhereNetwork(r.By)
	}
	switch {
	case r.Kind == bgp.ReasonReserved:
		return r.String(), ""
	case r.Kind == bgp.ReasonInside:
		return r.String(), imports
	case where != "":
		return "is this router's own: a network that it announces", key(where, "networks")
	}
	return "is this router's own: a prefix that is connected to it", ""
}

func (x *explainer) looped(l bgp.Loop, s *side) (reason, by string) {
	switch l {
	case bgp.LoopOriginator:
		return fmt.Sprintf("has been here before: ORIGINATOR_ID is this router's router_id %s (RFC 4456 section 8)", x.cfg.RouterID), key(x.cfg.WhereRouter("router_id"), "router_id")
	case bgp.LoopCluster:
		return fmt.Sprintf("has been here before: CLUSTER_LIST has this router's cluster_id %s (RFC 4456 section 8)", x.cfg.BGP.ClusterID), key(x.cfg.WhereRouter("cluster_id"), "cluster_id")
	}
	return fmt.Sprintf("has been here before: AS_PATH has this router's AS %d more often than allow_own_as = %d (RFC 4271 section 9.1.2)", x.cfg.ASN, s.peer.BGP.AllowOwnAS),
		key(x.cfg.Where(s.peer.Name, "allow_own_as"), "allow_own_as")
}

// unreachable are the sides from which nothing comes: with no session it is not known whether the
// peer announces the prefix. It is named where the peer has no session at all, or announces it
// in another one.
func (x *explainer) unreachable() (all []status.WhyCandidate) {
	known, sessions := map[string]bool{}, map[string]bool{}
	for _, c := range x.is.Candidates {
		known[c.Neighbor] = true
		if s := x.side(c.Neighbor); s != nil {
			known["peer "+s.peer.Name] = true
		}
	}
	for _, s := range x.sides {
		sessions[s.peer.Name] = sessions[s.peer.Name] || s.established()
	}
	for i := range x.sides {
		s := &x.sides[i]
		if s.established() || known[s.name] || x.q.From != "" && x.q.From != s.peer.Name || sessions[s.peer.Name] && !known["peer "+s.peer.Name] || !x.takes(s.peer) {
			continue
		}
		out := x.shown(&bgp.Candidate{Verdict: bgp.VerdictUnreachable}, s)
		out.Reason = x.noWay(s) + "; what it announces is not known, and import would take this"
		all = append(all, out)
	}
	return all
}

func (s *side) established() bool { return s.up && s.state == stateEstablished }

// noWay says why nothing comes from a side.
func (x *explainer) noWay(s *side) string {
	text := "there is no BGP session"
	switch {
	case s.down:
		return s.orders + "; `warren up " + s.peer.Name + "` takes it up"
	case !s.up && s.peer.BGP.LAN.IsSet():
		text = "this router is not on its network"
	case !s.up:
		text = "its tunnel is down"
	case s.established():
		text = "interface " + s.ifname + " cannot be used now"
	}
	if s.err != "" {
		text += ": " + s.err
	}
	return text
}
