package tlslink

import (
	"context"
	"testing"
	"time"
)

// A lane is stalled from its last progress on, if what was sent is sent again and again.
func TestStalled(t *testing.T) {
	const s = time.Second
	type look struct {
		at    time.Duration
		acked uint64
		flow  flow
		want  time.Duration
	}
	sent := flow{repeats: 2, unacked: 100}
	for name, looks := range map[string][]look{
		"nothing is sent":               {{1 * s, 0, flow{}, 0}, {9 * s, 0, flow{}, 0}, {10 * s, 0, sent, 1 * s}},
		"nothing is acknowledged":       {{1 * s, 7, sent, 0}, {2 * s, 7, sent, 1 * s}, {5 * s, 7, sent, 4 * s}},
		"something is acknowledged":     {{1 * s, 7, sent, 0}, {2 * s, 8, sent, 0}, {5 * s, 8, sent, 3 * s}, {6 * s, 9, sent, 0}},
		"the segments are sent once":    {{1 * s, 7, flow{unacked: 9}, 0}, {5 * s, 7, flow{unacked: 9, repeats: 1}, 0}, {6 * s, 7, sent, 5 * s}},
		"the peer's window is closed":   {{1 * s, 7, flow{unacked: 9}, 0}, {60 * s, 7, flow{unacked: 9}, 0}},
		"all was acknowledged between":  {{1 * s, 7, sent, 0}, {2 * s, 7, flow{}, 0}, {3 * s, 7, sent, 1 * s}},
		"old data comes, with old acks": {{1 * s, 7, sent, 0}, {4 * s, 7, flow{repeats: 4, unacked: 100, lastAck: 0}, 3 * s}},
	} {
		var p progress
		for _, l := range looks {
			l.flow.acked = l.acked
			if got := p.stalled(l.at, l.flow); got != l.want {
				t.Errorf("%s: at %v: %v, want %v", name, l.at, got, l.want)
			}
		}
	}
}

// Lane 0 is replaced as soon as it is found to be stalled, be it for longer than dead_after by then. The session ends when that was of no
// use for the time of a handshake at least, and not while a dial is under way. The end that does not dial gives the peer as long.
func TestStalledFirstLaneIsReplacedBeforeTheSessionEnds(t *testing.T) {
	for name, dialer := range map[string]bool{"dialing end": true, "listening end": false} {
		t.Run(name, func(t *testing.T) {
			l, s := stillLink(t)
			l.cfg.Keepalive, l.cfg.DeadAfter = 100*time.Millisecond, 300*time.Millisecond
			s.dialer = dialer
			ctx, cancel := context.WithCancel(t.Context())
			cancel() // nothing comes of a dial
			ln, found := s.lanes[0], time.Hour
			over := func() bool {
				select {
				case <-s.done:
					return true
				default:
					return false
				}
			}
			for now := found; now < found+handshakeTimeout; now += 100 * time.Millisecond {
				l.rescue(ctx, ln, now, true)
				if over() {
					t.Fatalf("the session ended %v after it was found", now-found)
				}
				if s.renewing[0] != dialer {
					t.Fatalf("it is being replaced: %v", s.renewing[0])
				}
			}
			if dialer {
				if l.rescue(ctx, ln, found+time.Hour, true); over() {
					t.Fatal("the session ended while a dial was under way")
				}
				s.renewing[0] = false
			}
			if l.rescue(ctx, ln, found+handshakeTimeout, true); !over() {
				t.Fatal("the session goes on")
			}
		})
	}
}

// TestFirstLaneThatStallsAgain has a way on which connections begin, and no more: where the peer may be elsewhere the tunnel does not stay
// there.
func TestFirstLaneThatStallsAgain(t *testing.T) {
	for name, c := range map[string]struct {
		remotes int
		after   time.Duration
		ends    bool
	}{
		"soon":                      {2, stallsAgain - 1, true},
		"later":                     {2, stallsAgain, false},
		"soon, and nowhere else is": {1, stallsAgain - 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			l, s := stillLink(t)
			l.cfg.Remotes = make([]string, c.remotes)
			ctx, cancel := context.WithCancel(t.Context())
			cancel() // nothing comes of a dial
			l.rescue(ctx, s.lanes[0], time.Hour, true)
			s.renewing[0], s.lanes[0] = false, newLane(s, 0, s.lanes[0].conn, s.lanes[0].wire)
			l.rescue(ctx, s.lanes[0], time.Hour+time.Second, false)
			l.rescue(ctx, s.lanes[0], time.Hour+c.after, true)
			select {
			case <-s.done:
				if !c.ends {
					t.Error("the session ended")
				}
			default:
				if c.ends {
					t.Error("the session goes on")
				}
			}
		})
	}
}

// A lane that was stalled and recovered has all its time when it is stalled again, and one that stays so is dialed for
// again after a while.
func TestStalledLaneIsDialedForAgain(t *testing.T) {
	l, s := stillLink(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for i, look := range []struct {
		at             time.Duration
		stalled, dials bool
	}{
		{1000 * time.Second, true, true},
		{1000*time.Second + rescueEvery - 1, true, false},
		{1000*time.Second + rescueEvery, true, true},
		{1010 * time.Second, false, false},
		{9000 * time.Second, true, true},
		{9001 * time.Second, true, true},
	} {
		s.renewing[0] = false
		l.rescue(ctx, s.lanes[0], look.at, look.stalled)
		if s.renewing[0] != look.dials {
			t.Errorf("look %d: dials: %v", i, s.renewing[0])
		}
		select {
		case <-s.done:
			t.Fatalf("look %d: the session ended", i)
		default:
		}
	}
}

// A renewal that has failed, after which the next one waits for a while, does not keep a stalled lane from being replaced, and
// the other way round.
func TestFailedRenewalDoesNotDelayARescue(t *testing.T) {
	l, s := stillLink(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, ln := range s.lanes[:2] {
		ln.renewAt = time.Time{}
	}
	l.renew(ctx)
	for n, ln := range s.lanes[:2] {
		if !s.renewing[n] {
			t.Fatalf("lane %d is not renewed", n)
		}
		s.renewing[n] = false // the dial has failed
		later := ln.nextTry
		if l.rescue(ctx, ln, time.Hour, true); !s.renewing[n] {
			t.Errorf("lane %d is stalled and not replaced", n)
		}
		if ln.nextTry != later {
			t.Errorf("lane %d: the next renewal is at %v, want %v", n, ln.nextTry, later)
		}
	}
}
