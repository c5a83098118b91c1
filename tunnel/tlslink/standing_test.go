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
		lost   float64 // part of what is sent, while bbr is in startup; 0: it is not
	}
	busy := seen{10, 10, 40 * ms, ms, 80, 0}
	for name, tc := range map[string]struct {
		seen []seen
		held []float64 // Mbit/s, each time that it changes; 0: no bound
	}{
		"nothing is sent":                {[]seen{{50, 0, 0, 0, 0, 0}}, nil},
		"no queue":                       {[]seen{{50, 10, 2 * ms, ms, 80, 0}}, nil},
		"a queue":                        {[]seen{busy}, []float64{9}},
		"it goes":                        {[]seen{busy, {2, 9, 0, ms, 20, 0}, busy}, []float64{9, 0}},
		"it comes back":                  {[]seen{busy, {2, 9, 0, ms, 20, 0}, busy, busy, busy}, []float64{9, 0, 9}},
		"it does not go":                 {[]seen{busy, {17, 9, 40 * ms, ms, 80, 0}}, []float64{9, 0}},
		"and is left alone then":         {[]seen{busy, {30, 9, 40 * ms, ms, 80, 0}}, []float64{9, 0}},
		"for a while":                    {[]seen{busy, {45, 9, 40 * ms, ms, 80, 0}}, []float64{9, 0, 8.1}},
		"the rate grows":                 {[]seen{{1, 10, 40 * ms, ms, 80, 0}, {1, 14, 40 * ms, ms, 80, 0}, {1, 19, 40 * ms, ms, 80, 0}, {1, 25, 40 * ms, ms, 80, 0}}, nil},
		"round trips vary":               {[]seen{{50, 10, 40 * ms, 20 * ms, 80, 0}}, nil},
		"few segments":                   {[]seen{{50, 1, 40 * ms, ms, 8, 0}}, nil},
		"a path that is fast":            {[]seen{{50, 400, 40 * ms, ms, 800, 0}}, nil},
		"a short queue drops much":       {[]seen{{10, 100, 1 * ms, ms, 80, 0.3}}, []float64{90}},
		"and some":                       {[]seen{{10, 100, 2 * ms, ms, 80, 0.1}}, []float64{90}},
		"now and then":                   {[]seen{{3, 100, 2 * ms, ms, 80, 0.1}, {2, 90, 0, ms, 80, 0.01}, {2, 90, 2 * ms, ms, 80, 0.1}, {1, 80, 0, ms, 80, 0.01}, {1, 80, 2 * ms, ms, 80, 0.1}}, []float64{90}},
		"until bbr sees it":              {[]seen{{5, 100, 1 * ms, ms, 80, 0.3}, {1, 90, 0, ms, 80, 0.01}, {1, 90, 0, ms, 80, 0}}, []float64{90, 0}},
		"the path loses by itself":       {[]seen{{50, 100, 0, ms, 80, 0.1}}, nil},
		"bbr has seen the path full":     {[]seen{{50, 100, 2 * ms, ms, 80, 0}}, nil},
		"what little there is gets lost": {[]seen{{50, 0.3, 2 * ms, ms, 80, 0.3}}, nil},
		"it loses while the rate grows":  {[]seen{{1, 100, 2 * ms, ms, 80, 0.3}, {1, 140, 2 * ms, ms, 80, 0.3}, {1, 190, 2 * ms, ms, 80, 0.3}, {1, 250, 2 * ms, ms, 80, 0.3}}, nil},
		"a queue that is no queue":       {[]seen{{50, 10, 6 * ms, ms, 80, 0}}, nil},
	} {
		var s standing
		var held []float64
		now, p := time.Hour, path{shortest: 20 * ms, delivered: 1 << 20}
		for _, c := range tc.seen {
			for range c.rounds {
				p.roundTrip, p.deviance, p.flight = p.shortest+c.queue, c.noise, c.flight
				now += p.roundTrip
				brought := c.mbits * 1e6 / 8 * p.roundTrip.Seconds()
				p.delivered += uint64(brought)
				p.lost += uint64(brought * c.lost / (1 - c.lost))
				p.startup = c.lost > 0
				if rate, changed := s.look(now, p); changed {
					held = append(held, float64(rate)*8/1e6)
				}
			}
		}
		same := len(held) == len(tc.held)
		for i := 0; same && i < len(held); i++ {
			d := held[i] - tc.held[i]
			same = d > -0.5 && d < 0.5
		}
		if !same {
			t.Errorf("%s: held at %.1f Mbit/s, want %.1f", name, held, tc.held)
		}
	}
}
