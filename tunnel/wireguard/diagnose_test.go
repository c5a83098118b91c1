package wireguard

import (
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"warren/tunnel/wireguard/protocol"
)

func (s *stage) expectError(want ...string) {
	s.t.Helper()
	got := s.l.Status().LastError
	for _, w := range want {
		if !strings.Contains(got, w) {
			s.t.Errorf("at %v: last error %q, want %q", s.now.Sub(s.start), got, w)
		}
	}
}

var watched = LinkConfig{Remotes: []string{"192.0.2.2:51820"}, Keepalive: time.Second, DeadAfter: 3 * time.Second}

func TestNoAnswer(t *testing.T) {
	s := newStage(t, watched, time.Second)
	s.expectError("")
	machine := s.machine
	s.machine = nil
	s.at(10 * time.Second)
	s.expectError("no answer from 192.0.2.2:51820", s.l.e.PublicKey().String())
	s.machine = machine
	s.at(20 * time.Second)
	if e := s.l.Status().LastError; e != "" {
		t.Errorf("up, and still %q", e)
	}
}

func TestNoAnswerWithASecret(t *testing.T) {
	c := watched
	c.PrivateKey = protocol.NewPrivateKey()
	l := &Link{cfg: c, known: c.keys()}
	if got := l.noAnswer(farAddr).Error(); !strings.Contains(got, "secret_file and link") {
		t.Error(got)
	}
}

// Where the peer changes its preshared key, its initiations are authentic all the same.
// They are no sign that the tunnel works, whichever end begins.
func TestAnotherPresharedKey(t *testing.T) {
	for name, remotes := range map[string][]string{"we begin": watched.Remotes, "the peer begins": nil} {
		t.Run(name, func(t *testing.T) {
			c := watched
			c.Remotes = remotes
			s := newStage(t, c, time.Second)
			s.far.PresharedKey = protocol.PresharedKey{1}
			s.restart()
			s.peer.SetEndpoint(nearAddr)
			for range 10 {
				s.peer.Initiate(s.now)
				s.pass(6 * time.Second)
			}
			s.expect("3s down")
			s.expectError("has another preshared key")
			s.far.PresharedKey = protocol.PresharedKey{}
			s.restart()
			s.peer.SetEndpoint(nearAddr)
			s.peer.Initiate(s.now)
			s.pass(20 * time.Second)
			if len(s.events) != 1 {
				t.Errorf("mended, and then %q", s.events)
			}
		})
	}
}

// The same holds for a peer that was started anew, and is heard, but does not hear us.
func TestOneWay(t *testing.T) {
	s := newStage(t, watched, time.Second)
	s.restart()
	s.peer.SetEndpoint(nearAddr)
	s.machine = nil // nothing reaches it
	for range 10 {
		s.peer.Initiate(s.now)
		for _, msg := range s.peer.Tick(s.now) {
			s.toNear(msg, nearAddr)
		}
		s.pass(6 * time.Second)
	}
	s.expect("3s down")
	s.expectError("does not take our answers")
}

// A peer whose clock was an hour fast before it was started anew is connected to at once,
// and status says for a while what is wrong. The log says it once.
func TestPeerWithAClockThatWasFast(t *testing.T) {
	s := newStage(t, LinkConfig{Keepalive: time.Second, DeadAfter: 3 * time.Second}, time.Second)
	var said strings.Builder
	s.l.log = slog.New(slog.NewTextHandler(&said, nil))
	s.pass(6 * time.Second) // the pace of handshakes
	fast := s.now.Add(time.Hour)
	s.peer.SetEndpoint(nearAddr)
	s.peer.Initiate(fast)
	for _, msg := range s.peer.Tick(fast) {
		s.l.e.machine.Receive(s.now, farAddr, msg)
	}
	s.restart()
	s.peer.SetEndpoint(nearAddr)
	s.peer.Initiate(s.now)
	s.pass(0)
	if !s.peer.Status(s.now).Established {
		t.Error("the peer has no session at once")
	}
	for range 5 {
		s.pass(6 * time.Second)
		s.peer.Initiate(s.now)
	}
	s.expect() // it was up all the time
	s.expectError("the peer's clock is behind by 1h0m0s")
	if got := strings.Count(said.String(), "clock is behind"); got != 1 {
		t.Errorf("said %d times:\n%s", got, said.String())
	}
	// It tries for a minute and a half more.
	s.pass(protocol.RejectAfterTime + 2*time.Minute)
	if e := s.l.Status().LastError; e != "" {
		t.Errorf("long after the last that was refused: %q", e)
	}
}

// Status names where another machine is that has the peer's key, while the tunnel is up with
// the peer, and for a while after.
func TestSomebodyElseHasThePeersKey(t *testing.T) {
	s := newStage(t, watched, time.Second)
	var said strings.Builder
	s.l.log = slog.New(slog.NewTextHandler(&said, nil))
	elsewhere := netip.MustParseAddrPort("203.0.113.9:51820")
	m := protocol.New(protocol.Config{PrivateKey: s.key})
	far := s.far
	far.Endpoint = nearAddr
	twin, err := m.AddPeer(far)
	if err != nil {
		t.Fatal(err)
	}
	for range 12 {
		s.peer.SetEndpoint(nearAddr)
		s.peer.Initiate(s.now)
		s.pass(6 * time.Second)
		twin.Initiate(s.now)
		for _, msg := range twin.Tick(s.now) {
			if r := s.l.e.machine.Receive(s.now, elsewhere, msg); r.Reply != nil {
				m.Receive(s.now, nearAddr, r.Reply)
			}
		}
		s.pass(0)
	}
	s.expectError("somebody else has this peer's key, at 203.0.113.9:51820, and is refused while 192.0.2.2:51820 is connected")
	if got := strings.Count(said.String(), "somebody else"); got != 1 {
		t.Errorf("said %d times:\n%s", got, said.String())
	}
	s.expect()
	s.pass(suspicionTime)
	if e := s.l.Status().LastError; e != "" {
		t.Errorf("long after: %q", e)
	}
}
