package wireguard

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"warren/tunnel"
	"warren/tunnel/internal/report"
	"warren/tunnel/wireguard/liveness"
	"warren/tunnel/wireguard/protocol"
)

// renewAt is when this end asks for the next session, also if there is no data that
// would: the initiator first, and if that does not happen, either.
func renewAt(s *protocol.Status) time.Time {
	if s.Initiator {
		return s.Since.Add(protocol.RekeyAfterTime)
	}
	return s.Since.Add((protocol.RekeyAfterTime + protocol.RejectAfterTime) / 2)
}

// facts are what the machine needs to know of the peer.
func (l *Link) facts(now time.Time, s *protocol.Status) liveness.Facts {
	return liveness.Facts{
		Heard: s.Spoke, Session: s.Established, Alive: s.Alive, Unconfirmed: s.Unconfirmed, Trying: s.Trying || protocol.Begins(l.known) == 0,
		Renew: renewAt(s), Expire: s.Since.Add(protocol.RejectAfterTime), Begun: l.initiated,
		Lost: l.ways.isLost(s), AllSilent: l.allSilent(now, s.Spoke),
		MayBegin: len(l.cfg.Remotes) > 0 && !l.resolving && s.Endpoint.IsValid(),
	}
}

// assess has the machine decide, and does what it says.
func (l *Link) assess(now time.Time) {
	s := l.peer.Status(now)
	l.followExit(&s)
	v := l.live.Step(now, l.facts(now, &s))
	if v.Settle && l.settle() {
		s = l.peer.Status(now) // with what was read meanwhile
		l.followExit(&s)
		f := l.facts(now, &s)
		f.Read = true
		trusted := v.Trusted
		v = l.live.Step(now, f)
		v.Trusted = v.Trusted || trusted
	}
	if !v.Settle {
		l.backlog = nil
	}
	if v.Trusted {
		l.report.SetError("")
	}
	switch {
	case v.Up && s.Established:
		l.setUp(now, &s)
	case v.Why == liveness.Silent:
		l.down(now, fmt.Errorf("nothing came from the peer for %v%s%s", l.cfg.DeadAfter, l.probe.explain(), l.whyUnsent()))
	case v.Why == liveness.Left:
		l.down(now, errLeft)
	case v.Why == liveness.NotBack:
		l.down(now, errNotBack)
	case v.Why == liveness.Expired:
		l.down(now, fmt.Errorf("the session could not be renewed for %v%s", protocol.RejectAfterTime, l.whyUnsent()))
	}
	if v.Handshake {
		l.peer.Initiate(now)
	}
	if l.probe.heard(s.Spoke); v.Probe {
		l.probe.ask(now)
	}
	l.quiet = v.Quiet
}

// settle reports whether what waited in the sockets when it was called first has been read and
// opened. After a restart links run before anything is read.
func (l *Link) settle() bool {
	if l.e.unread.Load() {
		return false
	}
	if l.backlog == nil {
		l.backlog = l.e.flow.Backlog()
	}
	return l.backlog.Passed()
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
	earlier(l.attemptDue(now))
	earlier(l.back.next)
	earlier(l.peer.NextDeadline())
	s := l.peer.Status(now)
	earlier(l.live.Deadline(now, l.facts(now, &s)))
	if l.isUp() {
		earlier(l.path.search.Due())
		earlier(l.assigning.next)
		earlier(l.meeting.next)
		earlier(l.restart.next)
		earlier(l.losing.next)
	}
	return first
}

// setUp takes note of a session, and of where the peer is.
func (l *Link) setUp(now time.Time, s *protocol.Status) {
	if l.isUp() && l.tookOther(s) {
		l.sayLeaving(l.peer.SealerBefore(now, l.measured, l.report.Status().Remote))
		l.down(now, errReturning)
		l.live.Came()
	}
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
		if l.raised {
			l.askAssigned(now, s.Since)
		}
		return
	}
	if l.tries.first && l.tries.at != nil && s.Initiator {
		l.back.home = s.Endpoint
	}
	l.tries.came(now)
	l.out.settle()
	l.flow.Up.Store(true)
	l.takeNames(s)
	l.rises++
	rise := l.rises
	l.changes.add(func() error { return l.dev.SetCarrier(true) }, func(err error) {
		if err != nil && !isGone(err) {
			l.log.Error("cannot raise the carrier", "err", err)
		}
		if l.isUp() && rise == l.rises {
			l.raise()
		}
	})
}

// raise tells that the tunnel is up, which has its carrier.
func (l *Link) raise() {
	now := l.e.cfg.Now()
	s := l.peer.Status(now)
	l.raised = true
	if l.live.Trusts() {
		l.report.SetError("")
	}
	at := l.e.cfg.Date(now)
	l.report.Up(at, s.Endpoint)
	l.restartPath(now)
	l.emit(tunnel.Event{Up: true, Time: at, Remote: s.Endpoint})
	l.askAssigned(now, s.Since)
}

// isGone reports whether an interface is, which the reader of its packets will say.
func isGone(err error) bool { return errors.Is(err, unix.EBADFD) || errors.Is(err, os.ErrClosed) }

// down takes the tunnel down, if it is up, and tells that. The carrier, without which the kernel does not route into it, is
// dropped at the same time.
func (l *Link) down(now time.Time, reason error) {
	l.live.Down()
	l.restart.awaited.Store(nil)
	if !l.isUp() {
		return
	}
	told := l.raised
	l.raised = false
	l.flow.Up.Store(false)
	l.changes.add(func() error { return l.dev.SetCarrier(false) }, func(err error) {
		if err != nil && !isGone(err) {
			l.log.Error("cannot drop the carrier", "err", err)
		}
	})
	l.probe.close()
	l.path.search.Stop()
	l.endAssigned()
	remote, at := l.report.Status().Remote, l.e.cfg.Date(now)
	l.report.Down(at, report.Rest(l.cfg.Remotes), reason.Error())
	if told {
		l.emit(tunnel.Event{Time: at, Remote: remote, Reason: reason.Error()})
	}
	l.leave(now, remote, reason)
}
