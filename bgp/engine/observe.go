package engine

import (
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"time"

	"warren/bgp/heap"
	"warren/bgp/judge"

	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// A peer that announces more than its hard limit, or is too far behind with what it is told (behind.go), is left alone for
// a while, and for longer each time, until a session has lasted.
const (
	firstHold   = 10 * time.Second
	longestHold = 10 * time.Minute
)

// A hold is that, of the neighbor of one name. It outlives the neighbor, as a tunnel that goes down and up makes it another
// one: the peer would have only to close its tunnel. Speaker.mu guards it.
type hold struct {
	until time.Time // no connection before
	count int       // how often that was so
	why   string    // what is told of it

	tooMany bool // it is for having announced too much

	churn churn // guards itself

	most, hardMost int // the limits that count, others begin from nothing
}

// holdOf returns the hold of a neighbor.
func (s *Speaker) holdOf(n *Neighbor) *hold {
	h := s.holds[n.Name]
	if h == nil {
		h = &hold{}
		s.holds[n.Name] = h
	}
	if h.most != n.MaxPrefixes || h.hardMost != n.HardMaxPrefixes {
		h = &hold{most: n.MaxPrefixes, hardMost: n.HardMaxPrefixes}
		s.holds[n.Name] = h
	}
	return h
}

// forgetHoldsLocked forgets those of names that are not wanted and would be neither held nor read more slowly.
func (s *Speaker) forgetHoldsLocked(wanted map[string]*Neighbor) {
	now := time.Now()
	used := make(map[string]bool)
	for _, n := range s.closing { // their routes are still to be withdrawn
		used[n.Name] = true
	}
	maps.DeleteFunc(s.holds, func(name string, h *hold) bool {
		return wanted[name] == nil && s.neighbors[name] == nil && !used[name] && now.Sub(h.until) > longestHold && h.churn.isOver(now)
	})
}

// malformedLogged bounds how often what is malformed is logged, per neighbor.
// The counters have all of it.
const malformedLogged = time.Minute

// judgeConfigLocked is what the judge of a new connection with n has to know. c is what
// GoBGP reads it by.
func (s *Speaker) judgeConfigLocked(n *neighbor, c *peerConn) judge.Config {
	var onLink func(netip.Addr) bool
	if n.LAN() {
		onLink = n.OnLink
	}
	return judge.Config{
		OnLink:   onLink,
		LocalASN: s.cfg.ASN, PeerASN: n.ASN, RouterID: s.cfg.RouterID, ClusterID: s.clusterID(n), AllowOwnAS: n.AllowOwnAS,
		AllowLoopback: n.LocalAddr.IsLoopback(),
		// Kernel routes outlive a restart of the speaker, and sessions above all.
		Restarted:  s.deferring && !n.hadSession,
		Forwarding: s.cfg.Restarted || n.hadSession,
		Policy:     s.judgePolicyLocked(n),
		Moved:      c.note,
		Choose:     true,
	}
}

// judgePolicyLocked is n's import policy and limits. What the function refers
// to is replaced, never changed.
func (s *Speaker) judgePolicyLocked(n *neighbor) judge.Policy {
	imports, protected := n.Import, s.protected
	return judge.Policy{
		Accept: func(p netip.Prefix) bool {
			ok, reason := imports.Accepts(p, protected)
			if reason.Protected() {
				n.refused(s.log, p, reason)
			}
			return ok
		},
		MaxPrefixes:     n.MaxPrefixes,
		HardMaxPrefixes: n.HardMaxPrefixes,
		Preference:      uint32(n.applied.preference),
		Drained:         n.applied.drained != notDrained,
		DrainedPref:     n.applied.drained.localPref(),
	}
}

// onConn takes what was seen on a connection with n.
func (s *Speaker) onConn(n *neighbor, seen observation) {
	s.mu.Lock()
	if seen.open != nil {
		n.setOpen(*seen.open)
		s.beginDumpLocked(n) // GoBGP's first, when the session is established
	}
	if seen.endOfRIB {
		s.refreshedLocked(n)
	}
	if b := seen.notification; len(b) >= 2 {
		n.explainNotification(false, b[0], b[1], n.session.seen)
		n.explainCease(b)
	}
	if seen.refused != nil {
		n.refuse(seen.refused)
	}
	if seen.malformed != "" {
		n.session.malformed = seen.malformed
	}
	if seen.looped != "" {
		n.session.looped = seen.looped
	}
	s.mu.Unlock()
	if seen.malformed != "" {
		n.logged.Do(func() {
			s.log.Warn("the peer sent something malformed (logged once a minute at most; `warren status` counts)",
				slog.String("peer", n.Name), slog.String("what", seen.malformed))
		})
	}
	if seen.shrunk {
		s.releaseMemory()
	}
	s.logProblems()
	s.notify()
}

// refuse notes why this end has ended the session. Speaker.mu is held.
func (n *neighbor) refuse(why *judge.Notification) {
	const cease, maximumPrefixes = 6, 1 // RFC 4486 section 3
	switch {
	case why.Code == gobgp.BGP_ERROR_HOLD_TIMER_EXPIRED || why.Code == sendHoldExpired:
		n.setProblem(told, "%s", why.Text)
	case why.Code == cease && why.Subcode == maximumPrefixes:
		n.holdBack("too many prefixes: "+why.Text, "have the peer announce less, or raise max_prefixes or hard_max_prefixes")
		n.hold.tooMany = true
	case why.Code == cease && why.Subcode == outOfResources:
		n.holdBack(why.Text, "see whether routes of another peer come and go all the time, and whether this one's line or host is too slow")
	default:
		n.setProblem(told, "the peer sent what no session survives: %s", why.Text)
	}
}

// holdBack leaves n alone for a while, and for longer each time. why and do are for an operator. Speaker.mu is held.
func (n *neighbor) holdBack(why, do string) {
	ss := &n.session
	if ss.state == stateEstablished && time.Since(ss.since) > longestHold {
		n.hold.count = 0
	}
	hold := min(firstHold<<min(n.hold.count, 10), longestHold)
	n.hold.count++
	n.hold.until = time.Now().Add(hold)
	n.hold.tooMany = false
	n.hold.why = fmt.Sprintf("down: %s; the next try is at %s; %s", why, n.hold.until.Format(time.TimeOnly), do)
	n.setProblem(precise, "%s", n.hold.why)
}

// heldFor is how long n is to be left alone still. Speaker.mu is held.
func (n *neighbor) heldFor() time.Duration { return time.Until(n.hold.until) }

// release ends that. Speaker.mu is held.
func (n *neighbor) release() {
	n.hold.until, n.hold.count = time.Time{}, 0
	select {
	case n.released <- struct{}{}:
	default:
	}
}

// notePaced notes that n is read more slowly (churn.go).
func (s *Speaker) notePaced(n *neighbor) {
	n.paced.Do(func() {
		s.log.Warn("routes of the peer come and go all the time, or its sessions do: it is read more slowly, so that others are not kept busy with that; "+
			"see there which routes or lines do (logged once a minute at most)", slog.String("peer", n.Name))
	})
}

// onGone is called when GoBGP has closed c: at the end of a session, or because
// it does not want c in the state it is in.
func (s *Speaker) onGone(n *neighbor, c *peerConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n.session.conn != c {
		return
	}
	n.session.cut = c.wasCut()
	if kept := n.session.kept; kept != nil {
		kept.over = true
	}
	s.setConnLocked(n, nil)
	if s.wantsConnectionLocked(n) {
		s.startDialLocked(n)
	}
}

// setConnLocked makes c the connection that n has, nil for none. What the one
// before has counted is kept.
func (s *Speaker) setConnLocked(n *neighbor, c *peerConn) {
	if old := n.session.conn; old != nil {
		counts := old.counts()
		n.session.judged.add(counts)
		n.hold.churn.note(time.Now(), accepted(counts), accepted(counts)) // all of it is withdrawn
		if received(counts) >= heap.LargeTable {
			s.releaseMemory()
		}
	}
	s.dropHeldLocked(n)
	n.session.conn = c
}

// judged counts what the judge has found in the connections with a neighbor.
type judged struct{ repaired, withdrawn, discarded, looped uint64 }

func (j *judged) add(c judge.Counts) {
	j.repaired += c.Repaired
	j.withdrawn += c.Withdrawn
	j.discarded += c.Discarded
	j.looped += c.Looped
}

// releaseMemory gives the system back, soon, what a large table has left behind.
func (s *Speaker) releaseMemory() { s.work.Go(func() { s.releaser.Release(s.ctx) }) }
