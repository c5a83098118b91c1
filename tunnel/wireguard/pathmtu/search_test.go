package pathmtu

import (
	"math/rand/v2"
	"testing"
	"time"
)

// A path is played with a clock that moves only from one event to the next.
type path struct {
	*Search
	t     *testing.T
	now   time.Time
	start time.Time

	passes int           // the longest packet that does
	rtt    time.Duration //
	mute   bool          // nothing is answered
	loss   float64       // of each probe or its answer
	random *rand.Rand
	busy   bool // large packets are sent all the time

	waiting []answer
	probes  int
	lowest  int // limit since the last look
}

type answer struct {
	at   time.Time
	size int
}

func newPath(t *testing.T, largest int) *path {
	now := time.Unix(1e9, 0)
	return &path{
		Search: New(largest), t: t, now: now, start: now, passes: largest, rtt: 20 * time.Millisecond,
		random: rand.New(rand.NewPCG(1, 2)), lowest: largest,
	}
}

// wait lets time go by.
func (p *path) wait(d time.Duration) {
	p.t.Helper()
	for end, steps := p.now.Add(d), 0; ; steps++ {
		if steps > 100_000 {
			p.t.Fatalf("at %v the search never rests", p.now.Sub(p.start))
		}
		if p.busy {
			p.Busy()
		}
		next := end.Add(1)
		if due := p.Due(); !due.IsZero() && due.Before(next) {
			next = due
		}
		if len(p.waiting) > 0 && p.waiting[0].at.Before(next) {
			next = p.waiting[0].at
		}
		if next.After(end) {
			p.now = end
			return
		}
		if next.After(p.now) {
			p.now = next
		}
		if len(p.waiting) > 0 && !p.waiting[0].at.After(p.now) {
			a := p.waiting[0]
			p.waiting = p.waiting[1:]
			p.Answered(p.now, a.size)
		} else {
			for _, size := range p.Tick(p.now) {
				p.probes++
				if !p.mute && size <= p.passes && p.random.Float64() >= p.loss {
					p.waiting = append(p.waiting, answer{p.now.Add(p.rtt), size})
				}
			}
		}
		p.lowest = min(p.lowest, p.Limit())
	}
}

// is looks at what was found, and at how many probes that took at most.
func (p *path) is(limit, probes int) {
	p.t.Helper()
	if p.Limit() != limit || !p.Settled() || p.probes > probes {
		p.t.Errorf("after %v: limit %d, want %d; settled %v; %d probes, at most %d are wanted",
			p.now.Sub(p.start), p.Limit(), limit, p.Settled(), p.probes, probes)
	}
	p.probes, p.lowest = 0, p.Limit()
}

