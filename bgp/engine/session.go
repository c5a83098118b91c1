package engine

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"warren/bgp"
)

// States of RFC 4271 8.2.2, as NeighborStatus has them.
const (
	stateIdle        = "idle"
	stateConnect     = "connect"
	stateActive      = "active"
	stateOpenSent    = "opensent"
	stateOpenConfirm = "openconfirm"
	stateEstablished = "established"
)

func stateName(s gobgp.FSMState) string {
	switch s {
	case gobgp.BGP_FSM_CONNECT:
		return stateConnect
	case gobgp.BGP_FSM_ACTIVE:
		return stateActive
	case gobgp.BGP_FSM_OPENSENT:
		return stateOpenSent
	case gobgp.BGP_FSM_OPENCONFIRM:
		return stateOpenConfirm
	case gobgp.BGP_FSM_ESTABLISHED:
		return stateEstablished
	default:
		return stateIdle
	}
}

// A session is what is known of a neighbor's BGP session. Speaker.mu guards it.
type session struct {
	state    string
	since    time.Time
	remoteID netip.Addr
	seen     openSeen // in the peer's last OPEN
	problem  problem
	logged   string          // the last problem that went to the log, or was the end of the session
	said     map[string]bool // problems that went to the log since the session was established last

	// Of the peer's last OPEN that led to a session, if there was one: whether
	// it offers each family, and whether it takes IPv4 prefixes with IPv6 next hops.
	known, ipv4, ipv6, extended bool

	failures int  // since a session lasted; see restartAfter
	disabled bool // it is, or is about to be, in GoBGP's administrative down; see disable

	kept     *retention // of a connection that was lost; see retain.go
	graceful bool       // the peer's last OPEN speaks of graceful restart
	dumping  [2]bool    // by family: GoBGP is about to send all routes; see defer.go
	ended    [2]bool    // by family: GoBGP has taken the peer's End-of-RIB marker, and all before it
	cut      bool       // GoBGP has the end of the last connection from endLocked

	conn       *peerConn          // what GoBGP has or is about to have
	waiting    int                // connections of the peer's that wait to be taken
	dialing    bool               // dialUntilConnected runs
	unanswered time.Time          // since when attempts are neither taken nor refused; zero: they are
	cancelDial context.CancelFunc // of the attempt under way

	judged    judged // in connections that are over
	malformed string // the last malformed thing in words
	looped    string // the last route that has been here before in words
}

