package wireguard

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"warren/tunnel/tun"
	"warren/tunnel/wireguard/protocol"
	"warren/tunnel/wireguard/segment"
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

	// The reader's.
	in   *incoming
	next *arrival // that is received into
}

// arrival is one receive, and the frames in it.
type arrival struct {
	buf    [1 << 16]byte
	n      int
	size   int // of each message but the last
	from   netip.AddrPort
	local  netip.Addr                  // where it was sent to
	out    [1<<16 + tun.HeaderLen]byte // frames take less than the messages that they came in
	frames []frameOf
	got    []protocol.Received
	used   int // bytes of out
	joiner segment.Joiner
}

type frameOf struct {
	link  *Link
	frame []byte
}

// arrivals are held only while packets are on their way through.
var arrivals = sync.Pool{New: func() any { return new(arrival) }}

// worthwhile is how many bytes take so long to seal or open that another goroutine is
// better off with what comes next.
const worthwhile = 16 << 10

func newReceiver(e *Endpoint, s *socket) *receiver {
	r := &receiver{e: e, s: s, team: newTeam(&e.spare, &e.serves)}
	r.in = newIncoming(func() []byte {
		r.next = arrivals.Get().(*arrival)
		return r.next.buf[:]
	}, func() { arrivals.Put(r.next) })
	r.order = newOrder(func(a *arrival) {
		a.write()
		arrivals.Put(a)
	})
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
			a.write()
			arrivals.Put(a)
			continue
		}
		number := r.order.come()
		if a.n < worthwhile {
			r.open(a)
			r.order.finish(number, a)
			continue
		}
		behind := !r.in.waited
		r.team.release()
		if behind {
			r.team.grow(r.work)
		}
		r.open(a)
		r.order.finish(number, a)
		if !r.team.read() {
			return
		}
	}
}

// receive waits for something to arrive. It returns nil when the socket is closed.
func (r *receiver) receive() *arrival {
	for {
		n, size, from, err := r.s.receive(r.in)
		if err == nil {
			a := r.next
			a.n, a.size, a.from, a.local = n, size, from, r.in.local
			return a
		}
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		r.e.log.Warn("cannot receive", "err", err)
		time.Sleep(receivePause)
	}
}

// receivePause keeps an error that stays from taking a core.
const receivePause = 100 * time.Millisecond

// open makes frames of the messages. Those of a handshake are somebody else's.
func (r *receiver) open(a *arrival) {
	now := time.Now()
	a.frames = a.frames[:0]
	a.used = 0
	a.joiner.Use(a.out[:])
	for b := a.buf[:a.n]; len(b) > 0; {
		n := 0 // bytes before the next handshake
		for n < len(b) && !protocol.IsHandshake(b[n:min(n+a.size, len(b))]) {
			n = min(n+a.size, len(b))
		}
		if n > 0 {
			a.got = r.e.machine.ReceiveRun(now, a.from, b[:n], a.size, a.got[:0])
			r.take(a)
		} else {
			n = min(a.size, len(b))
			r.e.takeHandshake(handshake{socket: r.s, at: now, from: a.from, local: a.local, msg: b[:n]})
		}
		b = b[n:]
	}
}

// take joins what was received.
func (r *receiver) take(a *arrival) {
	for got := a.got; len(got) > 0; {
		peer, n := got[0].Peer, 1
		for n < len(got) && got[n].Peer == peer {
			n++
		}
		if l := r.e.heard(peer, a.local); l != nil {
			a.join(l, got[:n])
		}
		got = got[n:]
	}
	clear(a.got)
}

// join makes frames of the packets of a link.
func (a *arrival) join(l *Link, got []protocol.Received) {
	packets, bytes := 0, 0
	for _, g := range got {
		if g.Packet == nil {
			continue
		}
		segment.ClampMSS(g.Packet, l.mtu)
		packets++
		bytes += len(g.Packet)
		if !a.joiner.Add(g.Packet) {
			a.flush(l)
			a.joiner.Add(g.Packet)
		}
	}
	a.flush(l)
	if packets > 0 {
		l.counters.RxPackets.Add(uint64(packets))
		l.counters.RxBytes.Add(uint64(bytes))
	}
}

// flush ends the frame in the joiner, if there is one.
func (a *arrival) flush(l *Link) {
	if frame := a.joiner.Flush(); len(frame) > 0 {
		a.frames = append(a.frames, frameOf{l, frame})
		a.used += len(frame)
		a.joiner.Use(a.out[a.used:])
	}
}

// write gives the frames to their interfaces.
func (a *arrival) write() {
	for _, f := range a.frames {
		if err := f.link.dev.Write(f.frame); err != nil {
			f.link.counters.Drops.Add(1)
			f.link.log.Debug("a packet was not delivered", "err", err)
		}
	}
	clear(a.frames) // the pool is not to keep a link
}
