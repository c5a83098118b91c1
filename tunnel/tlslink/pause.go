package tlslink

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"warren/tunnel"
	"warren/tunnel/internal/remote"
	"warren/tunnel/internal/report"
)

// How a tunnel outlasts the restart of one of its ends, whose program is replaced by another one
// in the same process (handover.go):
//
//  1. The end that is restarted reads no more from its interface, where packets wait from now on, sends what it has
//     read already (backlog.go), ends that with frameRestart on each lane, and closes that direction.
//  2. The other end does the same without the frame. So all that was on its way arrives.
//  3. Both ends have no session now, and the tunnel is up all the same: it is paused. The end that has
//     remotes dials, the address where the session was before all others. Connections to the end that is
//     restarted wait in the listening socket.
//  4. The next session of the same two ends takes over, without an event.
//
// Where it does not come within dead_after, or [tunnel.RestartWithin] if that is more, the tunnel goes down, as one whose peer is
// silent.

// errRestart ends a session one of whose ends is being restarted.
var errRestart = errors.New("the router is being restarted")

// errNotBack is why a tunnel goes down whose peer has not come back.
var errNotBack = errors.New("the session was not taken up again after a restart")

// partTimeout bounds how long an end waits for what is on its way, a half of it for what waits in its queues, and a quarter for pumps that
// have read packets: on a slow line these wait in the backlog, and go from there.
const partTimeout = 200 * time.Millisecond

// pause is a tunnel that is up and waits for its next session. It belongs to the goroutine of
// Link.Run, but for gate.
type pause struct {
	local    tunnel.Identity
	peer     tunnel.Identity
	instance [16]byte // of the peer
	assigned []netip.Addr
	beside   bool // the peer carries the tunnel by another transport too
	remote   netip.AddrPort
	dialed   string        // the remote, as in [LinkConfig], by which this end dialed the session; "": the peer has dialed it
	timer    *time.Timer   // until when
	gate     chan struct{} // closed when it is over
}

// over delivers a value when the pause has taken too long.
func (p *pause) over() <-chan time.Time {
	if p == nil {
		return nil
	}
	return p.timer.C
}

// at is where the session was that is waited for, by the remotes that there are now: that is dialed first, and needs no name server,
// which may be reached through this tunnel. nil: there is no pause, the peer has dialed the session, or its remote is gone.
func (p *pause) at(remotes []string) *remote.Group {
	if p == nil {
		return nil
	}
	which := slices.Index(remotes, p.dialed)
	if which < 0 {
		return nil
	}
	return &remote.Group{Remote: which, Addrs: []netip.AddrPort{p.remote}}
}

// continues reports whether a session is the one that is waited for.
func (p *pause) continues(s *session) bool {
	return s.local == p.local && s.peer.identity == p.peer && s.peer.instance == p.instance && slices.Equal(s.peer.assigned, p.assigned) &&
		s.peer.beside() == p.beside
}

// waitPause waits while the tunnel is paused. It reports whether it was.
func (l *Link) waitPause() bool {
	gate := l.gate.Load()
	if gate == nil {
		return false
	}
	<-*gate
	return true
}

// enter has a pump read packets and send them, until it exits. While the tunnel is paused it waits for the end of that, and is to try
// again.
func (l *Link) enter() bool {
	l.busy.Add(1)
	if l.gate.Load() == nil {
		return true
	}
	l.exit()
	l.waitPause()
	return false
}

func (l *Link) exit() { l.busy.Add(-1) }

// awaitPumps waits until what pumps have read before the pause is sent, or waits in a backlog: the next program has none of it.
func (l *Link) awaitPumps() {
	for end := monotonic() + l.e.partTimeout/4; l.busy.Load() > 0 && monotonic() < end; {
		time.Sleep(100 * time.Microsecond)
	}
}

// beginPause has the queues wait, unless they do already. leaves: this program ends.
func (l *Link) beginPause(p pause, leaves bool) {
	if l.paused != nil {
		return
	}
	p.gate, p.timer = make(chan struct{}), time.NewTimer(l.pauseFor())
	l.paused = &p
	l.gate.Store(&p.gate)
	if leaves {
		l.awaitPumps()
	}
	for q := range l.routes {
		l.routes[q].Store(nil)
	}
}

// pauseFor is how long the next session may take to come.
func (l *Link) pauseFor() time.Duration { return max(l.cfg.DeadAfter, tunnel.RestartWithin) }

// endPause has the queues go on.
func (l *Link) endPause() {
	p := l.paused
	l.paused = nil
	p.timer.Stop()
	l.gate.Store(nil)
	close(p.gate)
}

