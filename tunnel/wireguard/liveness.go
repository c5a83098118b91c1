package wireguard

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"warren/tunnel"
	"warren/tunnel/internal/report"
	"warren/tunnel/wireguard/protocol"
)

// maxDistrust bounds how long a peer that says nothing is left alone.
const maxDistrust = time.Minute

// distrust keeps a tunnel from coming up again and again with a peer that completes
// handshakes and then says nothing: each time, it must wait twice as long before a
// handshake alone is believed. Anything else that comes from the peer is, at any time.
type distrust struct {
	times int       // that the tunnel went down like that, in a row
	until time.Time // zero: not, or no longer
}

func (d *distrust) holds() bool { return !d.until.IsZero() }

func (d *distrust) more(now time.Time, deadAfter time.Duration) {
	d.times++
	d.until = now.Add(min(deadAfter<<min(d.times, 16), maxDistrust))
}

// renewAt is when this end asks for the next session, also if there is no data that
// would: the initiator first, and if that does not happen, either.
func renewAt(s *protocol.Status) time.Time {
	if s.Initiator {
		return s.Since.Add(protocol.RekeyAfterTime)
	}
	return s.Since.Add((protocol.RekeyAfterTime + protocol.RejectAfterTime) / 2)
}

// doubtAt is when this end asks a silent peer for a new session: one that was started
// anew has lost the one there is, and can say nothing in it. Zero is never.
func (l *Link) doubtAt(s *protocol.Status) time.Time {
	if l.cfg.DeadAfter == 0 {
		return time.Time{}
	}
	return s.Spoke.Add(2 * l.cfg.Keepalive)
}

func (l *Link) doubts(now time.Time, s *protocol.Status) bool {
	at := l.doubtAt(s)
	return !at.IsZero() && !now.Before(at)
}

// hushed reports whether no keepalive is to be sent, so that a peer that hears this end and
// is not heard finds out within its own dead_after that the path is dead. Once it has, and a
// handshake was begun whose answer this end cannot use, by which the peer knows that it is
// not heard, they go on: after a longer cut whoever hears one is up at once.
func (l *Link) hushed(now time.Time, s *protocol.Status) bool {
	silence := now.Sub(s.Spoke)
	return l.cfg.DeadAfter > 0 && silence >= l.cfg.DeadAfter &&
		(silence < 2*l.cfg.DeadAfter+l.cfg.Keepalive || !l.initiated.After(s.Spoke))
}

// assess decides whether the tunnel is up, and asks for handshakes.
func (l *Link) assess(now time.Time) {
	s := l.peer.Status(now)
	silent := l.cfg.DeadAfter > 0 && now.Sub(s.Spoke) >= l.cfg.DeadAfter
	if s.Alive {
		l.wasAlive = true
		if l.distrust.times > 0 {
			l.distrust = distrust{}
			l.report.SetError("")
		}
	}
	switch up := l.isUp(); {
	case s.Established && !silent && !l.distrust.holds() && (up || !s.Unconfirmed):
		l.setUp(now, &s)
		if !s.Trying && (!now.Before(renewAt(&s)) || l.doubts(now, &s)) {
			l.peer.Initiate(now)
		}
	case up && silent:
		if !l.wasAlive {
			l.distrust.more(now, l.cfg.DeadAfter)
		}
		l.down(now, fmt.Errorf("nothing came from the peer for %v%s%s", l.cfg.DeadAfter, l.probe.explain(), l.whyUnsent()))
		l.peer.Initiate(now)
	case up:
		l.down(now, fmt.Errorf("the session could not be renewed for %v%s", protocol.RejectAfterTime, l.whyUnsent()))
		l.peer.Initiate(now)
	case l.distrust.holds() && !now.Before(l.distrust.until):
		l.distrust.until = time.Time{}
		l.peer.Initiate(now)
	case !l.distrust.holds() && len(l.cfg.Remotes) > 0 && !s.Trying && !l.resolving && s.Endpoint.IsValid():
		l.peer.Initiate(now) // the protocol gives up after a while; a tunnel does not
	}
}

func (l *Link) whyUnsent() string {
	if l.unsent == nil {
		return ""
	}
	return "; " + l.unsent.Error()
}

// deadline is when tick has to be called next.
func (l *Link) deadline(now time.Time) time.Time {
	first := now.Add(time.Hour)
	earlier := func(t time.Time) {
		if !t.IsZero() && t.Before(first) {
			first = t
		}
	}
	earlier(l.lookAt)
	earlier(l.peer.NextDeadline())
	if !l.isUp() {
		earlier(l.distrust.until)
		return first
	}
	s := l.peer.Status(now)
	earlier(s.Since.Add(protocol.RejectAfterTime))
	if !s.Trying {
		earlier(renewAt(&s))
		earlier(l.doubtAt(&s))
	}
	if l.cfg.DeadAfter > 0 {
		earlier(s.Spoke.Add(l.cfg.DeadAfter))
	}
	earlier(l.probe.due(s.Spoke))
	earlier(l.path.search.Due())
	return first
}

// setUp takes note of a session, and of where the peer is.
func (l *Link) setUp(now time.Time, s *protocol.Status) {
	l.report.Change(func(t *tunnel.Status) {
		if l.measured != s.Since {
			l.measured, t.RTT = s.Since, s.RTT
		}
		if t.Remote != s.Endpoint && t.State == tunnel.StateUp {
			l.log.Info("the peer is somewhere else now", "remote", s.Endpoint)
			l.restartPath(now)
		}
		t.Remote = s.Endpoint
	})
	if l.isUp() {
		return
	}
	l.flow.Up.Store(true)
	l.local, l.remote = tunnel.Identity(s.Local), tunnel.Identity(s.Remote)
	if l.cfg.AddressesOf != nil {
		own, far := l.cfg.AddressesOf(l.local, l.remote)
		l.probe.peer = far.WithZone("")
		l.setEnds(own, far)
	}
	l.wasAlive = s.Alive
	if err := l.dev.SetCarrier(true); err != nil {
		l.log.Error("cannot raise the carrier", "err", err)
	}
	if l.distrust.times == 0 {
		l.report.SetError("")
	}
	at := l.e.cfg.Date(now)
	l.report.Up(at, s.Endpoint)
	l.restartPath(now)
	l.emit(tunnel.Event{Up: true, Time: at, Remote: s.Endpoint})
}

// down takes the tunnel down, if it is up: first the carrier, so that the kernel stops
// routing into it, then the event.
func (l *Link) down(now time.Time, reason error) {
	if !l.isUp() {
		return
	}
	l.flow.Up.Store(false)
	if err := l.dev.SetCarrier(false); err != nil && !errors.Is(err, unix.EBADFD) { // gone, which its reader will say
		l.log.Error("cannot drop the carrier", "err", err)
	}
	l.probe.close()
	l.path.search.Stop()
	remote, at := l.report.Status().Remote, l.e.cfg.Date(now)
	l.report.Down(at, report.Rest(l.cfg.Remotes), reason.Error())
	l.emit(tunnel.Event{Time: at, Remote: remote, Reason: reason.Error()})
}
