package wireguard

import "time"

// Wake is called when the machine woke up from a sleep: a session that is over by now, or a
// silent peer, takes the tunnel down, and a handshake begins at once. Timers, which have
// slept too, would do so later.
func (l *Link) Wake() {
	select {
	case l.woken <- struct{}{}:
	default: // it has not yet dealt with the last time
	}
}

// awake is followed by a tick, which does what is due. A peer that was not heard for
// dead_after has not heard this end for as long either, so that the tunnel is down at both
// ends. awake reports whether the remotes are to be looked up again, as the network may be
// another one. What was tried before the sleep the protocol would give up now as tried in vain
// for too long.
func (l *Link) awake(now time.Time) (look bool) {
	if l.isUp() {
		return false
	}
	if l.peer.Status(now).Endpoint.IsValid() {
		l.peer.Initiate(now)
	}
	l.tries.restart()
	return true
}
