package protocol

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"
)

func keepalive(d time.Duration) option {
	return func(a, b *PeerConfig) { a.Keepalive, b.Keepalive = d, d }
}

func (n *network) loseAll() { n.lose = func(*end, []byte) bool { return true } }

// A session that is used is renewed before it ends, by the end that began it.
func TestRekeyByTime(t *testing.T) {
	n := newNetwork(t)
	n.handshake(n.a)
	for range 600 {
		n.exchange(1)
		n.pass(time.Second)
	}
	// At 120, 240, 360 and 480 s; at 600 s too if the clock falls so.
	if got := n.types(typeInitiation); got < 5 || got > 6 {
		t.Errorf("%d handshakes in 600 s, want 5 or 6", got)
	}
	if !n.a.p.Status(n.now).Initiator || n.b.p.Status(n.now).Initiator {
		t.Error("the responder has begun a handshake")
	}
	if len(n.a.errs)+len(n.b.errs) > 0 {
		t.Errorf("errors %v, %v", n.a.errs, n.b.errs)
	}
}

// An initiator that only receives renews the session at its last minute.
func TestRekeyByReceiving(t *testing.T) {
	n := newNetwork(t)
	n.handshake(n.a)
	n.a.p.timers.passive = time.Time{}
	for range 170 {
		// Not answered with keepalives, which would ask for a handshake before.
		n.deliver(n.a, addrB, n.mustSeal(n.b, packet(20, 1)))
		n.a.p.timers.passive, n.b.p.timers.noReply = time.Time{}, time.Time{}
		n.pass(time.Second)
	}
	if got := n.types(typeInitiation); got != 2 {
		t.Errorf("%d initiations, want 2", got)
	}
	if since := n.a.p.Status(n.now).Since; since.Sub(start) < 165*time.Second || since.Sub(start) > 166*time.Second {
		t.Errorf("renewed after %v, want 165 s", since.Sub(start))
	}
}

func TestRekeyAndRejectByCount(t *testing.T) {
	n := newNetwork(t)
	n.handshake(n.b2a(t))
	n.pass(rekeyTimeout + time.Second)
	s := n.a.p.current
	s.sent = rekeyAfterMessages
	n.send(n.a, n.mustSeal(n.a, packet(20, 1)))
	n.settle()
	if n.a.p.current == s || !n.a.p.current.initiator {
		t.Fatal("not renewed after 2^60 messages, by an end that was the responder")
	}
	s = n.a.p.current
	n.loseAll()
	s.sent = rejectAfterMessages - 1
	n.mustSeal(n.a, packet(20, 1))
	if _, err := n.seal(n.a, packet(20, 1)); !errors.Is(err, ErrNoSession) {
		t.Fatalf("more messages than the limit: %v", err)
	}
	if n.b.p.current.seen.see(rejectAfterMessages) || !n.b.p.current.seen.see(rejectAfterMessages-1) {
		t.Error("the receiver's limit is another")
	}
}

// b2a lets b find a, and returns b.
func (n *network) b2a(t *testing.T) *end {
	t.Helper()
	n.b.p.SetEndpoint(addrA)
	return n.b
}

func TestRejectAfterTime(t *testing.T) {
	n := newNetwork(t)
	n.handshake(n.a)
	late := n.mustSeal(n.a, packet(20, 1))
	n.loseAll()
	n.pass(rejectAfterTime - time.Millisecond)
	if !n.a.p.Status(n.now).Established {
		t.Error("the session ended early")
	}
	n.pass(time.Millisecond)
	if n.a.p.Status(n.now).Established {
		t.Error("the session has not ended")
	}
	if _, err := n.seal(n.a, packet(20, 1)); !errors.Is(err, ErrNoSession) {
		t.Errorf("sealed in a session that is over: %v", err)
	}
	if err := n.deliver(n.b, addrA, late); !errors.Is(err, errExpired) {
		t.Errorf("a packet of a session that is over: %v", err)
	}
}

