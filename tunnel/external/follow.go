package external

import (
	"fmt"
	"net/netip"
	"time"

	"warren/tunnel"
	"warren/tunnel/internal/ping"
)

// glance looks at the interface once, and acts on what it sees.
func (l *Link) glance() {
	s, err := l.cfg.Look(l.cfg.Interface)
	if err != nil && l.report.IsUp() {
		// That says nothing of the interface. The last sight holds, with a probe
		// for as long as the peer answers.
		if l.report.SetError(err.Error()) {
			l.log.Warn("cannot look at the interface", "err", err)
		}
		l.blind = true
		if l.isAsking() {
			_ = l.echo() // not sent is not answered
		}
		return
	}
	if l.blind {
		l.blind = false
		l.report.SetError("")
	}
	if err == nil {
		l.setStats(s.stats())
	}
	s, local, problem := l.see(s, err)
	if problem != "" {
		l.stopPings()
		l.index = 0
		l.down(tunnel.StateWaiting, problem)
		return
	}
	if l.index != s.Index || l.LocalAddress() != local {
		l.stopPings()
		switch {
		case !l.report.IsUp():
		case l.index != s.Index:
			l.down(tunnel.StateWaiting, fmt.Sprintf("interface %s was made anew", l.cfg.Interface))
		default:
			l.down(tunnel.StateWaiting, fmt.Sprintf("this end's address became %s", local))
		}
		l.index = s.Index
	}
	l.report.Change(func(t *tunnel.Status) { t.MTU = s.MTU })
	l.mu.Lock()
	l.local = local
	l.mu.Unlock()
	if !l.cfg.Ping {
		l.up(0)
		return
	}
	l.probe(local)
}

// see judges what was seen of the interface and adds the addresses that it lacks.
func (l *Link) see(s Sight, err error) (_ Sight, local netip.Addr, problem string) {
	name := l.cfg.Interface
	if err != nil {
		return s, local, err.Error()
	}
	if problem = s.problem(name, l.cfg.Own); problem != "" {
		return s, local, problem
	}
	have := s.Addresses
	if len(l.cfg.Addresses) > 0 {
		if lacking := missing(l.cfg.Addresses, have); len(lacking) > 0 {
			if err := l.cfg.AddAddresses(s.Index, lacking); err != nil {
				return s, local, err.Error()
			}
		}
		have = l.cfg.Addresses // of all, these are the ones to speak from
	}
	local, problem = localAddress(name, have, l.cfg.PeerAddress)
	return s, local, problem
}

// answered takes a reply to an echo, the sign of life.
func (l *Link) answered(i int, a ping.Answer) {
	if a.Err != nil {
		// Not the peer's silence, but the next look will tell more. The time
		// of silence goes on.
		l.pings[i].Close()
		l.pings[i] = nil
		return
	}
	if l.whyLost() != "" {
		return // it was sent before
	}
	l.answeredOnce = true
	if !l.report.IsUp() || i < l.alive { // of two answers the first address has the say, by which BGP goes
		l.alive = i
	}
	l.noteEnds()
	l.heard, l.asked = l.cfg.Now(), time.Time{}
	l.silent.Reset(l.cfg.DeadAfter)
	l.up(a.RTT)
}

// silence is called when nothing was heard for DeadAfter, as far as is known: looking at the interface may
// have taken as long, since the kernel makes everybody wait for their turn while it writes a large table.
// So what has arrived is taken first, and the peer is silent only if it was asked too.
func (l *Link) silence() {
	for waits := true; waits; {
		select {
		case a := <-l.answers(0):
			l.answered(0, a)
		case a := <-l.answers(1):
			l.answered(1, a)
		default:
			waits = false
		}
	}
	now := l.cfg.Now()
	if now.Sub(l.heard) < l.cfg.DeadAfter {
		return // the timer has begun again
	}
	if l.asked.IsZero() && l.report.IsUp() {
		l.glance()
	}
	// The first echo is sent a keepalive after the last answer.
	if left := l.cfg.DeadAfter - l.cfg.Keepalive - l.cfg.Now().Sub(l.asked); left > 0 && l.report.IsUp() && l.isAsking() {
		l.silent.Reset(left)
		return
	}
	l.unanswered()
}

// unanswered is called when the peer has been silent for DeadAfter. Echoes go
// on, and the first reply brings the tunnel up again.
func (l *Link) unanswered() {
	if l.whyLost() != "" {
		return // it says more
	}
	reason := fmt.Sprintf("no reply to pings from %s for %v", l.askedText(), l.cfg.DeadAfter)
	if !l.answeredOnce && !l.cfg.Own {
		reason += `; if it answers no pings at all, set probe = "none"`
	}
	l.down(tunnel.StateConnecting, reason)
}

// noteEnds notes at which address the peer answers.
func (l *Link) noteEnds() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.speaks = (ends{l.local, l.cfg.PeerAddress}); l.alive == 1 {
		l.speaks = ends{l.localBeside, l.cfg.Beside}
	}
}

// up takes note of a sign of life, and of the round trip that it took; 0 is unknown.
func (l *Link) up(rtt time.Duration) {
	now, was := time.Now(), l.report.IsUp()
	if !was {
		l.report.SetError("")
		l.report.Up(now, netip.AddrPort{})
	}
	if rtt > 0 {
		l.report.Measured(rtt)
	}
	if !was {
		l.tell(tunnel.Event{Up: true, Time: now})
	}
}

// down goes to a state that is not up, and notes why. The same reason again is
// not news.
func (l *Link) down(state tunnel.State, reason string) {
	now := time.Now()
	switch {
	case l.report.IsUp():
		l.report.Down(now, state, reason)
		l.tell(tunnel.Event{Time: now, Reason: reason})
	case state == tunnel.StateDown:
		l.report.SetState(now, state)
	default:
		l.report.SetState(now, state)
		l.note(reason)
	}
}

// note remembers why the tunnel is not up, and logs it if it is news.
func (l *Link) note(reason string) {
	if l.report.SetError(reason) {
		l.log.Info("the tunnel is not up", "err", reason)
	}
}

func (l *Link) tell(ev tunnel.Event) {
	ev.Name = l.cfg.Name
	if l.cfg.Events != nil {
		l.cfg.Events(ev)
	}
}
