package wireguard

import (
	"strings"
	"testing"
	"time"

	"warren/tunnel"
)

var (
	probing = LinkConfig{Keepalive: time.Second, DeadAfter: 3 * time.Second, Probe: true}
	dialing = LinkConfig{Keepalive: time.Second, DeadAfter: 3 * time.Second, Probe: true, Remotes: []string{"192.0.2.2:51820"}}
)

// Between Warrens keepalives do: no echo is sent, and no socket opened.
func TestNoEchoBetweenWarrens(t *testing.T) {
	s := newStage(t, probing, time.Second)
	s.pass(10 * time.Minute)
	s.expect()
	if s.opened > 0 {
		t.Errorf("%d echoes", s.echoes)
	}
}

// A peer that says nothing by itself lives as long as it answers echoes. No socket is
// left open in between.
func TestOthersAnswerEchoes(t *testing.T) {
	s := newStage(t, probing, 0)
	s.answers = true
	s.pass(100 * time.Second)
	s.expect()
	if s.echoes != 80 || s.opened != s.echoes || s.sockets != 0 {
		t.Errorf("%d echoes, %d sockets opened, %d open; want 80, 80, 0", s.echoes, s.opened, s.sockets)
	}
	if rtt := s.l.Status().RTT; rtt < echoTime/2 || rtt > echoTime {
		t.Errorf("round trip %v", rtt)
	}
	s.answers = false
	s.pass(1500 * time.Millisecond)
	if s.sockets != 1 {
		t.Errorf("%d sockets open while an echo waits", s.sockets)
	}
	s.pass(4 * time.Second) // it answers a handshake after 2 s, which counts too
	if len(s.events) != 1 || strings.Contains(s.events[0], "pings") || !strings.Contains(s.events[0], "down: nothing came from the peer for 3s") {
		t.Errorf("events %q", s.events)
	}
	if s.sockets != 0 {
		t.Error("a socket is open although the tunnel is down")
	}
}

// A peer that completes handshakes and then says nothing is up for less and less of the
// time, and the status says all the time what to do.
func TestMutePeer(t *testing.T) {
	s := newStage(t, dialing, 0)
	s.pass(time.Minute)
	s.expect("3s down: nothing came from the peer for 3s; pings to fe80::2 inside the tunnel were not answered",
		"10s up", "13s down", "25s up", "28s down", "52s up", "55s down")
	for range 120 {
		s.pass(time.Second)
		if st := s.l.Status(); !strings.Contains(st.LastError, `set probe = "none"`) {
			t.Fatalf("at %v: %s, %q", s.now.Sub(s.start), st.State, st.LastError)
		}
	}
	s.events = nil
	s.answers = true
	s.pass(time.Minute)
	if len(s.events) > 1 {
		t.Errorf("events %q", s.events)
	}
	if st := s.l.Status(); st.State != tunnel.StateUp || st.LastError != "" {
		t.Errorf("%s, %q", st.State, st.LastError)
	}
	// From now on it is a peer like others.
	s.cut = true
	s.pass(10 * time.Second)
	s.cut = false
	s.pass(10 * time.Second)
	if st := s.l.Status(); st.State != tunnel.StateUp || st.LastError != "" {
		t.Errorf("%s, %q", st.State, st.LastError)
	}
}

// Whatever comes from a peer that was mute ends the distrust at once.
func TestMutePeerSpeaks(t *testing.T) {
	s := newStage(t, dialing, 0)
	s.at(30 * time.Second)
	s.events = nil
	if s.l.isUp() {
		t.Fatal("up")
	}
	if _, err := s.peer.Sealer(s.now, 1); err != nil {
		t.Fatal(err)
	}
	s.answers = true
	(*stagePinger)(s).Send()
	<-s.replies
	s.at(31 * time.Second)
	s.expect("30s up")
}

// The interface gets its address only after the event, so that the first echoes may
// fail.
func TestEchoThatCannotBeSent(t *testing.T) {
	s := newStage(t, probing, 0)
	s.answers, s.noSocket = true, errNoAddress
	s.at(2 * time.Second)
	s.noSocket = nil
	s.at(10 * time.Second)
	s.expect()
	s = newStage(t, probing, 0)
	s.noSocket = errNoAddress
	s.at(4 * time.Second)
	s.expect("3s down: nothing came from the peer for 3s; connect: cannot assign requested address")
}

// A peer that starts anew has lost all sessions.
func TestPeerRestarts(t *testing.T) {
	t.Run("and does not know where we are", func(t *testing.T) {
		s := newStage(t, probing, time.Second)
		s.at(20500 * time.Millisecond)
		s.restart()
		s.at(22100 * time.Millisecond) // 2 s after the last keepalive
		s.expect()
		if st := s.peer.Status(s.now); !st.Established {
			t.Errorf("it has no session: %+v", st)
		}
	})
	t.Run("and begins a handshake", func(t *testing.T) {
		s := newStage(t, probing, time.Second)
		s.far.Endpoint = nearAddr
		s.at(20500 * time.Millisecond)
		s.restart()
		s.peer.Initiate(s.now)
		s.at(20600 * time.Millisecond)
		s.expect()
		if st := s.peer.Status(s.now); !st.Established {
			t.Errorf("it has no session: %+v", st)
		}
		s.at(60 * time.Second)
		s.expect()
	})
	t.Run("after a while", func(t *testing.T) {
		s := newStage(t, dialing, time.Second)
		s.at(20500 * time.Millisecond)
		s.machine = nil
		s.at(300 * time.Second) // longer than the protocol tries
		s.restart()
		s.at(306 * time.Second)
		if len(s.events) != 2 || !strings.HasPrefix(s.events[0], "23s down") || !strings.HasPrefix(s.events[1], "5m") {
			t.Errorf("events %q", s.events)
		}
	})
}

// After a cut the tunnel comes back with the next attempt.
func TestUnderlayCut(t *testing.T) {
	for _, c := range []LinkConfig{probing, dialing} {
		s := newStage(t, c, time.Second)
		s.at(20500 * time.Millisecond)
		s.cut = true
		s.at(40 * time.Second)
		s.cut = false
		s.at(46 * time.Second)
		if len(s.events) != 2 || !strings.HasPrefix(s.events[0], "23s down") || !strings.HasPrefix(s.events[1], "4") {
			t.Errorf("events %q", s.events)
		}
		s.events = nil
		s.at(100 * time.Second)
		s.expect()
	}
}

// Without a watch for silence the keepalive is only for NATs on the way, as is
// persistent-keepalive of wg(8). The tunnel ends with its session.
func TestPersistentKeepalive(t *testing.T) {
	s := newStage(t, LinkConfig{Keepalive: 25 * time.Second}, 0)
	s.heard = 0
	s.pass(100 * time.Second)
	if s.heard != 4 {
		t.Errorf("%d keepalives in 100 s, want 4", s.heard)
	}
	s.pass(10 * time.Minute)
	s.expect()
	s.cut = true
	s.pass(2 * time.Minute)
	s.pass(time.Minute)
	if len(s.events) != 1 || !strings.Contains(s.events[0], "down: the session could not be renewed") {
		t.Errorf("events %q", s.events)
	}
}