// part pauses the tunnel, and ends its session when all has come that is on its way. tell: it is this
// end that is restarted.
func (l *Link) part(s *session, tell bool) {
	var waiting map[*lane][]int
	if tell {
		waiting = l.queuesByLane()
	}
	l.beginPause(pause{local: s.local, peer: s.peer.identity, instance: s.peer.instance, assigned: s.peer.assigned, beside: s.peer.beside(),
		remote: s.remote, dialed: s.dialed()}, tell)
	s.part(tell && s.peer.flags&flagHolds != 0, waiting)
}

// queuesByLane returns which queues each lane carries.
func (l *Link) queuesByLane() map[*lane][]int {
	by := make(map[*lane][]int)
	for q := range l.routes {
		if ln := l.routes[q].Load(); ln != nil {
			by[ln] = append(by[ln], q)
		}
	}
	return by
}

// peerRestarts is called when the peer has said so.
func (l *Link) peerRestarts(s *session) {
	if s != l.session || s.parting.Load() {
		return
	}
	l.log.Info("the peer is being restarted: the tunnel stays up until it is back", "within", l.pauseFor())
	l.part(s, false)
}

// pauseExpired takes a tunnel down whose next session has not come.
func (l *Link) pauseExpired() {
	if l.session != nil { // what is on its way takes longer than that
		l.endPause()
		l.endSession(errNotBack, false)
		return
	}
	l.fall(errNotBack)
}

// fall takes a paused tunnel down: first the carrier, as endSession does.
func (l *Link) fall(reason error) {
	p := l.paused
	if err := l.dev.SetCarrier(false); err != nil && !errors.Is(err, unix.EBADFD) {
		l.log.Error("cannot drop the carrier", "err", err)
	}
	l.endPause()
	now := time.Now()
	l.report.Down(now, report.Rest(l.cfg.Remotes), reason.Error())
	l.emit(tunnel.Event{Time: now, Remote: p.remote, Local: p.local, Peer: p.peer, Reason: reason.Error()})
}

// suspend ends a session whose tunnel is paused.
func (l *Link) suspend(s *session) {
	l.session = nil
	l.choice.Store(nil)
	l.arb.ended()
	s.close()
	l.backoff = backoff{due: true, urgent: true}
	l.log.Debug("session ended, the tunnel waits for the next one", "remote", s.remote, "err", s.err)
}

// resumes reports whether a session is the one that a paused tunnel waits for. If it is another's, the
// tunnel goes down.
func (l *Link) resumes(s *session) bool {
	if l.paused == nil {
		return false
	}
	if l.paused.continues(s) {
		return true
	}
	reason := errors.New("the peer was restarted")
	if s.peer.instance == l.paused.instance && !slices.Equal(s.peer.assigned, l.paused.assigned) {
		reason = errors.New("the peer assigns other addresses")
	} else if s.peer.instance == l.paused.instance && s.peer.beside() != l.paused.beside {
		reason = errors.New("the peer has another transport for the tunnel")
	}
	l.fall(reason)
	return false
}

// part sends no more on any lane, and fails the session when the peer has done so too, or after a
// while. What waits in some queues goes first; tell says then that this end is being restarted.
func (s *session) part(tell bool, waiting map[*lane][]int) {
	if !s.parting.CompareAndSwap(false, true) {
		return
	}
	var lanes []*lane
	for ln := range s.every {
		if !ln.lost.Load() {
			lanes = append(lanes, ln)
		}
	}
	for _, ln := range lanes {
		s.readers.Go(func() { ln.part(tell, waiting[ln]) })
	}
	s.readers.Go(func() {
		late := time.NewTimer(s.link.e.partTimeout)
		defer late.Stop()
		for _, ln := range lanes {
			select {
			case <-ln.ended:
			case <-late.C:
				s.fail(fmt.Errorf("%w; not all that was on its way has come", errRestart))
			case <-s.done:
			}
		}
		s.fail(errRestart)
	})
}

// part closes the direction to the peer. Senders find errMoved.
func (ln *lane) part(tell bool, waiting []int) {
	ln.sending.Lock()
	defer ln.sending.Unlock()
	var err error
	if !ln.moved {
		err = ln.flush(waiting, monotonic()+ln.s.link.e.partTimeout/2)
	}
	if err == nil && tell && !ln.moved {
		err = ln.write(encode(frameRestart, nil))
	}
	ln.moved = true
	if err = errors.Join(err, ln.conn.CloseWrite()); err != nil {
		ln.wire.Close()
	}
}
