package wireguard

import (
	"time"

	"warren/tunnel/tun"
	"warren/tunnel/wireguard/protocol"
	"warren/tunnel/wireguard/segment"
)

// receiver reads one socket, opens what arrives in place, and writes the packets to
// their interfaces. It belongs to one goroutine.
type receiver struct {
	e      *Endpoint
	s      *socket
	buf    []byte
	oob    []byte
	joiner segment.Joiner
	link   *Link // whose packets are in the joiner
}

func newReceiver(e *Endpoint, s *socket) *receiver {
	r := &receiver{e: e, s: s, buf: make([]byte, 1<<16), oob: make([]byte, 128)}
	r.joiner.Use(make([]byte, tun.MaxFrame))
	return r
}

// next waits for one receive and handles what it brings.
func (r *receiver) next(clock func() time.Time) error {
	n, size, from, err := r.s.receive(r.buf, r.oob)
	if err != nil {
		return err
	}
	now := clock()
	for b := r.buf[:n]; len(b) > 0; {
		msg := b[:min(size, len(b))]
		b = b[len(msg):]
		got := r.e.machine.Receive(now, from, msg)
		if got.Reply != nil {
			if err := r.s.send(got.Reply, len(got.Reply), from); err != nil {
				r.e.log.Debug("cannot answer a handshake", "remote", from, "err", err)
			}
		}
		if got.Peer != nil {
			r.heard(got.Peer, got.Packet)
		}
	}
	r.flush()
	return nil
}

// heard takes what a peer sent; without a packet it is a sign of life.
func (r *receiver) heard(p *protocol.Peer, packet []byte) {
	found, ok := r.e.links.Load(p)
	if !ok {
		return
	}
	l := found.(*Link)
	if !l.up.Load() {
		l.notify()
	}
	if packet != nil {
		r.packet(l, packet)
	}
}

// packet adds one to what goes to its interface next.
func (r *receiver) packet(l *Link, p []byte) {
	segment.ClampMSS(p, l.mtu)
	l.counters.rxPackets.Add(1)
	l.counters.rxBytes.Add(uint64(len(p)))
	if l != r.link {
		r.flush()
		r.link = l
	}
	if !r.joiner.Add(p) {
		r.flush()
		r.link = l
		r.joiner.Add(p)
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
