package auto

import (
	"math"
	"testing"
	"time"
)

// carry has this end send so many Mbit/s, in packets of so many bytes, over WireGuard, and over TLS.
func (p *player) carry(wireguard float64, size int, tls float64) {
	p.rate, p.size, p.tls = int(wireguard*1e6/8/float64(size)), size, tls*1e6/8
}

const ms = time.Millisecond

// The formula gives what was measured at 1 and 5 %, 7 and 2 Mbit/s (docs/speed.md, Paths), and less than that at 0.1 %, where cubic grows
// faster than Reno.
func TestWhatLossesAllow(t *testing.T) {
	for _, c := range []struct{ loss, mbit float64 }{{0.05, 3}, {0.01, 6.7}, {0.001, 21}} {
		if got := 8 * allows(c.loss, 20*ms) / 1e6; math.Abs(got-c.mbit) > 0.1*c.mbit {
			t.Errorf("%v lost: %.1f Mbit/s, want %v", c.loss, got, c.mbit)
		}
	}
}

// Few losses are a reason where they bound what is sent, TLS makes them good, and the trial shows that.
func TestBoundByLosses(t *testing.T) {
	for _, c := range []struct {
		name string
		rtt  time.Duration
		loss float64
		mbit float64 // sent over WireGuard
		size int
		bbr  bool
		want bool
	}{
		{"a stream, 0.1 %", 20 * ms, 0.001, 50, 1400, true, true},
		{"a stream, 1 %", 20 * ms, 0.01, 7, 1400, true, true},
		{"four streams, 1 %", 20 * ms, 0.01, 29, 1400, true, true},
		{"far away", 100 * ms, 0.001, 4, 1400, true, true},
		{"cubic", 20 * ms, 0.01, 7, 1400, false, false},
		{"next to nothing lost", 20 * ms, 0.0002, 100, 1400, true, false},
		{"a LAN", ms, 0.001, 400, 1400, true, false},
		{"no round trip known", 0, 0.001, 400, 1400, true, false},
		{"calls", 20 * ms, 0.001, 1, 200, true, false},
		{"many calls, far away", 200 * ms, 0.01, 2, 200, true, false},
		{"slow for another reason", 20 * ms, 0.001, 5, 1400, true, false},
		{"idle", 20 * ms, 0.01, 0.001, 100, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := both(t)
			p.f.rtt, p.f.bbr, p.loss = [2]time.Duration{c.rtt, c.rtt}, c.bbr, c.loss
			p.carry(c.mbit, c.size, 10*c.mbit)
			p.pass(boundTicks + 5)
			if c.want {
				p.want(TLS, "which bounds what TCP carries")
			} else {
				p.want(WireGuard, preferred)
			}
			p.pass(3600)
			if c.want {
				p.want(TLS, "which bounds what TCP carries")
			} else {
				p.want(WireGuard, preferred)
			}
			if c.want != (len(p.moves) == 1) {
				t.Errorf("moves %v", p.moves)
			}
		})
	}
}

// An outage of a moment bounds nothing.
func TestOutageBoundsNothing(t *testing.T) {
	p := both(t)
	p.f.rtt[WireGuard] = 20 * ms
	p.carry(50, 1400, 500)
	for range 100 {
		p.loss = 0.3
		p.pass(1)
		p.loss = 0
		p.pass(boundTicks + 5)
	}
	if p.moves != nil {
		t.Errorf("moves %v", p.moves)
	}
}

