package tlslink

import (
	"sync"
	"time"

	"warren/tunnel/internal/ecn"
	"warren/tunnel/internal/fq"
	"warren/tunnel/tun"
)

// backlog is what was read from a queue of the device and waits for its lane. The kernel's own queue would drop what comes
// last, whichever flow it is of, and only when it is full: a queueing discipline on the interface sees nothing of it, as a TUN
// does not stop who sends (drivers/net/tun.c, tun_net_xmit).
//
// It also says who sends: one goroutine at a time, so that flows stay in order. While nobody does nothing waits.
type backlog struct {
	link *Link

	mu      sync.Mutex
	queue   *fq.Queue // nil: nothing has waited lately
	used    bool      // since the last call of rest
	sending bool
	since   time.Duration // what is being sent came later, or then; while flows choose lanes (choice.go)
}

// begin has the caller be the one that sends, unless somebody does.
func (b *backlog) begin() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.sending {
		return false
	}
	b.sending = true
	if b.link.choice.Load() != nil {
		b.since = monotonic()
	}
	return true
}

// end has the caller send no more, unless packets wait. It reports whether none does.
func (b *backlog) end() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sending = b.queue != nil && b.queue.Len() > 0
	return !b.sending
}

// push has a packet wait. It reports whether nobody sends; then the caller does from now on.
func (b *backlog) push(flow uint64, p *fq.Packet) (begins bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.queue == nil {
		b.queue = fq.New(fq.Hooks{Mark: mark, Drop: b.drop})
	}
	b.used = true
	b.queue.Push(monotonic(), flow, p)
	begins, b.sending = !b.sending, true
	return begins
}

// flows returns of how many flows packets wait.
func (b *backlog) flows() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.queue == nil {
		return 0
	}
	return b.queue.Flows()
}

// wrote is called by the one that sends, when all that it has taken is written.
func (b *backlog) wrote(now time.Duration) {
	b.mu.Lock()
	b.since = now
	b.mu.Unlock()
}

// passed returns a time: what came before it is written.
func (b *backlog) passed() time.Duration {
	now := monotonic()
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case !b.sending:
		return now
	case b.queue == nil:
		return b.since
	}
	oldest, any := b.queue.Oldest()
	if !any {
		return b.since
	}
	return min(b.since, oldest)
}

// batch is packets that are sent together.
type batch struct {
	frames  []byte
	packets int
	whole   *fq.Packet // that has them; nil: they are somewhere else
}

func (b *batch) release() {
	if b.whole != nil {
		putPacket(b.whole)
	}
}

// take takes packets in their turn, until there are enough bytes for a send: into buf, unless it is one alone.
func (b *backlog) take(buf *buffer, enough int, limits fq.Limits) (t batch) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now, n := monotonic(), 0
	for n < enough && b.queue != nil {
		p := b.queue.Pop(now, limits)
		if p == nil {
			break
		}
		if t.packets++; t.packets == 1 || p.Came() < b.since {
			b.since = p.Came()
		}
		if n == 0 && len(p.Data) >= enough {
			t.frames, t.whole = p.Data, p
			return t
		}
		n += copy(buf[n:], p.Data)
		putPacket(p)
	}
	t.frames = buf[:n]
	return t
}

// clear drops all, and the caller does not send any more.
func (b *backlog) clear() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.queue != nil {
		b.queue.Clear()
		b.queue = nil // the tunnel may be down for long
	}
	b.sending = false
}

// rest is called now and then, and gives memory back that was not used since the last time.
func (b *backlog) rest() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.used && b.queue != nil && b.queue.Len() == 0 {
		b.queue = nil
	}
	b.used = false
}

// restBacklogs is called at each look back.
func (l *Link) restBacklogs() {
	for q := range l.backlogs {
		l.backlogs[q].rest()
	}
}

func (b *backlog) drop(p *fq.Packet) {
	b.link.counters.Drops.Add(1)
	putPacket(p)
}

// mark marks all packets of a frame, if their flow takes marks.
func mark(p *fq.Packet) bool {
	packet := p.Data[headerLen+tun.HeaderLen:]
	v4, v6 := packet[0]>>4 == 4 && len(packet) >= 20, packet[0]>>4 == 6 && len(packet) >= 40
	return (v4 || v6) && ecn.Decapsulate(packet, ecn.CE) != ecn.Refused
}

// Packets that wait have buffers of a few sizes, as what counts for the bound of all that wait is the buffers: but for
// the smallest, one is nearly half full at least.
var packetSizes = [...]int{2 << 10, 4 << 10, 8 << 10, 16 << 10, 32 << 10, headerLen + tun.MaxFrame}

const largestPacket = len(packetSizes) - 1

var packetPools [len(packetSizes)]sync.Pool

// takePacket returns a packet with room for so many bytes.
func takePacket(n int) *fq.Packet {
	for i, size := range packetSizes {
		if n > size {
			continue
		}
		if p, ok := packetPools[i].Get().(*fq.Packet); ok {
			p.Data = p.Data[:n]
			return p
		}
		return &fq.Packet{Data: make([]byte, n, size)}
	}
	panic("tlslink: a packet is larger than a frame can be")
}

func putPacket(p *fq.Packet) {
	for i, size := range packetSizes {
		if cap(p.Data) == size {
			packetPools[i].Put(p)
			return
		}
	}
}

// flush sends what waits in some queues before this end is restarted, until a time: the next program has none of it. Most queues are empty
// before, as they are kept short. It is for who has the lane's lock.
func (ln *lane) flush(queues []int, until time.Duration) error {
	for _, q := range queues {
		for monotonic() < until {
			sent, bytes, err := ln.sendBatch(&ln.s.link.backlogs[q])
			if err != nil {
				return err
			}
			if sent == 0 {
				break
			}
			ln.s.link.noteSent(sent, bytes)
		}
	}
	return nil
}
