package wireguard

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"time"

	"warren/tunnel"
	"warren/tunnel/wireguard/pathmtu"
)

// Where two routers have several tunnels, the end that loses its way by one of them tells the other end by those that are
// left, which would find out by the silence alone:
//
//  1. The end whose tunnel goes down for that reason says so to who owns the tunnels ([LinkConfig.Lost]), with the tunnel's ID.
//  2. That tells the peer by each other tunnel ([Link.TellLost]), inside it, until it is answered or tellLostFor is over.
//  3. There [LinkConfig.PeerLost] says so to the other owner of tunnels, which tells those of the same peer ([Link.TakeLost]).
//  4. The link with that ID takes its tunnel down. It is up with the first word of the peer that was not on its way yet. So it
//     is soon if the line works, as the peer's keepalives go on.
//
// The ID is made of the keys of both ends, which these alone know together.

// Bounds of TellLost.
const (
	tellLostEvery = 20 * time.Millisecond // packets get lost
	tellLostFor   = 250 * time.Millisecond
	maxLost       = 8 // tunnels that are told at the same time
)

// onItsWay is for how long at least may come what the peer has sent before it lost its way.
const onItsWay = 50 * time.Millisecond

// losing is about tunnels that one end has lost. All but the channels belongs to the goroutine of Link.Run.
type losing struct {
	tell chan tunnel.SessionID // by TellLost
	take chan struct{}         // by TakeLost, capacity 1

	telling []lostTunnel
	next    time.Time     // when they are told again; zero: there are none
	taken   tunnel.Losses // of the peer
}

// lostTunnel is one that the peer is told of.
type lostTunnel struct {
	id    tunnel.SessionID
	until time.Time
}

func newLosing() losing {
	return losing{tell: make(chan tunnel.SessionID, maxLost), take: make(chan struct{}, 1)}
}

// lostID names a tunnel by the keys of its ends, the same at both.
func lostID(n names) (id tunnel.SessionID) {
	ends := [][]byte{n.local[:], n.peer[:]}
	slices.SortFunc(ends, bytes.Compare)
	sum := sha256.Sum256(slices.Concat([]byte("warren lost tunnel"), ends[0], ends[1]))
	copy(id[:], sum[:])
	return id
}

// TellLost tells the peer that this end has no way to it any more by another tunnel of theirs, or another transport of this one.
// Another device does not answer, and no end whose link has no addresses in the tunnel is told. It may be called from any goroutine,
// and does not block.
func (l *Link) TellLost(id tunnel.SessionID) {
	select {
	case l.losing.tell <- id:
		l.notify()
	default: // the peer finds out by the silence
	}
}

// TakeLost takes the tunnel down if it has that ID, as its peer has no way to this end by it any more. It may be called from any
// goroutine, and does not block.
func (l *Link) TakeLost(id tunnel.SessionID) {
	s := l.peer.Status(l.e.cfg.Now())
	if lostID(namesOf(&s)) != id {
		return
	}
	select {
	case l.losing.take <- struct{}{}:
		l.notify()
	default: // it is about to
	}
}

// sayLost says that this end has no way to the peer any more.
func (l *Link) sayLost(now time.Time) {
	if l.cfg.Lost != nil {
		s := l.peer.Status(now)
		l.cfg.Lost(lostID(namesOf(&s)))
	}
}

// peerLost passes on what the peer says of another tunnel, and answers.
func (l *Link) peerLost(now time.Time, id pathmtu.Token) {
	if l.cfg.PeerLost == nil || !l.losing.taken.Take(now) {
		return
	}
	l.cfg.PeerLost(tunnel.SessionID(id))
	l.sayNotice(now, pathmtu.Notice{Word: pathmtu.Knows, Token: id})
}

// tryLost does what is due.
func (l *Link) tryLost(now time.Time) {
	lost := &l.losing
	select {
	case <-lost.take:
		l.lose(now)
	default:
	}
	for more := true; more; {
		select {
		case id := <-lost.tell:
			lost.add(now, id)
		default:
			more = false
		}
	}
	if !l.isUp() || !l.flow.Ends.Load().IsValid() {
		lost.telling = nil
	}
	lost.expire(now)
	if lost.next.IsZero() || now.Before(lost.next) {
		return
	}
	lost.next = now.Add(tellLostEvery)
	for _, t := range lost.telling {
		l.sayNotice(now, pathmtu.Notice{Word: pathmtu.Lost, Token: pathmtu.Token(t.id)})
	}
}

// lose takes the tunnel down until the peer has said something by it that was not on its way yet.
func (l *Link) lose(now time.Time) {
	if !l.isUp() {
		return
	}
	l.ways.found = now.Add(max(onItsWay, l.report.Status().RTT))
	l.down(now, tunnel.ErrPeerLost)
}

// add has the peer be told of a tunnel.
func (o *losing) add(now time.Time, id tunnel.SessionID) {
	o.known(id)
	if len(o.telling) < maxLost {
		o.telling = append(o.telling, lostTunnel{id, now.Add(tellLostFor)})
		o.next = now
	}
}

// known ends that, as the peer has answered.
func (o *losing) known(id tunnel.SessionID) {
	o.telling = slices.DeleteFunc(o.telling, func(t lostTunnel) bool { return t.id == id })
}

// expire forgets those that the peer has not answered about in time.
func (o *losing) expire(now time.Time) {
	o.telling = slices.DeleteFunc(o.telling, func(t lostTunnel) bool { return !now.Before(t.until) })
	if len(o.telling) == 0 {
		o.next = time.Time{}
	}
}