// On a narrow line TCP loses as much by itself, and TLS carries no more: it is tried for a moment, and ever more seldom.
func TestTrialInVain(t *testing.T) {
	p := both(t)
	p.f.rtt, p.loss = [2]time.Duration{20 * ms, 20 * ms}, 0.005
	p.carry(10, 1400, 10)
	for range boundTicks {
		if p.c.carries == WireGuard {
			p.pass(1)
		}
	}
	p.want(TLS, "bounds")
	p.pass(trialTicks - 1)
	p.want(TLS, "bounds")
	p.pass(3)
	p.want(WireGuard, preferred)
	p.pass(int(firstRest/time.Second) - 5)
	p.want(WireGuard, preferred)
	if len(p.moves) != 2 {
		t.Errorf("moves %v", p.moves)
	}
	onTLS := 0
	for range 4 * 3600 {
		if p.pass(1); p.c.carries == TLS {
			onTLS++
		}
	}
	if n := len(p.moves); n < 20 || n > 80 || onTLS > 4*3600/30 {
		t.Errorf("%d moves in four hours, carried by TLS for %d s", n, onTLS)
	}
	p.tls *= 10 // a wider line
	p.pass(int(mostPause/time.Second) + boundTicks + trialTicks)
	p.want(TLS, "bounds")
	p.pass(3600)
	p.want(TLS, "bounds")
}

// WireGuard that dies while TLS is tried ends the trial: it comes back as after any other failure.
func TestDiesInTrial(t *testing.T) {
	p := both(t)
	p.f.rtt, p.loss = [2]time.Duration{20 * ms, 20 * ms}, 0.01
	p.carry(7, 1400, 300)
	for p.c.carries == WireGuard {
		p.pass(1)
	}
	p.up(WireGuard, false, "silence")
	p.pass(2 * trialTicks)
	p.loss = 0
	p.up(WireGuard, true, "")
	p.pass(8)
	p.want(TLS, "bounds")
	p.pass(5)
	p.want(WireGuard, preferred)
}

// When there is no such traffic any more, packets go back to what does not make them wait, losses or not.
func TestTrafficIsOver(t *testing.T) {
	for _, loss := range []float64{0.005, 0.018} { // less and more than half of what WireGuard is left for with any traffic
		p := both(t)
		p.f.rtt, p.loss = [2]time.Duration{20 * ms, 20 * ms}, loss
		p.carry(10, 1400, 300)
		p.pass(600)
		p.want(TLS, "bounds")
		p.carry(1, 200, 1)
		p.pass(boundTicks + proofTicks + 5)
		p.want(WireGuard, preferred)
		p.pass(3600)
		p.want(WireGuard, preferred)
	}
}

// A path that loses nothing any more is gone back to, though as much is sent as before. One that loses a little is not.
func TestNothingIsLostAnyMore(t *testing.T) {
	p := both(t)
	p.f.rtt, p.loss = [2]time.Duration{20 * ms, 20 * ms}, 0.01
	p.carry(7, 1400, 300)
	p.pass(60)
	p.want(TLS, "bounds")
	p.loss = 0.001
	p.pass(3600)
	p.want(TLS, "bounds")
	p.loss = 0
	p.carry(300, 1400, 300)
	p.pass(int(mostPause/time.Second) + proofTicks + 5)
	p.want(WireGuard, preferred)
	p.pass(600)
	p.want(WireGuard, preferred)
}

// Without bbr TLS carries no more where packets get lost, and holds up what waits: losses are no reason to go there, nor to stay.
func TestLossesWithoutBBR(t *testing.T) {
	for _, c := range []struct {
		loss  float64
		leave bool
	}{{0.02, false}, {0.05, false}, {0.15, false}, {0.3, true}} {
		p := both(t)
		p.f.bbr, p.loss = false, c.loss
		p.pass(30)
		if c.leave {
			p.want(TLS, "% of the packets that are sent over WireGuard get lost")
			p.pass(3600)
			p.want(TLS, "% of the packets that are sent over WireGuard get lost")
			continue
		}
		p.want(WireGuard, preferred)
		if c.loss > lossiestAt/2 {
			continue
		}
		p.f.silent = [2]bool{WireGuard: true}
		p.step()
		p.want(TLS, "nothing comes over WireGuard")
		p.f.silent = [2]bool{}
		p.pass(30)
		p.want(WireGuard, preferred)
	}
}
