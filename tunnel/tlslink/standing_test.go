package tlslink

import (
	"testing"
	"time"
)

// A path is watched in rounds of 20 ms and 25 at most; each case is what is seen in them.
func TestStandingQueue(t *testing.T) {
	const ms = time.Millisecond
	type seen struct {
		rounds int
		mbits  float64       // delivered
		queue  time.Duration // on the path
		noise  time.Duration // deviation of round trips
		flight int
	}
	busy := seen{10, 10, 40 * ms, ms, 80}
	for name, tc := range map[string]struct {
		seen []seen
		held []float64 // Mbit/s, each time that it changes; 0: no bound
	}{
		"nothing is sent":          {[]seen{{50, 0, 0, 0, 0}}, nil},
		"no queue":                 {[]seen{{50, 10, 2 * ms, ms, 80}}, nil},
		"a queue":                  {[]seen{busy}, []float64{9}},
		"it goes":                  {[]seen{busy, {2, 9, 0, ms, 20}, busy}, []float64{9, 0}},
		"it comes back":            {[]seen{busy, {2, 9, 0, ms, 20}, busy, busy, busy}, []float64{9, 0, 9}},
		"it does not go":           {[]seen{busy, {17, 9, 40 * ms, ms, 80}}, []float64{9, 0}},
		"and is left alone then":   {[]seen{busy, {30, 9, 40 * ms, ms, 80}}, []float64{9, 0}},
		"for a while":              {[]seen{busy, {45, 9, 40 * ms, ms, 80}}, []float64{9, 0, 8.1}},
		"the rate grows":           {[]seen{{1, 10, 40 * ms, ms, 80}, {1, 14, 40 * ms, ms, 80}, {1, 19, 40 * ms, ms, 80}, {1, 25, 40 * ms, ms, 80}}, nil},
		"round trips vary":         {[]seen{{50, 10, 40 * ms, 20 * ms, 80}}, nil},
		"few segments":             {[]seen{{50, 1, 40 * ms, ms, 8}}, nil},
		"a path that is fast":      {[]seen{{50, 400, 40 * ms, ms, 800}}, nil},
		"a queue that is no queue": {[]seen{{50, 10, 6 * ms, ms, 80}}, nil},
	} {
		var s standing
		var held []float64
		now, p := time.Hour, path{shortest: 20 * ms, delivered: 1 << 20}
		for _, c := range tc.seen {
			for range c.rounds {
				p.roundTrip, p.deviance, p.flight = p.shortest+c.queue, c.noise, c.flight
				now += p.roundTrip
				p.delivered += uint64(c.mbits * 1e6 / 8 * p.roundTrip.Seconds())
				if rate, changed := s.look(now, p); changed {
					held = append(held, float64(rate)*8/1e6)
				}
			}
		}
		same := len(held) == len(tc.held)
		for i := 0; same && i < len(held); i++ {
			d := held[i] - tc.held[i]
			same = d > -0.2 && d < 0.2
		}
		if !same {
			t.Errorf("%s: held at %.1f Mbit/s, want %.1f", name, held, tc.held)
		}
	}
}
