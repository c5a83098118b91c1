package tlslink

import (
	"context"
	"testing"
	"time"
)

// Losses count that come within some seconds.
func TestLosses(t *testing.T) {
	type look struct {
		at   time.Duration
		lost int
	}
	for name, c := range map[string]struct {
		looks []look
		want  bool // after the last one
	}{
		"none":                        {[]look{{1, 0}, {2, 0}}, false},
		"two":                         {[]look{{1, 0}, {2, 2}}, false},
		"three":                       {[]look{{1, 0}, {2, 1}, {3, 2}, {4, 3}}, true},
		"three at once":               {[]look{{1, 0}, {2, 3}}, true},
		"those before do not count":   {[]look{{1, 100}, {2, 102}}, false},
		"some were sent in vain":      {[]look{{1, 0}, {2, 2}, {3, 0}, {4, 2}}, false},
		"three, far from each other":  {[]look{{1, 0}, {2, 2}, {2 * lossesFor, 2}, {3 * lossesFor, 3}}, false},
		"three, a long time after it": {[]look{{1, 0}, {2 * lossesFor, 0}, {2*lossesFor + 1, 3}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			var s losses
			var got bool
			for _, l := range c.looks {
				got = s.look(l.at, l.lost)
			}
			if got != c.want {
				t.Errorf("many: %v", got)
			}
		})
	}
}

// A session that loses packets gets one further lane, which the end that dialed dials and the other one asks for, be it again when
// that one is lost.
func TestLossySessionHasTwoLanes(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // nothing comes of a dial
	for name, c := range map[string]struct {
		dialer, loses, asked bool
		lanes                int
		dials, asks          int
	}{
		"the dialing end loses":             {true, true, false, 1, 1, 0},
		"the dialing end is asked":          {true, false, true, 1, 1, 0},
		"it has two":                        {true, true, false, 2, 0, 0},
		"neither":                           {true, false, false, 1, 0, 0},
		"the listening end loses":           {false, true, false, 1, 0, 1},
		"the listening end loses, with two": {false, true, false, 2, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			l, s := stillLink(t)
			l.maxLanes, s.peer.lanes, s.peer.flags = 4, 4, flagWidens
			s.dialer, s.control = c.dialer, make(chan []byte, 8)
			if c.lanes == 1 {
				s.lanes[1] = nil
			}
			s.loses.Store(c.loses)
			s.asked.Store(c.asked)
			for range 2 { // while one is being dialed no other one is
				l.widenEarly(ctx)
			}
			if asks := min(len(s.control), 1); s.laneDials != c.dials || asks != c.asks {
				t.Errorf("%d dialed and asked for %d, want %d and %d", s.laneDials, asks, c.dials, c.asks)
			}
		})
	}
	l, s := stillLink(t)
	s.lanes[1] = nil
	s.loses.Store(true)
	if l.widen(ctx); s.laneDials != 1 {
		t.Error("it is not dialed again at a look back")
	}
}

// The lane that a session has for its losses is for what chooses it: streams share the first until they ask for lanes themselves.
func TestStreamsStayWhereTheyAre(t *testing.T) {
	l, s := stillLink(t)
	l.maxLanes = 2
	number := func(queue int) int { return l.routes[queue].Load().number }
	l.route()
	if a, b := number(0), number(1); a != 0 || b != 0 {
		t.Errorf("the device's queues are on the lanes %d and %d", a, b)
	}
	if a, b := number(l.laneQueue(0)), number(l.laneQueue(1)); a != 0 || b != 1 {
		t.Errorf("the lanes' own queues are on the lanes %d and %d", a, b)
	}
	s.load = l.load()
	l.counters.TxBytes.Add(widenAt)
	l.widen(t.Context())
	if a, b := number(0), number(1); a != 0 || b != 1 {
		t.Errorf("the queues of much traffic are on the lanes %d and %d", a, b)
	}
}
