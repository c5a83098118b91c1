package wireguard

import (
	"errors"
	"net"
	"time"

	"golang.org/x/sys/unix"

	"warren/tunnel/wireguard/protocol"
)

// receiver takes what arrives at one socket, opens it in place, and writes the packets
// to their interfaces. Opening takes longest, so that under load several goroutines do
// it, while what they have opened is written in the order in which it came. What is
// small goes straight through as long as nothing is before it.
type receiver struct {
	e     *Endpoint
	s     *socket
	team  *team
	order *order[arrival]

	fill func(fd uintptr) bool // made once, for it is passed on often

	// The reader's.
	in     incoming
	next   *arrival // that was received into last
	err    error    // of that
	waited bool     // for that

	held *arrival // of hand: its last frame is not written yet
}

// worthwhile is how many bytes take so long to seal or open that another goroutine is
// better off with what comes next.
const worthwhile = 16 << 10

func newReceiver(e *Endpoint, s *socket) *receiver {
	r := &receiver{e: e, s: s}
	r.team = newTeam(&e.spare, &e.serves, r.work)
	r.fill = r.fillOnce
	// What can be received will be, and handed on, so that nothing waits for ever.
	r.order = newOrder(func(a *arrival, more bool) { r.hand(a, more || s.state.Readable()) })
	return r
}

// work is what a goroutine of the team does, until another reads or the socket is
// closed.
func (r *receiver) work() {
	for {
		a := r.receive()
		if a == nil {
			r.team.release()
			return
		}
		if a.n < worthwhile && r.order.idle() {
			r.open(a)
			r.hand(a, false)
			continue
		}
		number := r.order.come()
		if a.n < worthwhile {
			r.open(a)
			r.order.finish(number, a)
			continue
		}
		behind := !r.waited
		r.team.release()
		if behind {
			r.team.grow()
		}
		r.open(a)
		r.order.finish(number, a)
		if !r.team.read() {
			return
		}
	}
}

// receive waits for something to arrive. It returns nil when the socket is closed, and after
// another error something empty, with which whatever waits for more is written.
func (r *receiver) receive() *arrival {
	r.waited = false
	err := r.s.raw.Read(r.fill)
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	if err == nil {
		err = r.err
	}
	if err != nil {
		r.e.log.Warn("cannot receive", "err", err)
		time.Sleep(receivePause)
		return newArrival()
	}
	return r.next
}

// fillOnce receives until there are enough bytes, or no more, and reports whether there is
// anything. After waiting, one receive is enough: most often it is the only one, and somebody
// may be waiting for it. Else this is behind, and is faster with several at once. There is
// no buffer while it waits.
func (r *receiver) fillOnce(fd uintptr) bool {
	a := newArrival()
	for receives := 0; a.n < worthwhile && receives < maxReceives; receives++ {
		var g group
		if g, r.err = r.in.receive(int(fd), a.buf[a.n:]); r.err != nil {
			break
		}
		if g.n > 0 {
			a.add(g)
		}
		if r.waited {
			break
		}
	}
	if a.n == 0 && r.err != nil {
		a.release()
		r.waited = errors.Is(r.err, unix.EAGAIN)
		return !r.waited
	}
	r.next, r.err = a, nil // an error that stays comes again
	return true
}

// maxReceives bounds how often is received before what came is looked at: small messages
// should not wait long for others.
const maxReceives = 64

// receivePause keeps an error that stays from taking a core.
const receivePause = 100 * time.Millisecond

// open makes frames of the messages. Those of a handshake are somebody else's.
func (r *receiver) open(a *arrival) {
	now := r.e.cfg.Now()
	at := 0
	for i := range a.groups {
		g := &a.groups[i]
		r.openGroup(a, g, at, now)
		at += g.n
	}
}

// openGroup opens a group that begins at a place of the buffer.
func (r *receiver) openGroup(a *arrival, g *group, at int, now time.Time) {
	for b := a.buf[at : at+g.n]; len(b) > 0; {
		n := 0 // bytes before the next handshake
		for n < len(b) && !protocol.IsHandshake(b[n:min(n+g.size, len(b))]) {
			n = min(n+g.size, len(b))
		}
		if n > 0 {
			a.got = r.e.machine.ReceiveRun(now, g.from, b[:n], g.size, a.got[:0])
			r.take(a, g, at)
		} else {
			n = min(g.size, len(b))
			r.e.takeHandshake(handshake{socket: r.s, at: now, from: g.from, local: g.local, msg: b[:n]})
		}
		b = b[n:]
		at += n
	}
}

// take joins what was got of a group's messages that begin at a place of the buffer.
func (r *receiver) take(a *arrival, g *group, at int) {
	for got := a.got; len(got) > 0; {
		peer, n := got[0].Peer, 1
		for n < len(got) && got[n].Peer == peer {
			n++
		}
		if l := r.e.heard(peer, g.local); l != nil {
			a.join(l, got[:n], at, g.size)
		}
		got = got[n:]
		at += n * g.size
	}
	clear(a.got)
}

// hand writes what arrived to the interfaces, in order. If more is there already, or on its
// way, the last frame waits for that: a sender cuts what its kernel made in pieces that fit a
// datagram, and each frame that is written here has TCP send an acknowledgment.
func (r *receiver) hand(a *arrival, more bool) {
	frames := a.frames
	if h := r.held; h != nil {
		last := &h.frames[len(h.frames)-1]
		if len(frames) > 0 && last.link == frames[0].link && last.link.join && last.Append(&frames[0].Joiner) {
			frames = frames[1:]
		}
		if len(frames) == 0 && more {
			a.release()
			return
		}
		last.write()
		h.release()
		r.held = nil
	}
	if more && len(frames) > 0 {
		r.held = a
		frames = frames[:len(frames)-1]
	}
	for i := range frames {
		frames[i].write()
	}
	if r.held != a {
		a.release()
	}
}
