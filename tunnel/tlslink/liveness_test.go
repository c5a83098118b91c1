package tlslink

import (
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

const ms = time.Millisecond

// play is a peer that a liveness looks at, with a clock that the test moves.
type play struct {
	t     *testing.T
	v     liveness
	now   time.Duration
	due   time.Duration // of the next look
	read  time.Duration // when something was read last
	lanes []*played
	pong  time.Duration
	acked uint64
	err   error
}

// played is what the kernel knows of a connection.
type played struct {
	came   time.Duration // when data came last that can be read
	early  uint32
	unread int
}

func newPlay(t *testing.T, keepalive, deadAfter time.Duration, lanes int) *play {
	p := &play{t: t, v: liveness{keepalive: keepalive, deadAfter: deadAfter}}
	for range lanes {
		p.lanes = append(p.lanes, &played{})
	}
	p.look()
	return p
}

func (p *play) evidence() evidence {
	e := evidence{now: p.now, silence: p.now - p.read, answered: p.pong, acked: p.acked}
	for _, l := range p.lanes {
		e.signs = append(e.signs, sign{silence: p.now - l.came, early: l.early, unread: l.unread})
	}
	return e
}

func (p *play) look() {
	again, err := p.v.look(p.evidence())
	if err == nil && again <= 0 {
		p.t.Fatalf("at %v: look again after %v", p.now, again)
	}
	if p.due, p.err = p.now+again, err; err != nil {
		p.t.Logf("at %v: %v", p.now, err)
	}
}

// until lets time go by, with the looks that are due; late is how much later they are taken.
func (p *play) until(at, late time.Duration) {
	for p.err == nil && p.due+late <= at {
		p.now = max(p.now, p.due+late)
		p.look()
	}
	p.now = max(p.now, at)
}

func (p *play) expect(dead bool) {
	p.t.Helper()
	if dead != (p.err != nil) {
		p.t.Errorf("at %v: %v, want an end: %v", p.now, p.err, dead)
	}
}

// A peer that says nothing is dead after dead_after, and no earlier.
func TestSilence(t *testing.T) {
	p := newPlay(t, 20*ms, 50*ms, 1)
	for at := 20 * ms; at <= 200*ms; at += 20 * ms {
		p.until(at, 0)
		p.read, p.lanes[0].came = at, at
	}
	p.until(249*ms, 0)
	p.expect(false)
	p.until(250*ms, 0)
	p.expect(true)
	if p.now != 250*ms {
		t.Errorf("at %v", p.now)
	}
}

// A process that gets to nothing for a second, looks included, has a peer whose keepalives wait
// in the socket. One that died in that time is dead by what the kernel says.
func TestBusyProcess(t *testing.T) {
	p := newPlay(t, 20*ms, 50*ms, 1)
	p.lanes[0].came = 990 * ms
	p.now = 1000 * ms
	p.look()
	p.expect(false)
	if p.due != 1040*ms {
		t.Errorf("looks again at %v, which is not dead_after since the last data came", p.due)
	}
	p.until(1040*ms, 0)
	p.expect(true)

	p = newPlay(t, 20*ms, 50*ms, 1)
	p.lanes[0].came = 940 * ms
	p.now = 1000 * ms
	p.look()
	p.expect(true)
}

// What comes on any lane counts, also on one that is not lane 0.
func TestAnyLaneCounts(t *testing.T) {
	p := newPlay(t, 20*ms, 50*ms, 3)
	for at := 20 * ms; at <= 500*ms; at += 20 * ms {
		p.until(at, 5*ms)
		p.lanes[2].came = at
	}
	p.expect(false)
	p.until(600*ms, 0)
	p.expect(true)
}

// Segments behind one that was lost are a sign of life, though they can't be read until TCP has
// sent it again. When they end the peer is dead within a keepalive more.
func TestSegmentsBehindALostOne(t *testing.T) {
	p := newPlay(t, 20*ms, 50*ms, 2)
	for at := 20 * ms; at <= 400*ms; at += 20 * ms {
		p.until(at, 0)
		p.lanes[0].early++
	}
	p.expect(false)
	p.until(400*ms+50*ms+20*ms, 0)
	p.expect(true)
}

// What waits to be read on any lane may keep the peer from sending more. Then there is as much time again before the peer is dead, or
// half a second if that is more, by which it is read.
func TestUnreadDataGivesTime(t *testing.T) {
	for _, c := range []struct{ keepalive, deadAfter, end time.Duration }{
		{20 * ms, 50 * ms, 550 * ms},
		{time.Second, 3 * time.Second, 6 * time.Second},
	} {
		for name, read := range map[string]bool{"read at last": true, "not read": false} {
			p := newPlay(t, c.keepalive, c.deadAfter, 2)
			p.lanes[1].unread = 1
			p.until(c.end-1, 0)
			p.expect(false)
			if read {
				p.lanes[1].unread, p.read = 0, p.now
			}
			p.until(c.end, 0)
			p.expect(!read)
			if read {
				p.until(c.end-1+c.deadAfter, 0)
				p.expect(true)
			}
			if t.Failed() {
				t.Fatalf("dead_after %v, %s", c.deadAfter, name)
			}
		}
	}
}

// A connection that is gone is no sign of life, though there are fewer segments then.
func TestConnectionThatIsGoneIsNoSign(t *testing.T) {
	p := newPlay(t, 20*ms, 50*ms, 2)
	p.lanes[1].early = 7
	p.until(60*ms, 0)
	p.lanes = p.lanes[:1]
	p.until(119*ms, 0)
	p.expect(true)
	if p.now != 119*ms || p.due > 70*ms {
		t.Errorf("at %v, looked at %v", p.now, p.due)
	}
}

// What came on a connection is known whether it is one that carries a lane, one that is to replace it, or one that was replaced, but not of
// one that is given up. What is not to be read yet does not count as unread.
func TestEvidenceOfEveryConnection(t *testing.T) {
	l, s := stillLink(t)
	s.heard.now = l.e.cfg.Now
	received := func(number int) *lane {
		here, there := tcpPair(t)
		if _, err := there.Write(make([]byte, 3)); err != nil {
			t.Fatal(err)
		}
		ln := newLane(s, number, nil, newWire(here))
		poll(t, func() bool {
			sign, _, ok := ln.wire.sign()
			return ok && sign.unread == 3
		}, func() string { return "it is not known what came" })
		return ln
	}
	unread := func() (counts []int) {
		for _, sign := range s.evidence().signs {
			counts = append(counts, sign.unread)
		}
		return counts
	}
	s.lanes = [MaxLanes]*lane{received(0), received(1)}
	s.joining[1] = received(1)
	s.draining = []*lane{received(0)}
	if got := unread(); !slices.Equal(got, []int{3, 3, 3, 3}) {
		t.Errorf("%v", got)
	}
	s.draining[0].lost.Store(true)
	s.joining[1].waiting.Store(true)
	if got := unread(); !slices.Equal(got, []int{3, 3, 0}) {
		t.Errorf("with one that is lost and one that waits: %v", got)
	}
}

// A lane that replaces another one waits while more may come on that.
func TestWaitingLaneSaysSo(t *testing.T) {
	_, s := stillLink(t)
	ln, before := s.lanes[0], make(chan struct{})
	ln.after = before
	done := make(chan struct{})
	go func() {
		defer close(done)
		ln.waitTurn()
	}()
	poll(t, ln.waiting.Load, func() string { return "it does not wait" })
	close(before)
	next(t, done, "its turn")
	if ln.waiting.Load() {
		t.Error("it waits still")
	}
}

// tcpPair is a connection over loopback.
func tcpPair(t *testing.T) (here, there net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if there, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { there.Close() })
	if here, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { here.Close() })
	return here, there
}

