package agent

import (
	"net/netip"
	"slices"
	"sync"

	"warren/bgp"
	"warren/tunnel"
)

// inbox takes what other goroutines have to tell the loop: events, and what becomes one. It does
// not bound their number: they are small, the loop is never away for long, and losing one would
// leave a neighbor on a dead tunnel.
type inbox struct {
	mu     sync.Mutex
	inputs []input
	signal chan struct{} // capacity 1
}

// input is an event, or one of tunnelReport, offer, openResult, call,
// stranger, met and renewed.
type input any

type (
	// tunnelReport is what an open tunnel has to say.
	tunnelReport struct {
		id     uint64
		ev     tunnel.Event
		failed error // set: the tunnel has ended by itself, ev means nothing
	}
	// offer is that the peer of an open tunnel has said which addresses it assigns.
	offer struct {
		id        uint64
		addresses []netip.Addr
	}
	openResult struct {
		id     uint64
		tunnel tunnelHandle // if err is nil
		err    error
	}
	// call is that a peer without IPv6 has called.
	call struct{ id, number uint64 }
)

func (b *inbox) put(inputs ...input) {
	b.mu.Lock()
	b.inputs = append(b.inputs, inputs...)
	b.mu.Unlock()
	select {
	case b.signal <- struct{}{}:
	default:
	}
}

func (b *inbox) take() []input {
	b.mu.Lock()
	defer b.mu.Unlock()
	inputs := b.inputs
	b.inputs = nil
	return inputs
}

// gate keeps back what a tunnel reports until the loop has the tunnel.
type gate struct {
	inbox *inbox

	mu     sync.Mutex
	opened bool
	kept   []input
}

// put is for reports and offers.
func (g *gate) put(r input) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.opened {
		g.kept = append(g.kept, r)
		return
	}
	g.inbox.put(r)
}

// open is for the result, which goes first.
func (g *gate) open(r openResult) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.opened = true
	g.inbox.put(append([]input{r}, g.kept...)...)
	g.kept = nil
}

// takeInbox plays what the inbox has. Of each tunnel's reports the last counts: on a machine that
// is too busy, what came before it is over, and catching up with it would take longer than it
// takes to happen again. Why a tunnel that is up was down meanwhile is told with it.
func (l *loop) takeInbox() {
	inputs := l.inbox.take()
	last, lost := map[uint64]int{}, map[uint64]string{}
	for i, in := range inputs {
		r, ok := in.(tunnelReport)
		if !ok {
			continue
		}
		if !r.ev.Up && r.failed == nil {
			lost[r.id] = r.ev.Reason
		}
		if before, ok := last[r.id]; !ok || inputs[before].(tunnelReport).failed == nil {
			last[r.id] = i
		}
	}
	var events []event
	var strangers []stranger
	var meetings []input
	for i, in := range inputs {
		switch in.(type) {
		case met, renewed:
			meetings = append(meetings, in)
			continue
		}
		if s, ok := in.(stranger); ok {
			strangers = append(strangers, s)
			continue
		}
		if r, ok := in.(tunnelReport); ok && last[r.id] != i {
			continue
		}
		switch ev := l.eventOf(in).(type) {
		case nil:
		case wentUp:
			ev.lost = lost[ev.id]
			events = append(events, ev)
		default:
			events = append(events, ev)
		}
	}
	if over := l.replaced(events); len(over) > 0 {
		l.play(over...)
	}
	l.play(events...)
	for _, in := range meetings {
		l.takeMeeting(in)
	}
	if len(strangers) > 0 {
		l.admit(strangers)
	}
}

// replaced are the ends of the sessions that others of the same tunnels take the place of. They are played together, before
// any of those begins: then the speaker is told once of all that end, which costs a look at all neighbors and all routes,
// and not once for each of a thousand tunnels that come back at once.
func (l *loop) replaced(events []event) (over []event) {
	for _, ev := range events {
		up, ok := ev.(wentUp)
		if !ok {
			continue
		}
		if a := l.m.tunnels[up.id]; a != nil && a.up() {
			over = append(over, wentDown{up.id, up.replaces()})
		}
	}
	return over
}

// eventOf is the event that the machine is to take; nil: none. What the event needs of the
// outside is asked for here.
func (l *loop) eventOf(in input) event {
	switch in := in.(type) {
	case event:
		return in
	case openResult:
		if in.err == nil {
			l.handles.tunnels[in.id] = handle{in.tunnel, l.now()}
		}
		return opened{in.id, in.err}
	case call:
		a := l.m.tunnels[in.id]
		return called{in.id, in.number, a != nil && l.isEstablished(a.name)}
	case offer:
		return offered(in)
	case tunnelReport:
		h, ok := l.handles.tunnels[in.id]
		switch {
		case !ok: // of a tunnel that is closed
		case in.failed != nil:
			return gone{in.id, in.failed}
		case in.ev.Up:
			ev := h.up(in.id, in.ev)
			if a := l.m.tunnels[in.id]; a != nil {
				ev.called, ev.since = l.resuming.wasOverIPv4(a.name), l.resuming.seenUp(a.name)
			}
			return ev
		default:
			return wentDown{in.id, in.ev.Reason}
		}
	}
	return nil
}

// up is the event that a tunnel came up.
func (h handle) up(id uint64, ev tunnel.Event) wentUp {
	local, peer, beside := h.Ends(ev)
	return wentUp{id: id, ends: ends{local, peer}, beside: beside, rtt: h.Status().RTT, remote: ev.Remote, offered: ev.Assigned}
}

func (l *loop) isEstablished(name string) bool {
	return slices.ContainsFunc(l.speaker.Neighbors(), func(n bgp.NeighborStatus) bool {
		return n.Name == name && n.State == stateEstablished
	})
}
