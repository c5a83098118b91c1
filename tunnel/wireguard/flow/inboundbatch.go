package flow

import (
	"net/netip"
	"sync"
	"time"

	"warren/tunnel/internal/ecn"
	"warren/tunnel/internal/segment"
	"warren/tunnel/tun"
	"warren/tunnel/wireguard/pathmtu"
	"warren/tunnel/wireguard/protocol"
)

// inboundBatch is one batch of received datagrams, and the frames made of it over them in place:
// a frame is never longer than the messages that its packets came in.
type inboundBatch struct {
	flight
	buf    *buffer
	n      int         // bytes received
	at     time.Time   // when they were read from the socket
	groups []datagrams // that they are of, one after the other
	frames []frame
	got    []protocol.Received
}

// datagrams are messages of one sender that lie one after the other.
type datagrams struct {
	n     int // bytes
	size  int // of each message but the last, which may be shorter
	from  netip.AddrPort
	local netip.Addr // where they were sent to
	ecn   ecn.Codepoint
}

// frame is consecutive packets of a tunnel; it can still grow.
type frame struct {
	tunnel *Tunnel
	segment.Joiner
}

// inboundBatches are those that hold no packets now.
var inboundBatches = sync.Pool{New: func() any { return new(inboundBatch) }}

func newInboundBatch() *inboundBatch {
	batch := inboundBatches.Get().(*inboundBatch)
	batch.buf = newBuffer()
	return batch
}

// add adds what was received behind the rest, to the last group if it could be a part of
// that: messages of one size are opened faster together.
func (batch *inboundBatch) add(g datagrams) {
	batch.n += g.n
	if last := len(batch.groups) - 1; last >= 0 && batch.groups[last].extend(g) {
		return
	}
	batch.groups = append(batch.groups, g)
}

// extend adds what came next, and reports whether that can be.
func (g *datagrams) extend(next datagrams) bool {
	whole := g.n%g.size == 0
	alike := next.size == g.size || next.size == next.n && next.n < g.size
	if !whole || !alike || next.from != g.from || next.local != g.local || next.ecn != g.ecn {
		return false
	}
	g.n += next.n
	return true
}

// join makes frames of the packets of a tunnel, in messages of a group that begin at a place
// of the buffer.
func (batch *inboundBatch) join(t *Tunnel, got []protocol.Received, at int, of *datagrams) {
	packets, bytes, limit := 0, 0, int(t.Limit.Load())
	for i, g := range got {
		if g.Packet == nil {
			if g.Err != nil { // of the peer, and no packet
				t.Counters.Drops.Add(1)
			}
			continue
		}
		// Frames are joined of packets with one traffic class, so it is changed before.
		if of.ecn != ecn.NotECT && !t.decapsulate(g.Packet, of.ecn) {
			continue
		}
		if pathmtu.IsICMP(g.Packet) && t.takeProbe(g.Packet) {
			continue
		}
		segment.ClampMSS(g.Packet, limit)
		packets++
		bytes += len(g.Packet)
		if last := len(batch.frames) - 1; last < 0 || batch.frames[last].tunnel != t || !t.Joins || !batch.frames[last].Add(g.Packet) {
			batch.begin(t, at+i*of.size+protocol.HeaderLen).Add(g.Packet)
		}
	}
	if packets > 0 {
		t.Counters.RxPackets.Add(uint64(packets))
		t.Counters.RxBytes.Add(uint64(bytes))
	}
}

// begin begins a frame of a tunnel where a packet lies: its header takes the place of the
// message's.
func (batch *inboundBatch) begin(t *Tunnel, packet int) *frame {
	batch.frames = append(batch.frames, frame{tunnel: t})
	f := &batch.frames[len(batch.frames)-1]
	f.Use(batch.buf[packet-tun.HeaderLen:])
	return f
}

// write gives a frame to its interface.
func (f *frame) write() {
	if err := f.tunnel.Device.Write(f.Flush()); err != nil {
		f.tunnel.Counters.Drops.Add(1)
		f.tunnel.Logger.Debug("a packet was not delivered", "err", err)
	}
}

// release gives the batch back, without the tunnels and the buffer that it refers to.
func (batch *inboundBatch) release() {
	clear(batch.frames)
	batch.buf.release()
	batch.buf, batch.n, batch.groups, batch.frames = nil, 0, batch.groups[:0], batch.frames[:0]
	batch.leave()
	inboundBatches.Put(batch)
}
