package wireguard

import (
	"net/netip"
	"sync"

	"warren/tunnel/internal/segment"
	"warren/tunnel/tun"
	"warren/tunnel/wireguard/pathmtu"
	"warren/tunnel/wireguard/protocol"
)

// arrival is what was received before any of it was looked at, and the frames made of
// it, which are in the place of the messages that they came in: those take more.
type arrival struct {
	buf    *buffer
	n      int     // bytes received
	groups []group // that they are of, one after the other
	frames []joined
	got    []protocol.Received
}

// group is messages of one sender that lie one after the other.
type group struct {
	n     int // bytes
	size  int // of each message but the last, which may be shorter
	from  netip.AddrPort
	local netip.Addr // where they were sent to
}

// joined is packets of a link that follow each other; it can still grow.
type joined struct {
	link *Link
	segment.Joiner
}

// arrivals are held only while packets are on their way through.
var arrivals = sync.Pool{New: func() any { return new(arrival) }}

func newArrival() *arrival {
	a := arrivals.Get().(*arrival)
	a.buf = newBuffer()
	return a
}

// add adds what was received behind the rest, to the last group if it could be a part of
// that: messages of one size are opened faster together.
func (a *arrival) add(g group) {
	a.n += g.n
	if last := len(a.groups) - 1; last >= 0 && a.groups[last].extend(g) {
		return
	}
	a.groups = append(a.groups, g)
}

// extend adds what came next, and reports whether that can be.
func (g *group) extend(next group) bool {
	whole := g.n%g.size == 0
	alike := next.size == g.size || next.size == next.n && next.n < g.size
	if !whole || !alike || next.from != g.from || next.local != g.local {
		return false
	}
	g.n += next.n
	return true
}

// join makes frames of the packets of a link, in messages of a size that begin at a place
// of the buffer.
func (a *arrival) join(l *Link, got []protocol.Received, at, size int) {
	packets, bytes, limit := 0, 0, int(l.limit.Load())
	for i, g := range got {
		if g.Packet == nil {
			if g.Err != nil { // of the peer, and no packet
				l.counters.Drops.Add(1)
			}
			continue
		}
		if pathmtu.IsICMP(g.Packet) && l.takeProbe(g.Packet) {
			continue
		}
		segment.ClampMSS(g.Packet, limit)
		packets++
		bytes += len(g.Packet)
		if last := len(a.frames) - 1; last < 0 || a.frames[last].link != l || !l.join || !a.frames[last].Add(g.Packet) {
			a.begin(l, at+i*size+protocol.HeaderLen).Add(g.Packet)
		}
	}
	if packets > 0 {
		l.counters.RxPackets.Add(uint64(packets))
		l.counters.RxBytes.Add(uint64(bytes))
	}
}

// begin begins a frame of a link where a packet lies: its header takes the place of that
// of the message.
func (a *arrival) begin(l *Link, packet int) *joined {
	a.frames = append(a.frames, joined{link: l})
	f := &a.frames[len(a.frames)-1]
	f.Use(a.buf[packet-tun.HeaderLen:])
	return f
}

// write gives a frame to its interface.
func (f *joined) write() {
	if err := f.link.dev.Write(f.Flush()); err != nil {
		f.link.counters.Drops.Add(1)
		f.link.log.Debug("a packet was not delivered", "err", err)
	}
}

// release gives the arrival back, without the links and the buffer that it refers to.
func (a *arrival) release() {
	clear(a.frames)
	a.buf.release()
	a.buf, a.n, a.groups, a.frames = nil, 0, a.groups[:0], a.frames[:0]
	arrivals.Put(a)
}
