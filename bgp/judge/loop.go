package judge

import "net/netip"

// A Loop is how a route is known to have been here before.
type Loop uint8

// The kinds of loops.
const (
	notLooped      Loop = iota
	LoopAS              // this router's AS is in AS_PATH more often than Config.AllowOwnAS (RFC 4271 section 9.1.2)
	LoopOriginator      // ORIGINATOR_ID is this router's ID (RFC 4456 section 8)
	LoopCluster         // CLUSTER_LIST has this router's cluster ID (RFC 4456 section 8)
)

// looped sets a fault that is nobody's mistake if the route has been here before.
func (s *Session) looped(a *attributes) {
	if a.fault.is() {
		return
	}
	own := s.update.route.path.count(s.cfg.LocalASN)
	switch {
	case own > s.cfg.AllowOwnAS:
		a.fault = fault{attr: attrASPath, loop: LoopAS, args: [2]int{int(s.cfg.LocalASN), own}, why: "has this router's AS %d (RFC 4271 section 9.1.2)"}
		if own > 1 {
			a.fault.why = "has this router's AS %d %d times (RFC 4271 section 9.1.2)"
		}
	case a.has(attrOriginatorID) && [4]byte(a.value(attrOriginatorID)) == s.cfg.RouterID.As4():
		a.fault = fault{attr: attrOriginatorID, loop: LoopOriginator, why: "is this router's ID (RFC 4456 section 8)"}
	case a.has(attrClusterList) && s.ownCluster(a.value(attrClusterList)):
		a.fault = fault{attr: attrClusterList, loop: LoopCluster, why: "has this router's cluster ID (RFC 4456 section 8)"}
	}
}

func (s *Session) ownCluster(list []byte) bool {
	id, router := s.cfg.ClusterID.As4(), s.cfg.RouterID.As4()
	for ; len(list) > 0; list = list[4:] {
		if x := [4]byte(list); x == id || x == router {
			return true
		}
	}
	return false
}

// dropLooped takes note of what the UPDATE in work announces, all of which has been here
// before. They count towards HardMaxPrefixes, as all that the peer announces.
func (s *Session) dropLooped(l Loop) {
	u := &s.update
	n := len(u.reach.prefixes) + len(u.nlri.prefixes)
	if n == 0 {
		return
	}
	f := &u.attrs.fault
	s.counts.Looped += uint64(n)
	s.lastLoop = note{kind: looped, attr: f.attr, prefix: u.firstAnnounced(), more: n - 1, why: f.why, args: f.args}
	s.enterLooped(u.family, u.reach.prefixes, l)
	s.enterLooped(IPv4, u.nlri.prefixes, l)
}

func (s *Session) enterLooped(f int, prefixes []prefix, l Loop) {
	if s.loops[f] == nil && len(prefixes) > 0 {
		s.loops[f] = make(map[prefix]Loop)
	}
	for _, p := range prefixes {
		if hard := s.cfg.Policy.HardMaxPrefixes; hard > 0 && s.announces(f) >= hard && s.loops[f][p] == notLooped {
			s.fail(tooMany(f, hard))
			return
		}
		s.loops[f][p] = l
	}
}

// forgetLooped is for prefixes that are withdrawn, or announced with other attributes.
func (s *Session) forgetLooped(f int, prefixes ...prefix) {
	for _, p := range prefixes {
		if len(s.loops[f]) == 0 {
			s.loops[f] = nil // a map never gives memory back by itself
			return
		}
		delete(s.loops[f], p)
	}
}

// announces is how many prefixes of a family the peer announces now.
func (s *Session) announces(f int) int {
	return s.tables[f].len() - s.tables[f].stale + len(s.loops[f])
}

// EachLooped calls yield for the prefixes that the peer announces and that have been here
// before, in no particular order, until it returns false.
func (s *Session) EachLooped(yield func(netip.Prefix, Loop) bool) {
	for f := range s.loops {
		for p, l := range s.loops[f] {
			if !yield(p.netip(f), l) {
				return
			}
		}
	}
}
