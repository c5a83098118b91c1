package wireguard

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"warren/tunnel/tun"
	"warren/tunnel/wireguard/protocol"
	"warren/tunnel/wireguard/segment"
)

// receiver reads one socket, opens what arrives in place, and writes the packets to
// their interfaces. Opening and writing take about as long, the latter because the
// kernel's TCP does its work in it, so that under load they are done by two goroutines,
// with a few buffers between them. What is small goes straight through as long as
// nothing is before it.
type receiver struct {
	e    *Endpoint
	s    *socket
	in   *incoming
	free chan *arrival
	work chan *arrival

	ahead  atomic.Int32 // arrivals that the writer has; the joiner is its while there are any
	joiner segment.Joiner
	link   *Link // whose packets are in the joiner
}

// arrival is one receive, and the packets in it.
type arrival struct {
	buf     [1 << 16]byte
	packets []packetOf
}

type packetOf struct {
	link   *Link
	packet []byte
}

const (
	arrivals = 3       // one being received and opened, one waiting, one being written
	small    = 4 << 10 // bytes of a receive that are not worth another goroutine
)

func newReceiver(e *Endpoint, s *socket) *receiver {
	r := &receiver{
		e: e, s: s, in: newIncoming(),
		free: make(chan *arrival, arrivals), work: make(chan *arrival, arrivals),
	}
	for range arrivals {
		r.free <- new(arrival)
	}
	r.joiner.Use(make([]byte, tun.MaxFrame))
	return r
}

// run works until the socket is closed.
func (r *receiver) run() {
	var writer sync.WaitGroup
	writer.Go(func() {
		for a := range r.work {
			r.write(a)
			r.ahead.Add(-1)
			r.free <- a
		}
	})
	defer writer.Wait()
	defer close(r.work)
	for {
		a := <-r.free
		n, size, from, err := r.s.receive(r.in, a.buf[:])
		if err == nil {
			r.open(a, n, size, from)
			r.deliver(a, n)
			continue
		}
		r.free <- a
		if errors.Is(err, net.ErrClosed) {
			return
		}
		r.e.log.Warn("cannot receive", "err", err)
		time.Sleep(receivePause)
	}
}

// receivePause keeps an error that stays from taking a core.
const receivePause = 100 * time.Millisecond

// open takes the messages of one receive.
func (r *receiver) open(a *arrival, n, size int, from netip.AddrPort) {
	now := time.Now()
	a.packets = a.packets[:0]
	for b := a.buf[:n]; len(b) > 0; {
		msg := b[:min(size, len(b))]
		b = b[len(msg):]
		if protocol.IsHandshake(msg) {
			r.e.takeHandshake(handshake{socket: r.s, at: now, from: from, local: r.in.local, msg: msg})
			continue
		}
		if got := r.e.machine.Receive(now, from, msg); got.Peer != nil {
			r.heard(a, got.Peer, got.Packet)
		}
	}
}

// heard takes what a peer sent; without a packet it is a sign of life.
func (r *receiver) heard(a *arrival, p *protocol.Peer, packet []byte) {
	l := r.e.heard(p, r.in.local)
	if l == nil || packet == nil {
		return
	}
	segment.ClampMSS(packet, l.mtu)
	l.counters.rxPackets.Add(1)
	l.counters.rxBytes.Add(uint64(len(packet)))
	a.packets = append(a.packets, packetOf{l, packet})
}

// deliver hands the packets of a receive of n bytes on.
func (r *receiver) deliver(a *arrival, n int) {
	if len(a.packets) == 0 || n <= small && r.ahead.Load() == 0 {
		r.write(a)
		r.free <- a
		return
	}
	r.ahead.Add(1)
	r.work <- a
}

// write gives the packets to their interfaces, joined.
func (r *receiver) write(a *arrival) {
	for _, p := range a.packets {
		if p.link != r.link || !r.joiner.Add(p.packet) {
			r.flush()
			r.link = p.link
			r.joiner.Add(p.packet)
		}
	}
	if len(a.packets) > 0 {
		r.flush()
	}
}

func (r *receiver) flush() {
	l := r.link
	r.link = nil
	frame := r.joiner.Flush()
	if l == nil || len(frame) == 0 {
		return
	}
	if err := l.dev.Write(frame); err != nil {
		l.counters.drops.Add(1)
		l.log.Debug("a packet was not delivered", "err", err)
	}
}
