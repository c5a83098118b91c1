package agent

import (
	"context"
	"time"
)

// holdTime is what the hold time of a BGP session is at most: the peer has ended one in
// which this end was silent for longer (RFC 4271, section 4.2).
const holdTime = 9 * time.Second

// wake is called when the machine woke up. All timers have slept as well, so that what they
// would do is done now: tunnels decide whether their session is over and try again at once,
// BGP sessions that the peer has ended start again, and what was missed is looked at.
func (l *loop) wake(ctx context.Context, asleep time.Duration) {
	l.log.Info("woke up: the machine was asleep", "asleep", asleep.Round(time.Second))
	for _, p := range l.peers {
		if p.tunnel != nil {
			p.tunnel.Wake()
		}
		if p.session != nil && asleep >= holdTime {
			l.generation++
			p.session.generation = l.generation
		}
	}
	l.mend(ctx, true)
	l.retry(ctx)
	l.announce()
	l.applyRoutes()
}
