package child

import (
	"context"
	"net/netip"
	"runtime/debug"
	"slices"
	"time"

	"warren/bgp"
	"warren/internal/speaker/wire"
)

const (
	// routesAtOnce bounds how many changes are taken from the engine before they are written.
	routesAtOnce = 8192
	// statusInterval is the least time between two reports of neighbors. Counting what is announced
	// to them may take a while, so it grows with that.
	statusInterval = 200 * time.Millisecond
	statusShare    = 20 // at most a 20th of the time
	// lookInterval is how long a change may go unreported that the engine has no event for.
	lookInterval = time.Second
	// statusesAtOnce bounds a frame of statuses. JSON makes six bytes of some.
	statusesAtOnce = 50
	// maxEvents bounds the events that wait for the daemon; the oldest go first.
	maxEvents = 10000
	// maxText bounds each text, in bytes, and maxErrors what was not brought about.
	maxText   = 1 << 10
	maxErrors = 64 << 10
)

// pending is what waits to be reported besides routes and statuses.
type pending struct {
	settled *wire.Settled
	parted  uint64 // serial of a Want; 0: there is nothing to report
	serving []wire.Serving
	events  []wire.Event
	ask     *wire.Ask  // the last one
	ping    *wire.Ping // the last one
}

func (p *process) wake() {
	select {
	case p.kick <- struct{}{}:
	default:
	}
}

// event takes an event of the engine's.
func (p *process) event(e bgp.Event) {
	is, ok := (*p.numbers.Load())[e.Neighbor]
	if !ok {
		return // it is not wanted any more, as the daemon knows
	}
	p.mu.Lock()
	if len(p.pending.events) >= maxEvents {
		p.pending.events = p.pending.events[1:]
	}
	p.pending.events = append(p.pending.events, wire.Event{ID: is.id, Kind: e.Kind, Time: e.Time, Cause: short(e.Cause), Lasted: e.Lasted})
	p.mu.Unlock()
	p.wake()
}

// serving takes that the gobgp command is not answered any more.
func (p *process) serving(s wire.Serving) {
	p.mu.Lock()
	p.pending.serving = append(p.pending.serving, s)
	p.mu.Unlock()
	p.wake()
}

// ping takes the question whether the process works. The reporting goroutine answers it, as it needs both the
// engine and the daemon.
func (p *process) ping(is wire.Ping) {
	p.mu.Lock()
	p.pending.ping = &is
	p.mu.Unlock()
	p.wake()
}

// sendPong answers the last question, if it is not answered yet.
func (p *process) sendPong() error {
	p.mu.Lock()
	is := p.pending.ping
	p.pending.ping = nil
	p.mu.Unlock()
	if is == nil {
		return nil
	}
	return p.send(wire.KindPong, *is)
}

// send writes one frame, for as long as the daemon takes to read it.
func (p *process) send(k wire.Kind, v any) error {
	b, err := wire.Append(nil, k, v)
	if err == nil {
		_, err = p.messages.Write(b)
	}
	return err
}

// report tells the daemon what changes. It alone writes once the engine runs, and waits for
// the daemon to read; what changes meanwhile is told as it is then.
func (p *process) report(ctx context.Context) {
	var next, soonest time.Time // for statuses: as a rule, and where a session has come or gone
	status := time.NewTimer(0)
	for {
		due := false
		select {
		case <-p.speaker.Events():
			status.Reset(time.Until(next))
		case <-p.kick:
		case <-status.C:
			due = true
		case <-ctx.Done():
			return // the engine says goodbye, and what it tells nobody needs
		}
		// Before the routes, so that none is seen without its session.
		if began := time.Now(); due || p.sessionsChanged() && began.After(soonest) {
			if err := p.sendStatuses(); err != nil {
				gone(err)
			}
			soonest = time.Now().Add(statusShare * time.Since(began))
			next = latest(soonest, time.Now().Add(statusInterval))
			status.Reset(max(lookInterval, time.Until(next)))
		}
		if err := p.sendRoutes(); err != nil {
			gone(err)
		}
		if err := p.sendPending(); err != nil {
			gone(err)
		}
	}
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// sessionsChanged reports whether sessions have come or gone since the last report.
func (p *process) sessionsChanged() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.pending.events) > 0
}

// sendRoutes sends all changes of routes there are. That may take long: in between it says that the process works.
func (p *process) sendRoutes() error {
	var w wire.RouteWriter
	var ways []wire.Way // scratch memory
	for more := true; more; {
		p.wanting.Lock()
		numbers := *p.numbers.Load()
		more = p.speaker.EachChange(routesAtOnce, func(prefix netip.Prefix, all []bgp.Way) {
			ways = ways[:0]
			for _, way := range all {
				if is, ok := numbers[way.Neighbor]; ok { // else it is not wanted any more, as the daemon knows
					ways = append(ways, wire.Way{ID: is.id, Gateway: way.Gateway, Reserve: way.Reserve})
				}
			}
			if len(ways) > 0 {
				ways[0].Reserve = false
			}
			w.Add(ways, prefix)
		})
		p.wanting.Unlock()
		if _, err := p.messages.Write(w.Take()); err != nil {
			return err
		}
		if err := p.sendPong(); err != nil {
			return err
		}
	}
	return nil
}

// sendStatuses sends the statuses that are not as they were told last.
func (p *process) sendStatuses() error {
	numbers := *p.numbers.Load()
	var changed []wire.Status
	all := make(map[uint32]bgp.NeighborStatus, len(numbers))
	routes := 0
	for _, st := range p.speaker.Neighbors() {
		is, ok := numbers[st.Name]
		if !ok {
			continue
		}
		st.LastError, st.Malformed.Last, st.Looped.Last = short(st.LastError), short(st.Malformed.Last), short(st.Looped.Last)
		st.Rival.Holder = short(st.Rival.Holder)
		all[is.id] = st
		routes += st.Received
		if was, ok := p.told[is.id]; !ok || was != st {
			changed = append(changed, wire.Status{ID: is.id, NeighborStatus: st})
		}
	}
	p.told = all
	if percent := gcPercent(p.gcPercent, p.speaker.Prefixes(), routes); percent != p.gcPercent {
		p.gcPercent = percent
		debug.SetGCPercent(percent)
	}
	for some := range slices.Chunk(changed, statusesAtOnce) {
		if err := p.send(wire.KindNeighbors, wire.Neighbors{Changed: some}); err != nil {
			return err
		}
	}
	return nil
}

func (p *process) sendPending() error {
	p.mu.Lock()
	all := p.pending
	p.pending = pending{ping: all.ping}
	p.mu.Unlock()
	if err := p.sendPong(); err != nil {
		return err
	}
	if all.parted > 0 {
		if err := p.send(wire.KindParted, wire.Parted{Serial: all.parted}); err != nil {
			return err
		}
	}
	for _, e := range all.events {
		if err := p.send(wire.KindEvent, e); err != nil {
			return err
		}
	}
	for _, s := range all.serving {
		if err := p.send(wire.KindServing, s); err != nil {
			return err
		}
	}
	if all.ask != nil {
		if err := p.sendExplained(p.explain(*all.ask)); err != nil {
			return err
		}
	}
	if all.settled == nil {
		return nil
	}
	all.settled.Error = all.settled.Error[:min(len(all.settled.Error), maxErrors)]
	return p.send(wire.KindSettled, *all.settled)
}

// short bounds a text.
func short(text string) string { return text[:min(len(text), maxText)] }
