package agent

import (
	"fmt"
	"slices"
	"time"

	"warren/internal/config"
	"warren/tunnel/tlslink"
)

// This file is about peers that no file names: a CA vouches for them, and they are made of a
// template when they connect.

const (
	// maxAccepted bounds how many there are at once.
	maxAccepted = 4096
	// acceptedFor is how long one stays that has no tunnel any more.
	acceptedFor = 10 * time.Minute
)

// accepted is a peer that no file names.
type accepted struct {
	config.Peer
	seen time.Time // when it was let in, or its tunnel was last seen up
}

// stranger is an input: a peer connects that a CA vouches for and that there is no tunnel for. done
// is called when there is, or with why there is none.
type stranger struct {
	name string // in its certificate
	done func(error)
}

// peers are those that are configured and those that were accepted.
func (l *loop) peers() []config.Peer {
	all := slices.Clone(l.cfg.Peers)
	for _, name := range sortedKeys(l.accepted) {
		all = append(all, l.accepted[name].Peer)
	}
	return all
}

// peersOf are those that are configured by a config and those of the accepted ones that it accepts.
func (l *loop) peersOf(cfg *config.Config) []config.Peer {
	all := slices.Clone(cfg.Peers)
	for _, name := range sortedKeys(l.accepted) {
		if p, err := cfg.AcceptedPeer(name); err == nil {
			all = append(all, p)
		}
	}
	return all
}

// readmit accepts a peer by name that was accepted before, if the config does and there is no peer of that name.
func (l *loop) readmit(name string, seen time.Time) {
	if l.m.peers[name] != nil || l.accepted[name] != nil {
		return
	}
	if p, err := l.cfg.AcceptedPeer(name); err == nil && p.Name == name {
		l.accepted[name] = &accepted{Peer: p, seen: seen}
	}
}

// leaveAccepted returns the accepted peers for the next daemon, and when each was last seen.
func (l *loop) leaveAccepted() map[string]time.Time {
	all := make(map[string]time.Time, len(l.accepted))
	for name, p := range l.accepted {
		all[name] = l.date(p.seen)
	}
	return all
}

// takeAccepted accepts the peers that the daemon before had accepted: their interfaces and routes are there, and none that
// an operator has taken down may come up when it connects.
func (l *loop) takeAccepted() {
	if l.resuming == nil {
		return
	}
	for name, seen := range l.resuming.from.accepted() {
		if seen.IsZero() {
			seen = l.now()
		}
		l.readmit(name, seen)
	}
}

// setAdmission has the transport let those in that the config accepts.
func (l *loop) setAdmission() {
	accept := l.cfg.Accept
	if accept.CA == nil {
		l.listen.SetAdmission(nil)
		return
	}
	l.listen.SetAdmission(&tlslink.Admission{
		CA: accept.CA, Matches: accept.Matches,
		Admit: func(name string, done func(error)) { l.inbox.put(stranger{name, done}) },
	})
}

// admit makes peers of those that connect, all at once.
func (l *loop) admit(strangers []stranger) {
	var let []stranger
	added := false
	for _, s := range strangers {
		p, err := l.cfg.AcceptedPeer(s.name)
		if err == nil {
			err = l.checkDown(p.Name)
		}
		known := err == nil && l.accepted[p.Name] != nil
		if err == nil && !known && len(l.accepted) >= maxAccepted {
			err = fmt.Errorf("there are %d peers without a file already, which is the most that are accepted", maxAccepted)
		}
		if err != nil {
			l.log.Warn("a peer that the CA vouches for is not accepted", "peer", s.name, "err", err)
			s.done(err)
			continue
		}
		if !known {
			l.accepted[p.Name] = &accepted{Peer: p, seen: l.now()}
			l.log.Info("a peer that the CA vouches for is accepted", "peer", p.Name, "interface", p.Tunnels[0].Interface)
			added = true
		}
		let = append(let, s)
	}
	if added {
		l.reconfigure()
	}
	if len(let) == 0 {
		return
	}
	settled := l.settled()
	go func() {
		<-settled
		for _, s := range let {
			s.done(nil)
		}
	}()
}

// reconfigure takes the peers that were accepted, or are not any more.
func (l *loop) reconfigure() {
	l.configure()
	l.lines = nil // no reload asked
	l.announce()
	l.applyRoutes()
}

// forgetAccepted lets go of accepted peers that have had no tunnel for long.
func (l *loop) forgetAccepted(now time.Time) {
	if len(l.accepted) == 0 {
		return
	}
	gone := false
	for name, p := range l.accepted {
		m := l.m.peers[name]
		if m != nil && slices.ContainsFunc(m.attachments, (*attachment).up) || l.m.orders.isHeld(name) {
			p.seen = now
		}
		if now.Sub(p.seen) >= acceptedFor {
			l.log.Info("a peer that was accepted is forgotten, as it had no tunnel for long", "peer", name, "after", acceptedFor)
			delete(l.accepted, name)
			gone = true
		}
	}
	if gone {
		l.reconfigure()
	}
}

// acceptAgain makes the accepted peers of what the config says now. One that an operator has drained or taken down, and that a
// reload had let go of that is taken back, is there again at once: it may not connect, and is to be taken up.
func (l *loop) acceptAgain() {
	for name := range l.m.orders.held() {
		l.readmit(name, l.now())
	}
	for name, p := range l.accepted {
		next, err := l.cfg.AcceptedPeer(name)
		if err != nil {
			delete(l.accepted, name)
			continue
		}
		p.Peer = next
	}
}
