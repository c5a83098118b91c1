package engine

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/osrg/gobgp/v4/api"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

func TestRestartAfter(t *testing.T) {
	const ms = time.Millisecond
	read, none := api.PeerState_DISCONNECT_REASON_READ_FAILED, time.Duration(-1)
	received := api.PeerState_DISCONNECT_REASON_NOTIFICATION_RECEIVED
	var ss session
	for i, tt := range []struct {
		up     bool
		lasted time.Duration
		reason api.PeerState_DisconnectReason
		text   string
		want   time.Duration
	}{
		{true, time.Hour, read, "", 200 * ms},
		{false, 0, read, "", 400 * ms},
		{false, 0, received, "notification-received code 6(cease) subcode 7(connection collision)", 800 * ms},
		{true, 9 * time.Second, read, "", 1600 * ms},
		{true, time.Minute, received, "notification-received code 3(update) subcode 1(x)", 200 * ms},
		{false, 0, read, "", 400 * ms},
		{false, 0, read, "", 800 * ms},
		{false, 0, read, "", 1600 * ms},
		{false, 0, read, "", 3200 * ms},
		{false, 0, read, "", none},
		{true, time.Second, read, "", none},
		{true, time.Minute, read, "", 200 * ms},
		{false, 0, api.PeerState_DISCONNECT_REASON_BAD_PEER_AS, "", none},
		{false, 0, read, "", 400 * ms},
		{true, time.Minute, read, "", 200 * ms},
		{false, 0, received, "notification-received code 2(open) subcode 2(bad peer as)", none},
	} {
		got, ok := ss.restartAfter(tt.up, tt.lasted, tt.reason, tt.text)
		if !ok {
			got = none
		}
		if got != tt.want {
			t.Errorf("%d: %v, not %v", i, got, tt.want)
		}
	}
}

// A neighbor that was disabled is started again whatever else ended its session, since
// GoBGP leaves it in Idle for ever.
func TestRestartAfterDisable(t *testing.T) {
	ss := session{failures: maxRestarts, disabled: true}
	for range 2 {
		if delay, ok := ss.restartAfter(false, 0, api.PeerState_DISCONNECT_REASON_BAD_PEER_AS, ""); !ok || delay != restartDelay<<(maxRestarts-1) {
			t.Errorf("after %v, %v", delay, ok)
		}
	}
}

// in reports whether a session is in a state.
func in(state string) func(*session) bool {
	return func(ss *session) bool { return ss.state == state }
}

// TestOpenWhilePoliciesAreWritten: an OPEN that comes while whoever is to end what hangs waits for its turn is in time.
func TestOpenWhilePoliciesAreWritten(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1")
	local, peer := addRaw(t, s, "b", 64513, nil)
	waitState(t, s, "b", stateActive)
	p := dialRaw(t, peer, local)
	waitState(t, s, "b", stateOpenSent)
	s.mu.Lock()
	n := s.neighbors["b"]
	since, conn := n.session.since, n.session.conn
	s.mu.Unlock()
	s.opMu.Lock()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.endStuck(n, stateOpenSent, since)
	}()
	eventually(t, time.Minute, func() string {
		s.mu.Lock()
		defer s.mu.Unlock()
		if n.session.problem.text == "" {
			return "the peer has not been found to hang"
		}
		return ""
	})
	// GoBGP has not told of the OPEN by the time at which it is disable's turn.
	s.mu.Lock()
	p.send(openMessage(t, 64513, "10.0.0.2", extendedNextHop))
	eventually(t, time.Minute, func() string {
		if !conn.opened() {
			return "the OPEN has not come"
		}
		return ""
	})
	s.opMu.Unlock()
	s.mu.Unlock()
	<-ended
	p.send(gobgp.NewBGPKeepAliveMessage())
	p.serve()
	waitState(t, s, "b", stateEstablished)
	s.mu.Lock()
	defer s.mu.Unlock()
	if n.session.conn != conn || n.session.disabled {
		t.Error("the session was ended, and is another one")
	}
}

// TestEndOfWhatHasEnded has a peer's new connection find a session that ends by itself in
// that moment, after which GoBGP pauses: the neighbor comes out of Idle nevertheless.
func TestEndOfWhatHasEnded(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1")
	local, peer := addRaw(t, s, "b", 64513, nil)
	waitState(t, s, "b", stateActive)
	p := dialRaw(t, peer, local)
	p.establish(64513, "10.0.0.2")
	waitState(t, s, "b", stateEstablished)
	s.mu.Lock()
	n := s.neighbors["b"]
	n.session.failures = maxRestarts
	s.mu.Unlock()
	p.conn.Close()
	waitState(t, s, "b", stateIdle)
	s.endCurrent(n)
	s.disable(n, in(stateEstablished))
	s.disable(n, in(stateIdle))
	p = dialRaw(t, peer, local)
	p.establish(64513, "10.0.0.2")
	waitState(t, s, "b", stateEstablished)
}

