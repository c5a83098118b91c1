package wireguard

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"warren/tunnel/wireguard/protocol"
)

// sleep lets the machine sleep: nothing falls due on the way, and nothing is heard.
func (s *stage) sleep(d time.Duration) {
	s.t.Helper()
	s.now = s.now.Add(d)
	if s.l.awake(s.now) && !s.l.settled() && len(s.l.cfg.Remotes) > 0 {
		s.look()
	}
	s.step()
}

// What woke up uses no session that is over, says at once that the tunnel is down, and has
// another session with the handshake that begins then.
func TestSleepEndsSession(t *testing.T) {
	for name, c := range map[string]struct {
		LinkConfig
		sleep time.Duration
		why   string
	}{
		"of a device without a watch": {LinkConfig{Keepalive: 25 * time.Second}, 10 * time.Minute, "the session could not be renewed for 3m0s"},
		"that waits for the peer":     {LinkConfig{}, 10 * time.Minute, "the session could not be renewed for 3m0s"},
		"shorter than the session":    {LinkConfig{Keepalive: 2 * time.Second, DeadAfter: 6 * time.Second}, 30 * time.Second, "nothing came from the peer for 6s"},
		"longer than the session":     {LinkConfig{Keepalive: 2 * time.Second, DeadAfter: 6 * time.Second}, 10 * time.Hour, "nothing came from the peer for 6s"},
	} {
		t.Run(name, func(t *testing.T) {
			if name != "that waits for the peer" {
				c.Remotes = []string{farAddr.String()}
			}
			s := newStage(t, c.LinkConfig, time.Second)
			s.pass(time.Second)
			s.now = s.now.Add(c.sleep)
			if c.sleep > protocol.RejectAfterTime {
				if _, err := s.l.peer.Sealer(s.now, 1); !errors.Is(err, protocol.ErrNoSession) {
					t.Fatalf("a packet is sealed in the session from before the sleep: %v", err)
				}
			}
			s.restart() // the peer has forgotten the session, which does not matter
			s.sleep(0)
			s.pass(0)
			at := (time.Second + c.sleep).String()
			s.expect(at+" down: "+c.why, at+" up")
		})
	}
}

// After a sleep that is shorter than dead_after the tunnel stays, and a peer that should
// have been heard is asked at once.
func TestShortSleepKeepsTheTunnel(t *testing.T) {
	s := newStage(t, LinkConfig{Remotes: []string{farAddr.String()}, Keepalive: 2 * time.Second, DeadAfter: time.Minute, Probe: true}, 2*time.Second)
	s.answers = true
	s.pass(10 * time.Second)
	before, echoes := s.l.peer.Status(s.now).Since, s.echoes
	s.sleep(50 * time.Second)
	if since := s.l.peer.Status(s.now).Since; since.Equal(before) || s.echoes == echoes {
		t.Errorf("the peer was not asked: session since %v, %d echoes", since.Sub(s.start), s.echoes)
	}
	s.pass(time.Minute)
	s.expect()
}

// Tries that began before the sleep do not count as tried in vain for too long, and where
// nothing was tried any more it is tried again.
func TestSleepRenewsTries(t *testing.T) {
	for name, c := range map[string]struct {
		LinkConfig
		down string
	}{
		"dials": {LinkConfig{Remotes: []string{farAddr.String()}, Keepalive: 2 * time.Second, DeadAfter: 6 * time.Second}, "11s down"},
		"waits": {LinkConfig{}, "3m0s down"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, c.LinkConfig, time.Second)
			s.pass(5 * time.Second)
			s.cut = true
			s.pass(10*time.Minute - 5*time.Second)
			s.expect(c.down)
			s.cut = false
			s.restart() // so that it does not begin a handshake itself
			s.sleep(time.Hour)
			s.pass(0)
			s.expect("1h10m0s up")
		})
	}
}

// sleeper is a clock that goes on while time.Now stands still.
type sleeper struct{ slept atomic.Int64 }

func (s *sleeper) now() time.Time { return time.Now().Add(time.Duration(s.slept.Load())) }
func (s *sleeper) date(t time.Time) time.Time {
	return t.Add(-time.Duration(s.slept.Load()))
}

// Two routers of which one slept for ten minutes: what it reads from its interface does not
// leave in the session from before, also before anybody tells that it woke up. Then there is
// another session. Events have the date, and so have the timestamps of handshakes: the peer
// takes those of the next start, which knows nothing of the sleep.
func TestSleepOfARouter(t *testing.T) {
	var clock sleeper
	keyA, keyB := protocol.NewPrivateKey(), protocol.NewPrivateKey()
	// It sleeps for twice dead_after: a silence that is noticed a bit late might be that of a busy machine, which does not count at once.
	c := LinkConfig{Keepalive: 100 * time.Millisecond, DeadAfter: MaxDeadAfter / 2}
	b := startEnd(t, keyB, LinkConfig{Name: "a", PublicKey: keyA.Public(), Keepalive: 100 * time.Millisecond}) // begins no handshakes
	c.Name, c.PublicKey, c.Remotes = "b", keyB.Public(), []string{b.addr("127.0.0.1")}
	a := startEndpoint(t, Config{PrivateKey: keyA, Now: clock.now, Date: clock.date}).start(c)
	a.next(true)
	b.next(true)

	before := a.l.peer.Status(clock.now()).Since
	clock.slept.Add(int64(MaxDeadAfter))
	if _, err := a.l.peer.SealerOf(clock.now(), before, 1); !errors.Is(err, protocol.ErrNoSession) { // there may be another by now
		t.Errorf("a packet is sealed in the session from before the sleep: %v", err)
	}
	a.l.Wake()
	if ev := a.next(false); time.Since(ev.Time).Abs() > time.Minute {
		t.Errorf("down at %v", ev.Time)
	}
	if ev := a.next(true); time.Since(ev.Time).Abs() > time.Minute {
		t.Errorf("up at %v", ev.Time)
	}
	if s := a.l.Status(); time.Since(s.Since).Abs() > time.Minute {
		t.Errorf("up since %v", s.Since)
	}

	a.stop()
	again := startEnd(t, keyA, c)
	again.next(true)
	if s := b.l.peer.Status(time.Now()); !s.Stale.IsZero() {
		t.Errorf("the peer has refused a handshake: its timestamp was %v behind", s.Behind)
	}
}
