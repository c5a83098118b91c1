package tlslink

import (
	"context"
	"errors"
)

// Wake is called when the machine woke up from a sleep: a session that is over by now ends,
// keys that are too old are replaced, and the peer is dialed at once. Timers, which have slept
// too, would do so later.
func (l *Link) Wake() {
	select {
	case l.woken <- struct{}{}:
	default: // it has not yet dealt with the last time
	}
}

// awake is for the goroutine of Run. A session whose peer was not heard for dead_after is
// over at the peer as well, which has not heard this end for as long. What was being dialed
// is given up: its packets were lost, and the network may be another one.
func (l *Link) awake(ctx context.Context) {
	if l.session != nil {
		l.session.checkAlive(true)
		select {
		case <-l.session.over():
			l.endSession(l.session.reason(), false)
		default:
			l.session.ping()
			l.renew(ctx)
			return
		}
	}
	l.endDial()
	l.letGo(errors.New("this router was asleep"))
	l.backoff = backoff{due: true, urgent: true}
}