func TestKeysAreErased(t *testing.T) {
	n := newNetwork(t)
	n.handshake(n.a)
	n.pass(6 * time.Second)
	n.handshake(n.a)
	n.loseAll()
	n.pass(eraseAfterTime - time.Second)
	if n.a.p.current == nil || len(n.a.m.slots) == 0 {
		t.Fatal("erased early")
	}
	n.pass(2 * time.Second)
	for _, e := range []*end{n.a, n.b} {
		if e.p.current != nil || e.p.previous != nil || e.p.next != nil || e.p.ours != nil || len(e.m.slots) != 0 {
			t.Errorf("left: %v %v %v %v, %d indices", e.p.current, e.p.previous, e.p.next, e.p.ours, len(e.m.slots))
		}
	}
	n.lose = nil
	n.handshake(n.a)
	n.exchange(1)
}

func TestRetriesAndGivesUp(t *testing.T) {
	n := newNetwork(t)
	n.loseAll()
	n.a.p.Initiate(n.now)
	var at []time.Duration
	n.lose = func(*end, []byte) bool { at = append(at, n.now.Sub(start)); return true }
	n.pass(10 * time.Minute)
	// 90 s at 5 to 5.33 s each.
	if len(at) < 17 || len(at) > 18 {
		t.Fatalf("%d attempts: %v", len(at), at)
	}
	jittered := false
	for i := 1; i < len(at); i++ {
		d := at[i] - at[i-1]
		if d < rekeyTimeout || d > rekeyTimeout+maxJitter {
			t.Errorf("%v between attempts", d)
		}
		jittered = jittered || d != rekeyTimeout
	}
	if !jittered {
		t.Error("no jitter")
	}
	if n.a.p.Status(n.now).Trying || len(n.a.m.slots) != 0 {
		t.Error("it has not given up")
	}
	n.lose = nil
	if _, err := n.seal(n.a, packet(20, 1)); !errors.Is(err, ErrNoSession) {
		t.Fatal(err)
	}
	n.settle()
	n.exchange(1)
}

// Handshakes are at least 5 s apart, whoever asks for them.
func TestPaceOfInitiations(t *testing.T) {
	n := newNetwork(t)
	n.loseAll()
	for range 100 {
		n.a.p.Initiate(n.now)
		n.pass(100 * time.Millisecond)
	}
	if got := n.types(typeInitiation); got != 2 {
		t.Errorf("%d initiations in 10 s, want 2", got)
	}
}

func TestPassiveKeepalive(t *testing.T) {
	n := newNetwork(t)
	n.handshake(n.a)
	sent := n.types(typeData)
	n.send(n.a, n.mustSeal(n.a, packet(20, 1)))
	n.pass(keepaliveTimeout - time.Millisecond)
	if got := n.types(typeData) - sent; got != 1 {
		t.Fatalf("%d messages before the time of the keepalive, want 1", got)
	}
	n.pass(2 * time.Millisecond)
	if got := n.types(typeData) - sent; got != 2 || len(n.log[len(n.log)-1]) != Overhead {
		t.Fatalf("%d messages after it, want 2", got)
	}
	n.pass(100 * time.Second)
	if got := n.types(typeData) - sent; got != 2 {
		t.Fatalf("%d messages: keepalives are answered with keepalives", got)
	}
}

// Data that arrives before the keepalive is sent asks for one more after it.
func TestPassiveKeepaliveAgain(t *testing.T) {
	n := newNetwork(t)
	n.handshake(n.a)
	sent := n.types(typeData)
	for range 2 {
		n.send(n.a, n.mustSeal(n.a, packet(20, 1)))
		n.pass(time.Second)
	}
	n.pass(20 * time.Second)
	if got := n.types(typeData) - sent; got != 4 {
		t.Fatalf("%d messages, want 2 and 2 keepalives", got)
	}
}

