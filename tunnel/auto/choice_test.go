package auto

import (
	"strings"
	"testing"
	"time"
)

// player plays time against a choice: each second the peer reports, and the choice decides.
type player struct {
	t    *testing.T
	c    *choice
	now  time.Time
	f    facts
	sent uint64
	got  float64

	rate  int     // packets a second that this end sends over WireGuard while that carries
	loss  float64 // of all that it sends by it
	size  int     // bytes of each of these
	tls   float64 // bytes a second that it sends over TLS while that carries
	bytes float64
	mute  bool // the peer reports nothing
	moves []string
}

func newPlayer(t *testing.T) *player {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	p := &player{t: t, c: newChoice(now, time.Second), now: now, rate: 1000}
	p.f.reports, p.f.hears, p.f.bbr = true, true, true
	return p
}

func (p *player) up(t Transport, up bool, why string) {
	p.f.up[t], p.f.why[t] = up, why
	p.step()
}

func (p *player) step() {
	if p.c.step(p.now, &p.f) {
		p.moves = append(p.moves, p.c.carries.String())
	}
}

// pass lets so many seconds go by.
func (p *player) pass(seconds int) {
	for range seconds {
		p.now = p.now.Add(time.Second)
		rate := 1
		switch {
		case p.c.carries == WireGuard && p.f.up[WireGuard]:
			rate = p.rate
			p.bytes += float64(rate * p.size)
		default:
			rate += p.c.proves(p.now, &p.f) / proofTicks
			p.bytes += p.tls
		}
		if p.f.up[WireGuard] {
			p.sent += uint64(rate)
			p.got += float64(rate) * (1 - p.loss)
		}
		if p.f.up[TLS] && !p.mute {
			p.c.losses.add(report{p.now, p.sent, uint64(p.got), uint64(p.bytes)})
		}
		p.step()
	}
}

func (p *player) want(by Transport, why string) {
	p.t.Helper()
	if p.c.carries != by || !strings.Contains(p.c.why, why) {
		p.t.Fatalf("carried by %v (%s), want %v (%s); moves %v", p.c.carries, p.c.why, by, why, p.moves)
	}
}

// both begins with both up, WireGuard carrying.
func both(t *testing.T) *player {
	p := newPlayer(t)
	p.up(TLS, true, "")
	p.want(TLS, "WireGuard is not up yet")
	p.up(WireGuard, true, "")
	p.want(WireGuard, preferred)
	p.pass(60)
	p.want(WireGuard, preferred)
	p.moves = nil
	return p
}

func TestWireGuardIsPreferredAtOnce(t *testing.T) {
	p := newPlayer(t)
	p.up(WireGuard, true, "")
	p.want(WireGuard, "TLS is not up yet")
	p.up(TLS, true, "")
	p.want(WireGuard, preferred)
	if p.moves != nil {
		t.Errorf("moves %v", p.moves)
	}
	both(t)
}

func TestTheOneThatWorksCarries(t *testing.T) {
	p := newPlayer(t)
	p.up(TLS, true, "")
	p.pass(1000)
	p.want(TLS, "WireGuard is not up yet")
	p = newPlayer(t)
	p.up(WireGuard, true, "")
	p.loss, p.f.reports = 1, false
	p.pass(1000)
	p.want(WireGuard, "TLS is not up yet")
}

// WireGuard that goes down is left in the same moment, and returned to when it has been up for a while.
func TestDeadIsLeftAtOnce(t *testing.T) {
	p := both(t)
	p.up(WireGuard, false, "silence")
	p.want(TLS, "WireGuard is down: silence")
	p.pass(30)
	p.up(WireGuard, true, "")
	p.want(TLS, "WireGuard is down: silence")
	p.pass(9)
	p.want(TLS, "silence")
	p.pass(2)
	p.want(WireGuard, preferred)
	p.up(TLS, false, "hung up")
	p.want(WireGuard, "TLS is down: hung up")
	p.up(TLS, true, "")
	p.want(WireGuard, preferred)
}

// TLS that goes down while it carries is left at once too, however short WireGuard has worked.
func TestAnyIsBetterThanNone(t *testing.T) {
	p := both(t)
	p.up(WireGuard, false, "silence")
	p.up(WireGuard, true, "")
	p.want(TLS, "silence")
	p.up(TLS, false, "reset")
	p.want(WireGuard, "TLS is down: reset")
}