func TestSearch(t *testing.T) {
	for name, play := range map[string]func(p *path){
		"everything passes": func(p *path) {
			p.wait(time.Minute)
			p.is(1420, 2)
			p.wait(time.Hour)
			p.is(1420, 60)
		},
		"1,340 bytes pass": func(p *path) {
			p.passes = 1340
			p.wait(15 * time.Second)
			p.is(1340, 60)
			p.wait(time.Hour)
			p.is(1340, 120)
		},
		"1,280 bytes pass": func(p *path) {
			p.passes = 1280
			p.wait(15 * time.Second)
			p.is(1280, 70)
		},
		"less than IPv6 demands": func(p *path) {
			p.passes = 1000
			p.wait(30 * time.Second)
			p.is(1000, 100)
		},
		"very little": func(p *path) {
			p.passes = 300
			p.wait(30 * time.Second)
			p.is(Floor, 120)
		},
		"a queue of seconds": func(p *path) {
			p.passes, p.rtt = 1340, 2*time.Second
			p.wait(3 * time.Minute)
			p.is(1340, 60)
		},
		"the path becomes narrower, and large packets are sent": func(p *path) {
			p.busy = true
			p.wait(time.Minute)
			p.is(1420, 12)
			p.passes = 1300
			p.wait(confirmBusy + 10*time.Second)
			p.is(1300, 80)
			p.passes = 1290
			p.wait(confirmBusy + 10*time.Second)
			p.is(1290, 80)
		},
		"the path becomes narrower, and nothing is sent": func(p *path) {
			p.wait(time.Minute)
			p.passes = 1300
			p.wait(confirmIdle + 10*time.Second)
			p.is(1300, 80)
		},
		"narrower than before, during the search": func(p *path) {
			p.passes = 1340
			p.wait(2 * time.Second)
			p.passes = 900
			p.wait(5 * time.Minute)
			p.is(900, 200)
		},
		"the path becomes wider": func(p *path) {
			p.passes = 1340
			p.wait(time.Minute)
			p.passes = 1420
			p.wait(raiseEvery)
			p.is(1420, 100)
			p.wait(time.Hour)
			p.is(1420, 62)
		},
		"the path becomes a bit wider": func(p *path) {
			p.passes = 1340
			p.wait(time.Minute)
			p.passes = 1400
			p.wait(raiseEvery + 15*time.Second)
			p.is(1400, 120)
		},
		"the peer goes elsewhere, and back": func(p *path) {
			p.passes = 1340
			p.wait(time.Minute)
			p.is(1340, 60)
			p.passes = 1420
			p.Restart(p.now)
			p.wait(time.Second)
			p.is(1420, 2)
			p.passes = 1340
			p.Restart(p.now) // too soon
			p.wait(20 * time.Second)
			p.is(1340, 60)
			p.passes = 1290
			p.Restart(p.now)
			p.wait(20 * time.Second)
			p.is(1290, 60)
		},
		"it goes elsewhere all the time": func(p *path) {
			for range 1000 {
				p.Restart(p.now)
				p.wait(50 * time.Millisecond)
			}
			p.wait(time.Minute)
			p.is(1420, 30)
		},
		"the tunnel goes down, and up": func(p *path) {
			p.passes = 1340
			p.wait(time.Minute)
			p.is(1340, 60)
			p.Stop()
			p.mute = true
			p.wait(time.Hour)
			p.is(1340, 0)
			p.mute = false
			p.Restart(p.now)
			p.wait(20 * time.Second)
			p.is(1340, 60)
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPath(t, 1420)
			p.t = t
			p.Restart(p.now)
			play(p)
		})
	}
}

// A peer that answers nothing is left alone, and nothing is concluded from it.
func TestSearchOfAMutePeer(t *testing.T) {
	p := newPath(t, 1420)
	p.mute, p.busy = true, true
	p.Restart(p.now)
	p.wait(24 * time.Hour)
	if p.Limit() != 1420 || p.probes > 1000 {
		t.Errorf("limit %d; %d probes in a day", p.Limit(), p.probes)
	}
	// It answers from now on.
	p.mute, p.passes = false, 1340
	p.wait(muteForGood + 20*time.Second)
	p.probes = 0
	p.is(1340, 0)
	// And not any more: what was found stays.
	p.mute = true
	p.wait(time.Hour)
	if p.Limit() != 1340 || p.probes > 600 {
		t.Errorf("limit %d; %d probes in an hour", p.Limit(), p.probes)
	}
}

// Losses alone clamp nothing for long, and what does not pass is found in spite of them.
func TestSearchWithLosses(t *testing.T) {
	for _, loss := range []float64{0.05, 0.2} {
		p := newPath(t, 1420)
		p.loss, p.busy = loss, true
		p.Restart(p.now)
		clamped := 0
		for range 24 * 60 {
			p.wait(time.Minute)
			if p.Limit() < 1420 {
				clamped++
			}
		}
		if clamped > 60 {
			t.Errorf("%.0f %% lost: clamped for %d minutes of a day", 100*loss, clamped)
		}
		p.passes = 1340
		p.wait(2 * time.Minute)
		if got := p.Limit(); got > 1340 || got < Base {
			t.Errorf("%.0f %% lost: limit %d, and 1340 pass", 100*loss, got)
		}
	}
}

// Any largest packet, and any size that passes.
func TestSearchFindsAnySize(t *testing.T) {
	for _, largest := range []int{Base, Base + 1, 1420, 1500, 8920, 65475} {
		for _, passes := range []int{Small, Floor - 1, Floor, 1000, Base - 1, Base, Base + 1, largest - 1, largest, 2 * largest} {
			p := newPath(t, largest)
			p.passes = passes
			p.Restart(p.now)
			p.wait(time.Minute)
			p.is(max(Floor, min(largest, passes)), 200)
		}
	}
}