// Where data is not answered with anything, a new handshake shows whether anybody
// is there.
func TestHandshakeWithoutReply(t *testing.T) {
	n := newNetwork(t)
	n.handshake(n.a)
	n.pass(6 * time.Second)
	n.loseAll()
	before := n.types(typeInitiation)
	n.send(n.a, n.mustSeal(n.a, packet(20, 1)))
	n.pass(keepaliveTimeout + rekeyTimeout - time.Millisecond)
	if n.types(typeInitiation) != before {
		t.Fatal("too early")
	}
	n.pass(maxJitter + time.Millisecond)
	if n.types(typeInitiation) != before+1 {
		t.Fatal("no handshake")
	}
}

func TestPersistentKeepalive(t *testing.T) {
	n := newNetwork(t, keepalive(time.Second))
	n.handshake(n.a)
	var fromA, fromB int
	n.lose = func(from *end, msg []byte) bool {
		if from == n.a {
			fromA++
		} else {
			fromB++
		}
		return false
	}
	n.pass(60 * time.Second)
	if fromA < 59 || fromA > 61 || fromB < 59 || fromB > 61 {
		t.Errorf("%d and %d keepalives in 60 s", fromA, fromB)
	}
	if since := n.now.Sub(n.a.p.Status(n.now).Heard); since > time.Second {
		t.Errorf("nothing heard for %v", since)
	}
	// They also keep the session alive, and bring it back.
	n.pass(300 * time.Second)
	n.exchange(1)
	n.loseAll()
	n.pass(300 * time.Second)
	n.lose = nil
	n.pass(7 * time.Second)
	n.exchange(2)
}

// Packets that were on their way while the session was renewed are still taken.
func TestOldSessionsAreStillReceivedFrom(t *testing.T) {
	n := newNetwork(t)
	n.handshake(n.a)
	oldA, oldB := n.mustSeal(n.a, packet(20, 1)), n.mustSeal(n.b, packet(20, 2))
	n.pass(6 * time.Second)
	n.handshake(n.a)
	if err := n.deliver(n.b, addrA, oldA); err != nil {
		t.Errorf("at the responder: %v", err)
	}
	if err := n.deliver(n.a, addrB, oldB); err != nil {
		t.Errorf("at the initiator: %v", err)
	}
	oldest := n.mustSeal(n.a, packet(20, 1))
	for range 2 {
		n.pass(6 * time.Second)
		n.handshake(n.a)
	}
	if err := n.deliver(n.b, addrA, oldest); !errors.Is(err, errIndex) {
		t.Errorf("of the session before the previous one: %v", err)
	}
}

// With a third of all datagrams lost, both ends find together, and data goes on
// through all rekeys.
func TestLossyNetwork(t *testing.T) {
	n := newNetwork(t, keepalive(time.Second))
	r := rand.New(rand.NewPCG(1, 2))
	n.lose = func(*end, []byte) bool { return r.IntN(3) == 0 }
	n.a.p.Initiate(n.now)
	n.settle()
	n.pass(time.Minute)
	down := 0
	for range 1000 {
		n.pass(time.Second)
		if !n.a.p.Status(n.now).Established || !n.b.p.Status(n.now).Established {
			down++
		}
	}
	if down > 0 {
		t.Errorf("no session for %d of 1000 s", down)
	}
}

// When the last handshake was is known also when its session is over.
func TestLastHandshakeIsRemembered(t *testing.T) {
	n := newNetwork(t)
	for _, e := range []*end{n.a, n.b} {
		if s := e.p.Status(n.now); !s.Shook.IsZero() {
			t.Fatalf("before the first: %+v", s)
		}
	}
	n.handshake(n.a)
	n.exchange(1)
	first := n.a.p.Status(n.now).Since
	n.pass(time.Minute)
	n.handshake(n.b) // which the other end begins
	n.exchange(2)
	for _, e := range []*end{n.a, n.b} {
		if s := e.p.Status(n.now); !s.Shook.After(first) || s.Shook != s.Since {
			t.Errorf("after the second: %+v; the first was at %v", s, first)
		}
	}
	last := n.b.p.Status(n.now).Shook
	n.loseAll()
	n.pass(2 * eraseAfterTime)
	if s := n.b.p.Status(n.now); !s.Since.IsZero() || s.Shook != last {
		t.Errorf("long after: %+v; the last was at %v", s, last)
	}
}