// A direction that is dead the peer notices, and says so over TLS.
func TestPeerHearsNothing(t *testing.T) {
	p := both(t)
	p.f.hears = false
	p.step()
	p.want(TLS, "the peer receives nothing over WireGuard")
	p.pass(100)
	p.want(TLS, "receives nothing")
	p.f.hears = true
	p.step()
	p.pass(9)
	p.want(TLS, "receives nothing")
	p.pass(3)
	p.want(WireGuard, preferred)
	p.f.hears = false // means nothing if it does not report
	p.f.reports = false
	p.step()
	p.want(WireGuard, preferred)
}

// WireGuard that is at another router than TLS is left, and is no longer in coming back for that.
func TestAstrayIsNoFault(t *testing.T) {
	p := both(t)
	for range 10 {
		p.f.hears, p.f.astray, p.f.other = false, true, true
		p.step()
		p.want(TLS, "WireGuard is at another router than TLS")
		p.f.hears, p.f.astray, p.f.other = true, false, false
		p.pass(8)
		p.want(TLS, "another router")
		p.pass(4)
		p.want(WireGuard, preferred)
		p.f.astray, p.f.other = true, true // two addresses of one router
		p.pass(10)
		p.want(WireGuard, preferred)
	}
}

// TLS may say nothing for a moment, as while TCP sends again what was lost. Nothing that this end sends would arrive over
// WireGuard, if the peer has said so.
func TestSilentIsBetterThanDeaf(t *testing.T) {
	p := both(t)
	p.f.hears = false
	p.step()
	p.want(TLS, "receives nothing")
	p.f.silent = [2]bool{TLS: true}
	p.pass(10)
	p.want(TLS, "receives nothing")
	p.up(TLS, false, "silence")
	p.want(WireGuard, "TLS is down: silence")
}

// One that is up and silent is left too, if the other is not.
func TestSilentIsLeft(t *testing.T) {
	p := both(t)
	p.f.silent = [2]bool{true, true}
	p.pass(10)
	p.want(WireGuard, preferred)
	p.f.silent = [2]bool{WireGuard: true}
	p.step()
	p.want(TLS, "nothing comes over WireGuard")
	p.f.silent = [2]bool{TLS: true}
	p.step()
	p.want(WireGuard, "nothing comes over TLS")
	p.f.silent = [2]bool{}
	p.pass(5)
	p.want(WireGuard, preferred)
	p.f.silent, p.f.up[TLS] = [2]bool{WireGuard: true}, false
	p.step()
	p.want(WireGuard, "TLS is not up yet")
}

func TestLossesThatLast(t *testing.T) {
	for _, c := range []struct {
		name  string
		rate  int
		loss  float64
		leave bool
	}{
		{"one in twenty", 1000, 0.05, true},
		{"one in fifty and more", 1000, 0.021, true},
		{"one in a hundred", 1000, 0.01, false},
		{"none", 1000, 0, false},
		{"few packets", 15, 0.2, false},
		{"all that it takes", 30, 0.2, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := both(t)
			p.rate, p.loss = c.rate, c.loss
			p.pass(3)
			p.want(WireGuard, preferred)
			p.pass(9)
			if c.leave {
				p.want(TLS, "% of the packets that are sent over WireGuard get lost")
			} else {
				p.pass(600)
				p.want(WireGuard, preferred)
			}
		})
	}
}

// An outage of a moment, or a queue that overflows now and then, is no reason.
func TestShortLosses(t *testing.T) {
	p := both(t)
	for range 20 {
		p.loss = 0.3
		p.pass(2)
		p.loss = 0
		p.pass(8)
	}
	p.want(WireGuard, preferred)
	if p.moves != nil {
		t.Errorf("moves %v", p.moves)
	}
}

// While it loses, what is sent to try it gets lost as well. When it does not any more, it carries again.
func TestLossyIsProvedFirst(t *testing.T) {
	p := both(t)
	p.loss = 0.05
	p.pass(3600)
	p.want(TLS, "get lost")
	if len(p.moves) != 1 {
		t.Errorf("moves %v", p.moves)
	}
	p.loss = 0
	p.pass(int(mostPause/time.Second) + 2)
	p.want(WireGuard, preferred)
}

