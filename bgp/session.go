package bgp

import (
	"net/netip"
	"time"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
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
	seen     openSeen // in the peer's last OPEN on a connection it made
	problem  problem
	logged   string // the last problem that went to the log

	// Of the peer's last OPEN that led to a session, if there was one: whether
	// it takes IPv4 prefixes, and whether with IPv6 next hops.
	known, ipv4, extended bool

	toldInside bool // that a prefix inside an own one is refused

	failures int  // since a session lasted; see restartAfter
	waiting  bool // a connection of the peer's waits to be taken
}

// NeighborStatus is a neighbor as of now. Counts are of both families.
type NeighborStatus struct {
	Name           string
	PeerAddr       netip.Addr
	ASN            uint32
	State          string // idle, connect, active, opensent, openconfirm or established
	Since          time.Time
	RemoteRouterID netip.Addr // invalid until the session was established once
	Received       int        // prefixes the peer announces
	Accepted       int        // of those, the ones that may be used
	Refused        int        // of those, the ones refused by MaxPrefixes alone
	Announced      int        // prefixes announced to the peer
	LastError      string     // why there is no session, or what is wrong with it
}

// Neighbors returns the status of all neighbors, in no particular order.
func (s *Speaker) Neighbors() []NeighborStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := s.routerIDsLocked()
	all := make([]NeighborStatus, 0, len(s.neighbors))
	for _, n := range s.neighbors {
		st := NeighborStatus{
			Name: n.Name, PeerAddr: n.PeerAddr, ASN: n.ASN,
			State: n.session.state, Since: n.session.since, RemoteRouterID: n.session.remoteID,
			LastError: s.problemLocked(n, ids),
		}
		for f := range n.ledgers {
			st.Received += len(n.ledgers[f].entries)
			st.Accepted += n.ledgers[f].accepted
			st.Refused += n.ledgers[f].refused
		}
		if st.State == stateEstablished {
			st.Announced = s.announcedToLocked(n)
		}
		all = append(all, st)
	}
	return all
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
	s.rib.drop(n) // GoBGP does so too, a little later
	state, was, since := stateName(ev.Peer.State.SessionState), n.session.state, n.session.since
	if state != was {
		n.session.state, n.session.since = state, at
	}
	reason, message := ev.Peer.State.DisconnectReason, ev.Peer.State.DisconnectMessage
	if state == stateEstablished {
		n.session.remoteID = ev.Peer.State.RouterID
		n.session.problem, n.session.toldInside = problem{}, false
		if n.setCapabilities(ev.Peer.State.RemoteCap) {
			s.work.Go(func() { s.reviseExport(n) })
		}
	} else {
		n.explainDown(reason, message)
	}
	if state == stateActive && n.ctx.Err() == nil {
		n.work.Go(func() { s.dialEarly(n) })
	}
	if state == stateOpenConfirm && was != state {
		s.work.Go(func() { s.watchOpen(n, at) })
	}
	if state == stateIdle && was != stateIdle {
		if delay, ok := n.session.restartAfter(was == stateEstablished, at.Sub(since), reason, message); ok {
			s.work.Go(func() { s.restart(n, delay) })
		}
	}
	s.mu.Unlock()
	s.logProblems()
	s.notify()
}

// announcedToLocked counts what n's export policy lets out to it.
func (s *Speaker) announcedToLocked(n *neighbor) int {
	count := 0
	var sends [2]bool // by family
	for f := range sends {
		_, sends[f] = n.nextHop(family(f))
	}
	for p := range s.announced {
		if sends[familyOf(p)] && n.Export.Matches(p, true) {
			count++
		}
	}
	if !n.Export.Any && !n.Export.Default && len(n.Export.Prefixes) == 0 {
		return count // the usual case, without a walk through all routes
	}
	internal := n.ASN == s.cfg.ASN
	for p, from := range s.rib.best {
		if from == n || from.ASN == s.cfg.ASN && internal {
			continue // never back, nor from iBGP to iBGP (RFC 4271 9.2.1)
		}
		if to := s.rib.scopes[p]; to == toNobody || to == toInternal && !internal {
			continue
		}
		if _, own := s.announced[p]; !own && sends[familyOf(p)] && s.rib.visible(p) != nil && n.Export.Matches(p, false) {
			count++
		}
	}
	return count
}