// Neighbors returns the status of all neighbors, in no particular order. Each is of its own moment: counting what
// one is sent may take a walk through all routes, and what else needs the lock goes on in between.
func (s *Speaker) Neighbors() []NeighborStatus {
	s.mu.Lock()
	ids := s.routerIDsLocked()
	some := slices.Collect(maps.Values(s.neighbors))
	s.mu.Unlock()
	all := make([]NeighborStatus, 0, len(some))
	has := make(map[string]bool, len(some))
	for _, n := range some {
		s.mu.Lock()
		if s.neighbors[n.Name] == n {
			all = append(all, s.statusLocked(n, ids))
			has[n.Name] = true
		}
		s.mu.Unlock()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, want := range s.wanted.neighbors {
		n := s.neighbors[name]
		switch {
		case has[name]:
		case n != nil: // since a moment
			all = append(all, s.statusLocked(n, ids))
		default:
			st := NeighborStatus{Name: name, PeerAddr: want.PeerAddr, ASN: want.ASN, State: stateIdle}
			if f := s.failures[name]; f != nil {
				st.LastError = f.err.Error()
			}
			all = append(all, st)
		}
	}
	return all
}

// statusLocked is n's status. ids are of all sessions.
func (s *Speaker) statusLocked(n *neighbor, ids routerIDs) NeighborStatus {
	st := NeighborStatus{
		Name: n.Name, PeerAddr: n.PeerAddr, ASN: n.ASN,
		State: n.session.shown(), Since: n.session.since, RemoteRouterID: n.session.remoteID,
		LastError: s.problemLocked(n, ids),
	}
	if st.State != stateEstablished && (n.session.conn == nil || n.session.away()) {
		st.Unanswered = n.session.unanswered
	}
	n.count(&st)
	s.countLoopsLocked(n, &st.Looped)
	s.countRivalsLocked(n, &st)
	if st.State == stateEstablished {
		announced, withheld := s.announcedToLocked(n)
		st.Announced, st.Withheld = announced[ipv4]+announced[ipv6], withheld
		st.Families[ipv4].Announced, st.Families[ipv6].Announced = announced[ipv4], announced[ipv6]
		st.EndOfRIB = n.endOfRIB()
		st.Delivered = n.session.conn != nil && n.session.conn.delivered()
	}
	if kept := n.session.kept; kept != nil && !kept.over {
		st.RestartUntil = kept.until
		if kept.away {
			st.LastError = fmt.Sprintf("%s; %d routes stay until %s at the latest", st.LastError, st.Stale, kept.until.Format(time.TimeOnly))
		}
	}
	if f := s.failures[n.Name]; f != nil {
		st.LastError = f.err.Error()
	}
	return st
}

// endOfRIB is NeighborStatus.EndOfRIB. Speaker.mu is held.
func (n *neighbor) endOfRIB() bool {
	if n.session.conn == nil || !n.session.known {
		return false
	}
	ended := n.session.ended // GoBGP has taken the markers, and so what came before
	// Without the capability of RFC 4760 a session carries IPv4.
	has4, has6 := n.session.ipv4 || !n.session.ipv6, n.session.ipv6
	return (ended[ipv4] || !has4) && (ended[ipv6] || !has6)
}

// count fills in what the judge counts. Speaker.mu is held.
func (n *neighbor) count(st *NeighborStatus) {
	total := n.session.judged
	if c := n.session.conn; c != nil {
		counts := c.counts()
		total.add(counts)
		for i, f := range counts.Families {
			st.Families[i] = bgp.Counts{Received: f.Received, Accepted: f.Accepted, Refused: f.Refused}
			st.Received += f.Received
			st.Accepted += f.Accepted
			st.Refused += f.Refused
			st.Stale += f.Stale
			st.Looped.Prefixes += f.Looped
		}
	}
	st.Malformed = Malformed{Repaired: total.repaired, Withdrawn: total.withdrawn, Discarded: total.discarded, Last: n.session.malformed}
	st.Looped.Total, st.Looped.Last = total.looped, n.session.looped
}

// onPeer is GoBGP's word that a session changed its state.
func (s *Speaker) onPeer(ev *apiutil.WatchEventMessage_PeerEvent, at time.Time) {
	if ev.Type != apiutil.PEER_EVENT_STATE {
		return
	}
	s.mu.Lock()
	addr := ev.Peer.State.NeighborAddress.Unmap().WithZone("")
	if n := s.closing[addr]; n != nil && !n.isDown && ev.Peer.State.SessionState != gobgp.BGP_FSM_ESTABLISHED {
		n.isDown = true
		close(n.down)
	}
	n := s.neighborAtLocked(addr, at)
	if n == nil {
		s.mu.Unlock()
		return
	}
	s.rib.dropBest(n) // GoBGP does so too, a little later
	state, was, since := stateName(ev.Peer.State.SessionState), n.session.state, n.session.since
	if state != was {
		n.session.state, n.session.since = state, at
	}
	reason, message := ev.Peer.State.DisconnectReason, ev.Peer.State.DisconnectMessage
	if n.wasCut() { // lost.go
		reason, message = api.PeerState_DISCONNECT_REASON_READ_FAILED, ""
	}
	if state == stateEstablished {
		n.session.remoteID = ev.Peer.State.RouterID
		n.session.problem, n.session.unanswered = problem{}, time.Time{}
		n.session.said = nil
		if was != state {
			s.news.pending = append(s.news.pending, s.establishedLocked(n))
		}
		n.hadSession = true
		s.checkSyncedLocked()
		s.wake() // what may be sent may be something else now
	} else {
		n.explainDown(reason, message)
		if was == stateEstablished && !n.session.away() {
			s.news.pending = append(s.news.pending, s.endedLocked(n, at.Sub(since)))
		}
		n.session.kept = nil
	}
	var over *peerConn
	if state == stateIdle {
		over = n.session.conn // GoBGP does not close all that fail
		s.setConnLocked(n, nil)
	}
	if state == stateActive {
		s.startDialLocked(n)
	}
	if (state == stateOpenSent || state == stateOpenConfirm) && was != state {
		s.work.Go(func() { s.watchOpen(n, state, at) })
	}
	if state == stateIdle && was != stateIdle {
		if delay, ok := n.session.restartAfter(was == stateEstablished, at.Sub(since), reason, message); ok {
			s.work.Go(func() { s.restart(n, delay) })
		}
	}
	s.mu.Unlock()
	if over != nil {
		over.Close()
	}
	s.tell()
	s.logProblems()
	s.notify()
}

// openSeen is who the peer says it is.
type openSeen struct {
	asn uint32
	id  netip.Addr
}
