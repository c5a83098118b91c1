package tlslink

import (
	"math/rand/v2"
	"testing"

	"warren/tunnel"
)

// world is two arbiters and the messages between them, in any order that TCP
// connections allow: those of different connections overtake each other.
type world struct {
	t    *testing.T
	rnd  *rand.Rand
	ends [2]*worldEnd
	step int
	loss int // percent of answers that are lost with their connection
}

type worldEnd struct {
	arbiter
	self     hello
	dial     int // number of the connection we dialed, 0: none
	held     message
	carries  int // connection that carries the session, 0: down
	upEvents int
	inbox    []message
}

type message struct {
	conn int
	kind byte // 'h'ello, 'a'nswer, 'c'losed
	h    hello
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{t: t, rnd: rand.New(rand.NewPCG(seed, 1))}
	for i := range w.ends {
		e := &worldEnd{self: hello{identity: tunnel.Identity{byte(i + 1)}, instance: [16]byte{byte(i + 1)}}}
		e.local = e.self.identity
		w.ends[i] = e
	}
	return w
}

func (w *world) other(e *worldEnd) *worldEnd {
	if e == w.ends[0] {
		return w.ends[1]
	}
	return w.ends[0]
}

func (w *world) send(from *worldEnd, conn int, kind byte) {
	h := from.self
	h.generation = from.generation
	to := w.other(from)
	to.inbox = append(to.inbox, message{conn, kind, h})
}

func (e *worldEnd) up(w *world, conn int, peer hello) {
	e.established(peer)
	e.carries = conn
	e.upEvents++
	if e.held.conn != 0 {
		w.send(e, e.held.conn, 'c')
		e.held = message{}
	}
}

func (e *worldEnd) down() {
	e.ended()
	e.carries = 0
}

// act does one thing that an end may do by itself.
func (w *world) act(e *worldEnd) {
	w.step++
	switch e.phase {
	case idle:
		e.start()
	case dialing:
		if e.greet() {
			e.dial = w.step
			w.send(e, e.dial, 'h')
		}
	}
}

// take delivers one of the messages that may come next.
func (w *world) take(e *worldEnd) {
	i := w.rnd.IntN(len(e.inbox))
	for j := range i { // in order within a connection
		if e.inbox[j].conn == e.inbox[i].conn {
			i = j
			break
		}
	}
	m := e.inbox[i]
	e.inbox = append(e.inbox[:i:i], e.inbox[i+1:]...)
	switch m.kind {
	case 'h':
		w.arrived(e, m)
	case 'a':
		if m.conn == e.dial && w.rnd.IntN(100) < w.loss {
			m.kind = 'c'
			e.inbox = append(e.inbox, m)
		} else if m.conn == e.dial {
			e.dial = 0
			e.up(w, m.conn, m.h)
		}
	case 'c':
		switch m.conn {
		case e.carries:
			e.down()
		case e.held.conn:
			e.held = message{}
		case e.dial:
			e.dial = 0
			e.dialEnded()
			if held := e.held; held.conn != 0 {
				e.held = message{}
				w.arrived(e, held)
			}
		}
	}
}

func (w *world) arrived(e *worldEnd, m message) {
	switch e.incoming(&m.h) {
	case hold:
		e.held = m
	case reject:
		w.send(e, m.conn, 'c')
	case replace:
		w.send(e, e.carries, 'c')
		e.down()
		fallthrough
	case accept:
		if e.dial != 0 {
			w.send(e, e.dial, 'c')
			e.dial = 0
			e.dialEnded()
		}
		w.send(e, m.conn, 'a')
		e.up(w, m.conn, m.h)
	}
}

// run lets things happen at random until nothing is left to happen.
func (w *world) run() {
	for range 1000 {
		e := w.ends[w.rnd.IntN(2)]
		if len(e.inbox) > 0 && w.rnd.IntN(2) == 0 {
			w.take(e)
		} else {
			w.act(e)
		}
		if a, b := w.ends[0], w.ends[1]; a.phase == up && b.phase == up && len(a.inbox)+len(b.inbox) == 0 {
			if a.carries != b.carries {
				w.t.Fatalf("the ends keep different connections: %d and %d", a.carries, b.carries)
			}
			return
		}
	}
	w.t.Fatalf("not up after many steps: %+v %+v", w.ends[0], w.ends[1])
}

// Whatever the order, both ends keep the same connection and come up just once.
func TestArbitersSettle(t *testing.T) {
	for seed := range uint64(20000) {
		w := newWorld(t, seed)
		w.run()
		for i, e := range w.ends {
			if e.upEvents != 1 {
				t.Fatalf("seed %d: end %d came up %d times", seed, i, e.upEvents)
			}
		}
	}
}

// An answer may be lost after its sender went up: the ends must still agree.
func TestArbitersSurviveLostAnswers(t *testing.T) {
	for seed := range uint64(20000) {
		w := newWorld(t, seed)
		w.loss = 40
		w.run()
	}
}

// Two machines with one identity: the second is taken for the first, restarted. When the
// first comes again, it is refused for as long as the session lasts. Restarts are none of that.
func TestArbiterKnowsTwins(t *testing.T) {
	one, two := &hello{instance: [16]byte{1}}, &hello{instance: [16]byte{2}}
	a := arbiter{local: tunnel.Identity{9}}
	take := func(h *hello, want verdict) {
		t.Helper()
		got := a.incoming(h)
		if got != want {
			t.Fatalf("instance %d: verdict %d, want %d", h.instance[0], got, want)
		}
		if got == replace {
			a.ended()
		}
		if got == replace || got == accept {
			a.established(*h)
		}
	}
	take(one, accept)
	take(two, replace)
	for range 10 {
		take(one, refuse)
		take(two, reject)
	}
	a.ended()
	take(one, accept)
	take(two, replace) // it may have been restarted before, for all that is known
	take(one, refuse)
	for i := range 100 { // restarts
		take(&hello{instance: [16]byte{3, byte(i)}}, replace)
	}
	if len(a.replaced) > maxReplaced {
		t.Errorf("%d instances are remembered", len(a.replaced))
	}
}

// One end restarts, or gives up on the session, without the other noticing.
func TestArbitersRecover(t *testing.T) {
	for seed := range uint64(20000) {
		w := newWorld(t, seed)
		w.run()
		e := w.ends[seed%2]
		if seed%3 == 0 {
			e.arbiter = arbiter{local: e.local}
			e.self.instance[15]++
			e.carries = 0
		} else {
			e.down()
		}
		w.run()
		for i, e := range w.ends {
			if e.upEvents != 2 {
				t.Fatalf("seed %d: end %d came up %d times, want twice", seed, i, e.upEvents)
			}
		}
	}
}