// TestSoonBack ends a session from the peer's side, by closing the connection
// and by a Cease: the neighbor is started again, where GoBGP alone would pause
// for 5 s.
func TestSoonBack(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1")
	local, peer := addRaw(t, s, "b", 64513, nil)
	waitState(t, s, "b", "active")
	for i := range 3 {
		p := dialRaw(t, peer, local)
		p.establish(64513, "10.0.0.2")
		waitState(t, s, "b", "established")
		s.mu.Lock()
		failures := s.neighbors["b"].session.failures
		s.mu.Unlock()
		if failures < i {
			t.Errorf("after %d failures the neighbor was started again %d times", i, failures)
		}
		p.update(64513, prefixes("10.2.0.0/16"), nil)
		waitRoutes(t, s, "b", "10.2.0.0/16")
		if i == 0 {
			p.send(gobgp.NewBGPNotificationMessage(gobgp.BGP_ERROR_CEASE, gobgp.BGP_ERROR_SUB_ADMINISTRATIVE_SHUTDOWN, nil))
		}
		p.conn.Close()
		waitRoutes(t, s, "")
	}
}

// TestRefusedWaits has a peer of the wrong AS: it gets GoBGP's whole pause.
func TestRefusedWaits(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1")
	local, peer := addRaw(t, s, "b", 64513, nil)
	waitState(t, s, "b", "active")
	p := dialRaw(t, peer, local)
	p.send(openMessage(t, 64999, "10.0.0.2"))
	waitState(t, s, "b", "idle")
	idle := statusOf(s, "b")
	waitState(t, s, "b", "active")
	// These are GoBGP's times, not those of the test.
	if took := statusOf(s, "b").Since.Sub(idle.Since); idle.State == "idle" && took < 4*time.Second {
		t.Errorf("tried again after %v", took)
	}
}

// TestDeleteWhileRestarting deletes a neighbor that is about to be started
// again: it must not come back.
func TestDeleteWhileRestarting(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1")
	before := objects(t, s)
	for range 3 {
		p := rawSession(t, s, "b", 64513, "10.0.0.2", nil)
		s.opMu.Lock() // it is not started again before it is seen
		p.conn.Close()
		waitState(t, s, "b", "idle")
		err := s.DeleteNeighbor(t.Context(), "b")
		s.opMu.Unlock()
		if err != nil {
			t.Fatal(err)
		}
	}
	s.waitClosed(t.Context())
	time.Sleep(2 * restartDelay) // give a wrong turn the time to show
	err := s.server.ListPeer(t.Context(), &api.ListPeerRequest{}, func(p *api.Peer) {
		t.Errorf("GoBGP still has %s", p.GetConf().GetNeighborAddress())
	})
	if after := objects(t, s); err != nil || after != before {
		t.Errorf("before: %s; after: %s, %v", before, after, err)
	}
}

// TestBackAfterRefusal corrects a wrong AS at one end while the other end
// pauses. What the first dials meanwhile waits for the second, which must not
// dial as well: each would keep the connection that it made.
func TestBackAfterRefusal(t *testing.T) {
	var a, b [2]*Speaker
	for i := range a {
		a[i], b[i] = startSpeaker(t, 64512, "10.0.0.1"), startSpeaker(t, 64513, "10.0.0.2")
	}
	var local, peer [2]netip.Addr
	for i := range a {
		local[i], peer[i] = testAddrs()
		if i == 1 { // the end that is corrected has the higher address
			local[i], peer[i] = peer[i], local[i]
		}
		connectAt(t, a[i], b[i], local[i], peer[i], func(n *Neighbor) { n.ASN = 64999 }, nil)
		eventually(t, 40*time.Second, func() string {
			if st := statusOf(b[i], "a"); st.State != stateIdle || st.LastError == "" {
				return fmt.Sprintf("%+v", st)
			}
			return ""
		})
	}
	for i := range a {
		if err := a[i].DeleteNeighbor(t.Context(), "b"); err != nil {
			t.Fatal(err)
		}
		if err := a[i].AddNeighbor(t.Context(), Neighbor{Name: "b", LocalAddr: local[i], PeerAddr: peer[i], ASN: 64513}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range a {
		waitState(t, a[i], "b", stateEstablished)
		waitState(t, b[i], "a", stateEstablished)
	}
}

// TestStuckInOpenConfirm has a peer that sends its OPEN and then nothing, as one
// does that has chosen another connection.
func TestStuckInOpenConfirm(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1")
	local, peer := addRaw(t, s, "b", 64513, nil)
	waitState(t, s, "b", "active")
	p := dialRaw(t, peer, local)
	p.send(openMessage(t, 64513, "10.0.0.2"))
	waitState(t, s, "b", "openconfirm")
	waitState(t, s, "b", "active")
	p = dialRaw(t, peer, local)
	p.establish(64513, "10.0.0.2")
	waitState(t, s, "b", "established")
}
