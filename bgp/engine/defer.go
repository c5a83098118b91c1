package engine

import (
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
)

// Graceful restart (RFC 4724) as the end that has restarted. Peers keep this router's
// routes until its End-of-RIB marker, and take those from it that were not announced by
// then. So the marker must not go out before everything else has: not before the export
// policy is what it is to be, which for some prefixes depends on the peer's OPEN
// (nexthop.go), and after a restart of this end not before the other peers have
// announced what they have (section 4.1, the selection deferral). Until then nothing is
// announced at all, so that no peer is told of a way that is not the one in use.
//
// GoBGP writes the marker of each family behind the routes each time that it sends all
// of them (getBestFromLocalCallback), in one piece: at the start of the session, and
// when the reconciler has it do so. One that comes too early is not sent, and all routes
// are sent once more, with another marker. No more than one such dump is under way at a
// time, so that it is known which one a marker belongs to.

// Bounds of Config.RestartTime.
const (
	defaultRestartTime = time.Minute
	longestRestartTime = 4095 * time.Second // RFC 4724 section 3: 12 bits
)

// restartTime is cfg's in whole seconds, 0 for no graceful restart.
func (cfg *Config) restartTime() time.Duration {
	switch t := cfg.RestartTime; {
	case t < 0:
		return 0
	case t == 0:
		return defaultRestartTime
	default:
		return max(t.Truncate(time.Second), time.Second)
	}
}

// Synced returns a channel that is closed when the neighbors have announced what they
// have, after a restart: those that are wanted and speak of graceful restart have said
// so, and the others have a session; or when half of Config.RestartTime has passed.
// Until then nothing is announced to them. Without Config.Restarted it is closed from
// the beginning.
func (s *Speaker) Synced() <-chan struct{} { return s.synced }

// deferUntilSynced bounds the time in which nothing is announced.
func (s *Speaker) deferUntilSynced() {
	select {
	case <-s.synced:
	case <-time.After(s.restartTime / 2):
		s.mu.Lock()
		if s.deferring {
			s.news.pending = append(s.news.pending, func() {
				s.log.Warn("after the restart not all peers have announced their routes in time; going on without them")
			})
			s.endDeferralLocked()
		}
		s.mu.Unlock()
		s.tell()
	case <-s.ctx.Done():
	}
}

// checkSyncedLocked ends the deferral when all that is wanted is there.
func (s *Speaker) checkSyncedLocked() {
	if !s.deferring || len(s.wanted.neighbors) == 0 {
		return
	}
	for name := range s.wanted.neighbors {
		n := s.neighbors[name]
		if n == nil || n.session.shown() != stateEstablished || n.session.conn == nil {
			return
		}
		for f, awaited := range n.session.conn.awaited() {
			if awaited && !n.session.ended[f] {
				return
			}
		}
	}
	s.endDeferralLocked()
}

// onPeerEndOfRIB is called when GoBGP has taken a neighbor's End-of-RIB marker, and all
// that came before it: the judge has handed that on earlier. Its event has no time.
func (s *Speaker) onPeerEndOfRIB(eor *apiutil.Path, _ time.Time) {
	s.mu.Lock()
	if n := s.byAddr[eor.PeerAddress.Unmap().WithZone("")]; n != nil {
		for _, f := range families4and6 {
			if f.gobgp() == eor.Family {
				n.session.ended[f] = true
			}
		}
		s.checkSyncedLocked()
	}
	s.mu.Unlock()
	s.tell()
}

// endDeferralLocked has all routes announced.
func (s *Speaker) endDeferralLocked() {
	s.deferring = false
	close(s.synced)
	for _, n := range s.neighbors {
		n.applied.resetting = true
	}
	names := slices.Sorted(maps.Keys(s.wanted.neighbors))
	s.news.pending = append(s.news.pending, func() { s.log.Info("after the restart: routes are announced", slog.Any("peers", names)) })
	s.wake()
}

// onEndOfRIB is called when GoBGP sends n an End-of-RIB marker, and reports whether it
// is to go out: whether n has been sent all that it is to know. One that counts as a refresh's (tableWritten) is
// not that of a dump which is under way: another one follows.
func (s *Speaker) onEndOfRIB(n *neighbor, c *peerConn, f family, refresh bool) bool {
	negotiated := c.negotiated()
	s.mu.Lock()
	defer s.mu.Unlock()
	if n.session.conn != c || refresh && n.session.dumping[f] {
		return false
	}
	n.session.dumping[f] = false
	sent := !s.deferring && !n.session.away() && s.exportedLocked(n)
	if !sent && !s.deferring {
		n.applied.resetting = true
	}
	if n.applied.resetting {
		s.wake()
	}
	return sent && negotiated[f]
}

// exportedLocked reports whether GoBGP's export policies for n and what n was sent are
// as they are to be.
func (s *Speaker) exportedLocked(n *neighbor) bool {
	have := &n.applied
	return have.exported && have.export.Equal(n.Export) && have.hops == s.hopsLocked(n) &&
		have.preferred == s.preferredLocked(n) && have.raise == s.raiseLocked(n) && !have.resetting
}

// beginDumpLocked takes note that n is about to be sent all routes. It returns false if
// that is under way already.
func (s *Speaker) beginDumpLocked(n *neighbor) bool {
	if n.session.dumping != [2]bool{} {
		return false
	}
	n.applied.resetting = false
	if s.restartTime > 0 && n.session.graceful && n.session.conn != nil {
		n.session.dumping = n.session.conn.negotiated()
	}
	return true
}

// negotiated reports for each family whether both ends offer it.
func (c *peerConn) negotiated() [2]bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.judge.Negotiated()
}

// gracefulRestart is what GoBGP is to say of it in its OPENs. The judge corrects the
// bits R and F.
func (s *Speaker) gracefulRestart() *api.GracefulRestart {
	return &api.GracefulRestart{Enabled: s.restartTime > 0, RestartTime: uint32(s.restartTime / time.Second)}
}