// After a sleep there are no signs, and only what was read counts.
func TestNoSigns(t *testing.T) {
	v := liveness{keepalive: time.Second, deadAfter: 3 * time.Second}
	if again, err := v.look(evidence{silence: 2 * time.Second}); err != nil || again != time.Second {
		t.Errorf("%v, %v", again, err)
	}
	if _, err := v.look(evidence{silence: 3 * time.Second}); err == nil {
		t.Error("not dead")
	}
}

// A way that is another is proved by an answer to what was sent since, and not by what comes.
func TestProof(t *testing.T) {
	for name, c := range map[string]struct {
		pong time.Duration   // 0: none
		acks []time.Duration // when the peer acknowledged something
		end  time.Duration   // 0: none
	}{
		"answered":                      {pong: 1100 * ms},
		"answered what was sent before": {pong: 900 * ms, end: 3 * time.Second},
		"nothing":                       {end: 3 * time.Second},
		"what was on its way":           {acks: []time.Duration{1100 * ms}, end: 5 * time.Second},
		"a slow path":                   {acks: []time.Duration{1100 * ms, 2 * time.Second, 4 * time.Second}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlay(t, time.Second, time.Minute, 1)
			p.until(time.Second, 0)
			p.v.question(p.evidence(), "the way is another")
			p.look()
			acks := c.acks
			for at := 1020 * ms; at < 10*time.Second && p.err == nil; at += 20 * ms {
				p.until(at, 0)
				p.read, p.lanes[0].came = at, at // the other direction works
				if len(acks) > 0 && at >= acks[0] {
					p.acked, acks = p.acked+1000, acks[1:]
				}
				if c.pong != 0 && at >= 1200*ms {
					p.pong = c.pong
				}
			}
			switch p.expect(c.end != 0); {
			case c.end == 0:
			case p.now < c.end || p.now > c.end+20*ms:
				t.Errorf("ended at %v, want %v", p.now, c.end)
			default:
				if lost := (*lostWay)(nil); !errors.As(p.err, &lost) || !strings.HasPrefix(p.err.Error(), "the way is another, and ") {
					t.Error(p.err)
				}
			}
		})
	}
}

// Silence ends a session also while a proof is waited for.
func TestSilenceWhileProved(t *testing.T) {
	p := newPlay(t, 20*ms, 50*ms, 1)
	p.v.question(p.evidence(), "the way is another")
	p.look()
	p.until(time.Second, 0)
	p.expect(true)
	if p.now != time.Second || p.due > 60*ms {
		t.Errorf("%v", p.due)
	}
}
