package agent

import (
	"net/netip"

	"warren/bgp"
	"warren/internal/fib"
)

// routeStep is how many prefixes the loop looks at before it turns to what else has
// happened: a million at once would keep a tunnel that has died waiting for seconds.
const routeStep = 2048

// routes is what the loop needs of fib.FIB.
type routes interface {
	SetSources(v4, v6 netip.Addr) error
	SetHop(name string, h fib.Hop)
	SetLate(neighbor string, late bool)
	Apply(...fib.Change)
	Status() (fib.Result, error)
	Changed() <-chan struct{}
	HasObjects() bool
}

// feed says what is left for the loop's next turn.
type feed struct {
	more  bool          // the speaker has said something that the loop has not looked at yet
	again chan struct{} // capacity 1: something is left
}

func newFeed() feed { return feed{again: make(chan struct{}, 1)} }

// learn takes over what changed among the speaker's routes.
func (l *loop) learn() {
	l.feed.more = true
	l.learnSome()
}

// learnSome takes over a step's worth of what the speaker has said.
func (l *loop) learnSome() {
	if !l.feed.more {
		return
	}
	var changes map[netip.Prefix]bgp.Route
	changes, l.feed.more = l.speaker.TakeChanges(routeStep)
	for prefix, route := range changes {
		l.state.learn(prefix, route.Ways...)
		if best := route.Best(); best != "" {
			l.keep(prefix, best)
		}
	}
}

// applyRoutes tells the kernel's side what it should have of the prefixes that have
// changed, a step's worth of them; the rest is for the loop's next turn.
func (l *loop) applyRoutes() {
	l.tellUnreachable()
	some := l.state.touched.take(routeStep)
	changes := make([]fib.Change, len(some))
	for i, prefix := range some {
		changes[i] = desiredFor(&l.state, prefix)
	}
	if len(some) > 0 {
		l.routes.Apply(changes...)
	}
	left := l.state.touched.left()
	if !left {
		l.raise()
	}
	if left || l.feed.more {
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
	l.forgetLate()
}
