package agent

import (
	"net/netip"

	"warren/bgp"
	"warren/internal/fib"
)

// routeStep is how many prefixes the loop looks at before it turns to what else has
// happened: a million at once would keep a tunnel that has died waiting for seconds.
const routeStep = 8192

// routes is what the loop needs of fib.FIB.
type routes interface {
	SetSources(v4, v6 netip.Addr) error
	SetHop(name string, h fib.Hop)
	Apply(...fib.Change)
	Status() (fib.Result, error)
	Changed() <-chan struct{}
	HasObjects() bool
}

// feed holds what the speaker has said and the loop has not looked at yet.
type feed struct {
	incoming map[netip.Prefix]bgp.Route
	more     bool          // the speaker has said more since
	again    chan struct{} // capacity 1: something is left for the loop's next turn
}

func newFeed() feed { return feed{again: make(chan struct{}, 1)} }

// learn takes over what changed among the speaker's routes.
func (l *loop) learn() {
	l.feed.more = true
	l.learnSome()
}

// learnSome takes over a step's worth of what the speaker has said.
func (l *loop) learnSome() {
	if len(l.feed.incoming) == 0 && l.feed.more {
		l.feed.incoming, l.feed.more = l.speaker.TakeChanges(), false
	}
	n := 0
	for prefix, route := range l.feed.incoming {
		if n++; n > routeStep {
			break
		}
		delete(l.feed.incoming, prefix)
		l.state.learn(prefix, route.Ways...)
		if best := route.Best(); best != "" {
			l.keep(prefix, best)
		}
	}
	if len(l.feed.incoming) == 0 {
		l.feed.incoming = nil
	}
}

// applyRoutes tells the kernel's side what it should have of the prefixes that have
// changed, a step's worth of them; the rest is for the loop's next turn.
func (l *loop) applyRoutes() {
	l.tellUnreachable()
	t := l.state.touched
	n := min(len(t.prefixes), routeStep)
	changes := make([]fib.Change, n)
	for i, prefix := range t.prefixes[:n] {
		changes[i] = desiredFor(&l.state, prefix)
	}
	if t.prefixes = t.prefixes[n:]; len(t.prefixes) == 0 {
		t.prefixes = nil
	}
	if n > 0 {
		l.routes.Apply(changes...)
	}
	if len(t.prefixes) == 0 {
		l.raise()
	}
	if len(t.prefixes) > 0 || len(l.feed.incoming) > 0 || l.feed.more {
		select {
		case l.feed.again <- struct{}{}:
		default:
		}
	}
}

// routesWritten notes what has become of the routes.
func (l *loop) routesWritten() {
	_, err := l.routes.Status()
	l.play(wrote{err})
}

// setAttached says which attachments there are.
func (l *loop) setAttached() {
	all := map[string]attached{}
	l.m.all(func(a *attachment) { all[a.name] = a.attached() })
	l.state.setAttached(all)
}
