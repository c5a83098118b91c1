package wireguard

import (
	"crypto/rand"
	"time"

	"warren/tunnel/wireguard/pathmtu"
)

const (
	// askEvery is how soon the peer is asked again which addresses it assigns, if it has not
	// answered: packets get lost.
	askEvery = time.Second
	// askTries is after how many questions without an answer the peer is taken to assign none, as
	// another WireGuard device does. From then on it is asked every askSeldom.
	askTries  = 5
	askSeldom = 30 * time.Second
)

// assigning is about the addresses that one end assigns to the other. All but the channel belongs
// to the goroutine of Link.Run.
type assigning struct {
	messages chan pathmtu.Assign // of the peer

	session time.Time     // in which the peer was asked last
	token   pathmtu.Token // of the question
	next    time.Time     // when to ask again; zero: it has answered, or is not asked
	tries   int           // since the session began
	told    bool          // LinkConfig.Offered was called since the tunnel came up
}

// assigns takes a message of the peer. It may be called from any goroutine. What is too much at
// once is lost.
func (l *Link) assigns(m pathmtu.Assign) {
	select {
	case l.assigning.messages <- m:
	default:
	}
	l.notify()
}

// askAssigned begins to ask the peer which addresses it assigns. With each new session it is
// asked again: it may have been configured otherwise meanwhile.
func (l *Link) askAssigned(now, session time.Time) {
	a := &l.assigning
	if l.cfg.Offered == nil || a.session.Equal(session) || !l.flow.Ends.Load().IsValid() {
		return
	}
	rand.Read(a.token[:])
	a.session, a.next, a.tries = session, now, 0
}

// endAssigned is for a tunnel that goes down.
func (l *Link) endAssigned() {
	l.assigning.session, l.assigning.next, l.assigning.told = time.Time{}, time.Time{}, false
}

// tryAssign does what is due: it answers the peer's questions, takes its answer and asks.
func (l *Link) tryAssign(now time.Time) {
	a := &l.assigning
	for done := false; !done; {
		select {
		case m := <-a.messages:
			l.takeAssign(now, m)
		default:
			done = true
		}
	}
	if !l.isUp() || a.next.IsZero() || now.Before(a.next) {
		return
	}
	if a.tries++; a.tries > askTries {
		a.next = now.Add(askSeldom)
		if !a.told {
			a.told = true
			l.cfg.Offered(nil)
		}
	} else {
		a.next = now.Add(askEvery)
	}
	packet, err := l.flow.Ends.Load().AskAssigned(a.token)
	if err == nil {
		err = l.sendInside(now, packet)
	}
	if err != nil {
		l.log.Debug("cannot ask which addresses the peer assigns", "err", err)
	}
}

func (l *Link) takeAssign(now time.Time, m pathmtu.Assign) {
	a := &l.assigning
	switch {
	case m.Asks:
		packet, err := l.flow.Ends.Load().TellAssigned(m.Token, l.cfg.Assign)
		if err == nil {
			err = l.sendInside(now, packet)
		}
		if err != nil {
			l.log.Debug("cannot say which addresses are assigned", "err", err)
		}
	case l.isUp() && !a.next.IsZero() && m.Token == a.token:
		a.next, a.told = time.Time{}, true
		l.cfg.Offered(m.Assigned)
	}
}
