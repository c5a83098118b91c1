package wireguard

import (
	"errors"
	"time"

	"warren/tunnel"
	"warren/tunnel/wireguard/pathmtu"
	"warren/tunnel/wireguard/protocol"
)

// Why a tunnel is down whose peer has said what becomes of it.
var (
	errLeft    = errors.New("the peer has left for another router")
	errNotBack = errors.New("the peer was being restarted, and has not come back")
)

// notice takes what the peer says of itself. It may be called from any goroutine. What is too much at once is lost.
func (l *Link) notice(n pathmtu.Notice) {
	select {
	case l.noticed <- n:
	default:
	}
	l.notify()
}

// takeNotices does what is due because of that.
func (l *Link) takeNotices(now time.Time) {
	for {
		select {
		case n := <-l.noticed:
			if l.isUp() {
				l.takeNotice(now, n)
			}
		default:
			return
		}
	}
}

func (l *Link) takeNotice(now time.Time, n pathmtu.Notice) {
	switch n.Word {
	case pathmtu.Await:
		l.await(now, n.Token)
	case pathmtu.Awaits:
		if n.Token == l.restart.token {
			l.awaited()
		}
	case pathmtu.Back:
		l.awaitUntil(time.Time{})
	case pathmtu.Lost:
		l.peerLost(now, n.Token)
	case pathmtu.Knows:
		l.losing.known(tunnel.SessionID(n.Token))
	case pathmtu.Leaves:
		// While the peer has not used a newer session, which may be with another address of this router, that may be on its way.
		if s := l.peer.Status(now); n.IsOf(s.Index) && !s.Unconfirmed {
			l.live.Leaves(now)
		}
	}
}

// sayNotice tells the peer something of this end.
func (l *Link) sayNotice(now time.Time, n pathmtu.Notice) {
	packet, err := l.flow.Ends.Load().Notice(n)
	if err == nil {
		err = l.sendInside(now, packet)
	}
	if err != nil {
		l.log.Debug("cannot tell the peer of this end", "err", err)
	}
}

// sayLeaving tells the router that has the other end of a session that this end leaves it for another one. Where that is lost it
// finds out by the silence.
func (l *Link) sayLeaving(sealer protocol.Sealer, err error) {
	ends := l.flow.Ends.Load()
	if err != nil || !ends.IsValid() {
		return
	}
	packet, err := ends.Notice(pathmtu.Leaving(sealer.Index()))
	if err == nil {
		err = l.sendSealed(&sealer, packet)
	}
	if err != nil {
		l.log.Debug("cannot tell the router that is left", "err", err)
	}
}
