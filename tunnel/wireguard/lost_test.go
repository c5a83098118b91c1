package wireguard

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"warren/tunnel"
	"warren/tunnel/wireguard/pathmtu"
)

// lostStage has a session with a peer that sends keepalives, and addresses in the tunnel. said is what it says of tunnels, told what it
// was told of them.
type lostStage struct {
	*stage
	paths      *fakePaths
	said, told []tunnel.SessionID
}

func newLostStage(t *testing.T) *lostStage {
	t.Helper()
	s := &lostStage{paths: &fakePaths{}}
	s.stage = newStage(t, LinkConfig{
		Remotes: []string{farAddr.String()}, Keepalive: 2 * time.Second, DeadAfter: time.Minute, Paths: s.paths,
		Lost:     func(id tunnel.SessionID) { s.said = append(s.said, id) },
		PeerLost: func(id tunnel.SessionID) { s.told = append(s.told, id) },
	}, 2*time.Second)
	s.l.setEnds(netip.MustParseAddr("fe80::1"), netip.MustParseAddr("fe80::2"))
	s.at(10 * time.Second)
	return s
}

// own is the ID of the stage's tunnel, as its peer has it.
func (s *lostStage) own() tunnel.SessionID {
	return lostID(names{tunnel.Identity(s.key.Public()), tunnel.Identity(s.stage.own.Public())})
}

// notices counts those that have come to the peer.
func (s *lostStage) notices(word pathmtu.Word, id tunnel.SessionID) (n int) {
	ends := pathmtu.Ends{Local: netip.MustParseAddr("fe80::2"), Peer: netip.MustParseAddr("fe80::1")}
	for _, p := range s.arrived {
		if m, ok := ends.TakeNotice(p); ok && m == (pathmtu.Notice{Word: word, Token: pathmtu.Token(id)}) {
			n++
		}
	}
	s.arrived = nil
	return n
}

// TestLostWaySaysWhich: both ends mean the same tunnel by what the one says that has lost its way, once.
func TestLostWaySaysWhich(t *testing.T) {
	s := newLostStage(t)
	s.cut = true
	s.paths.follows[netip.Addr{}](true, "interface eth0 is down")
	s.pass(time.Second)
	s.expect("10s down: interface eth0 is down")
	if len(s.said) != 1 || s.said[0] != s.own() {
		t.Errorf("said %x, want %x", s.said, s.own())
	}
}

// TestPeerHasNoWay: a tunnel that the peer has lost is down at once, and up when the line is back.
func TestPeerHasNoWay(t *testing.T) {
	s := newLostStage(t)
	s.cut = true
	s.l.TakeLost(tunnel.SessionID{1}) // another's
	s.pass(0)
	s.expect()
	s.l.TakeLost(s.own())
	s.pass(0)
	s.expect("10s down: " + tunnel.ErrPeerLost.Error())
	s.pass(30 * time.Second)
	s.expect() // though the session is good, nothing has come
	s.cut = false
	s.pass(10 * time.Second)
	if len(s.events) != 1 || !strings.HasSuffix(s.events[0], " up") {
		t.Errorf("events %q", s.events)
	}
}

// TestPeerHasAWay: where the peer is wrong the tunnel is up with its next word, but not with what was on its way.
func TestPeerHasAWay(t *testing.T) {
	s := newLostStage(t)
	s.l.TakeLost(s.own())
	s.pass(0)
	s.expect("10s down: " + tunnel.ErrPeerLost.Error())
	found := s.l.ways.found
	if s.pass(onItsWay / 2); s.l.isUp() {
		t.Error("it is up by what the peer may have sent before")
	}
	s.pass(2*time.Second + onItsWay)
	if len(s.events) != 1 || !strings.HasSuffix(s.events[0], " up") || found.Sub(s.start) < 10*time.Second+onItsWay {
		t.Errorf("events %q", s.events)
	}
}

// TestLostIsTold: the peer is told again and again until it answers, or not for long.
func TestLostIsTold(t *testing.T) {
	s := newLostStage(t)
	other := tunnel.SessionID{7}
	s.l.TellLost(other)
	s.pass(2 * tellLostEvery)
	if n := s.notices(pathmtu.Lost, other); n < 2 {
		t.Errorf("told %d times", n)
	}
	s.l.notice(pathmtu.Notice{Word: pathmtu.Knows, Token: pathmtu.Token(other)})
	s.pass(0)
	s.notices(pathmtu.Lost, other)
	s.pass(time.Second)
	if n := s.notices(pathmtu.Lost, other); n > 0 {
		t.Errorf("told %d times more", n)
	}
	s.l.TellLost(other) // another device does not answer
	s.pass(tellLostFor)
	s.notices(pathmtu.Lost, other)
	s.pass(time.Second)
	if n := s.notices(pathmtu.Lost, other); n > 0 || !s.l.losing.next.IsZero() {
		t.Errorf("told %d times after the end", n)
	}
	s.expect()
}

// TestLostOfThePeer: what it says of another tunnel is passed on and answered, and a flood of that is not.
func TestLostOfThePeer(t *testing.T) {
	s := newLostStage(t)
	other := tunnel.SessionID{7}
	for range 10000 {
		s.l.notice(pathmtu.Notice{Word: pathmtu.Lost, Token: pathmtu.Token(other)})
		s.pass(0)
	}
	if n := s.notices(pathmtu.Knows, other); len(s.told) == 0 || len(s.told) > 100 || n != len(s.told) || s.told[0] != other {
		t.Errorf("passed on %d of 10000, answered %d", len(s.told), n)
	}
	s.expect()
}