// One that loses only under load, so that it proves well, is left ever longer.
func TestPausesGrow(t *testing.T) {
	p := both(t)
	for range 7200 {
		p.loss = 0
		if p.c.carries == WireGuard {
			p.loss = 0.05
		}
		p.pass(1)
	}
	if n := len(p.moves); n < 10 || n > 40 {
		t.Errorf("%d moves in two hours: %v", n, p.moves)
	}
	p.loss = 0
	p.pass(int(mostPause/time.Second) + 2)
	p.want(WireGuard, preferred)
	p.pass(int(steadyAfter / time.Second))
	p.up(WireGuard, false, "silence") // it was well for long
	p.up(WireGuard, true, "")
	p.pass(12)
	p.want(WireGuard, preferred)
}

// The longer round trip is a reason when it is clearly longer, for a while.
func TestRoundTrips(t *testing.T) {
	for _, c := range []struct {
		tls, wg time.Duration
		leave   bool
	}{{20 * ms, 100 * ms, true}, {20 * ms, 59 * ms, false}, {ms, 15 * ms, false}, {100 * ms, 20 * ms, false}, {0, 100 * ms, false}} {
		p := both(t)
		p.f.rtt = [2]time.Duration{TLS: c.tls, WireGuard: c.wg}
		p.pass(9)
		p.want(WireGuard, preferred)
		p.pass(3)
		if !c.leave {
			p.pass(600)
			p.want(WireGuard, preferred)
			continue
		}
		p.want(TLS, "the round trip over WireGuard is 100ms, and over TLS 20ms")
		p.pass(60)
		p.want(TLS, "round trip")
		p.f.rtt[WireGuard] = c.tls
		p.pass(int(mostPause / time.Second))
		p.want(WireGuard, preferred)
	}
	p := both(t)
	for range 100 { // of moments
		p.f.rtt = [2]time.Duration{TLS: ms, WireGuard: 200 * ms}
		p.pass(9)
		p.f.rtt[WireGuard] = ms
		p.pass(1)
	}
	p.want(WireGuard, preferred)
}

// A tunnel that was down begins again with what comes first, and WireGuard.
func TestBeginsAgain(t *testing.T) {
	p := both(t)
	p.up(WireGuard, false, "silence")
	p.up(TLS, false, "silence")
	p.want(TLS, "WireGuard is down: silence")
	p.up(WireGuard, true, "")
	p.want(WireGuard, "TLS is down: silence")
}

// A peer that counts from zero again has not lost everything, and what it counts wrongly is nothing.
func TestReportsThatRunBack(t *testing.T) {
	now := time.Now()
	l := losses{keep: time.Minute}
	for i, r := range [][2]uint64{{1000, 1000}, {2000, 2000}, {10, 10}, {500, 400}, {600, 900}} {
		l.add(report{now.Add(time.Duration(i) * time.Second), r[0], r[1], 0})
	}
	if rate, sent := l.rate(now.Add(4*time.Second), 10*time.Second); rate != 0 || sent != 590 {
		t.Errorf("%v of %d", rate, sent)
	}
	l.add(report{now.Add(5 * time.Second), 1600, 1000, 0})
	if rate, sent := l.rate(now.Add(5*time.Second), time.Second/2); rate != 0.9 || sent != 1000 {
		t.Errorf("%v of %d", rate, sent)
	}
	for i := range 1000 {
		l.add(report{now.Add(time.Duration(i) * time.Second), 1600, 1000, 0})
	}
	if len(l.reports) > 62 {
		t.Errorf("%d reports are kept", len(l.reports))
	}
}

// However many reports a peer sends, few are kept: each decision looks at all of them. What they say in all is the same.
func TestManyReports(t *testing.T) {
	p := both(t)
	from := p.now
	for i := range 100_000 {
		sent := p.sent + uint64(i)
		p.c.losses.add(report{from.Add(time.Duration(i) * 100 * time.Microsecond), sent, sent - uint64(i)/2, 0})
		if n := len(p.c.losses.reports); n > 100 {
			t.Fatalf("%d reports are kept after %d", n, i)
		}
	}
	if rate, sent := p.c.losses.rate(from.Add(10*time.Second), 9*time.Second); sent < 80_000 || rate < 0.49 || rate > 0.51 {
		t.Errorf("%v of %d", rate, sent)
	}
}
