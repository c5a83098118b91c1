package flow

import (
	"errors"
	"os"
	"sync"

	"warren/tunnel/internal/segment"
	"warren/tunnel/tun"
	"warren/tunnel/wireguard/pathmtu"
)

// outbound reads one queue of a tunnel's interface and sends what it reads, sealed.
type outbound struct {
	t      *Tunnel
	queue  int
	stage  *stage[outboundBatch]
	sender sender
	fail   func(error)

	more   bool // there may be more in the queue; the reader's
	halted bool // nothing was read, as nothing is to be; likewise
}

// outboundBatch is the frames that were read at once, and the messages made of them.
type outboundBatch struct {
	flight
	read   *buffer // until it is sealed
	n      int     // bytes read
	frames []segment.Splitter
	sealed sealed
}

// outboundBatches are those that hold no packets now.
var outboundBatches = sync.Pool{New: func() any { return new(outboundBatch) }}

func newOutboundBatch() *outboundBatch {
	b := outboundBatches.Get().(*outboundBatch)
	b.read = newBuffer()
	return b
}

// releaseRead gives back what was read.
func (b *outboundBatch) releaseRead() {
	b.read.release()
	clear(b.frames)
	b.read, b.n, b.frames = nil, 0, b.frames[:0]
}

// release gives back the batch and its messages.
func (b *outboundBatch) release() {
	b.sealed.reset()
	b.leave()
	outboundBatches.Put(b)
}

// Start begins to send what a queue of the tunnel's interface has, until the interface is
// closed. Another error goes to fail, which may be called more than once and must not block.
// running is done when the last goroutine of the queue has ended.
func (t *Tunnel) Start(queue int, running *sync.WaitGroup, fail func(error)) {
	newOutbound(t, queue, running, fail).stage.start()
}

func newOutbound(t *Tunnel, queue int, running *sync.WaitGroup, fail func(error)) *outbound {
	o := &outbound{t: t, queue: queue, sender: sender{tunnel: t}, fail: fail}
	o.stage = newStage(&t.Flow.spare, running, steps[outboundBatch]{
		read: o.read, work: t.seal, hand: o.sender.hand,
		readable: func() bool { return !t.Flow.isHalted() && t.Device.Readable(queue) },
	})
	return o
}

// read returns the next frames of the queue. It waits for them without a buffer. It may
// return none, with which whatever waits for more is sent.
func (o *outbound) read() (b *outboundBatch, size int, waited bool) {
	if o.halted {
		o.halted = false
		o.t.Flow.waitHalt()
	}
	waited = !o.more
	if waited {
		if err := o.t.Device.Wait(o.queue); err != nil {
			return o.end(err)
		}
	}
	b = newOutboundBatch()
	b.enter(o.t.Flow)
	if o.t.Flow.isHalted() {
		o.halted = true
		return b, 0, false
	}
	err := o.fill(b, waited)
	if b.n == 0 && err != nil && !errors.Is(err, tun.ErrEmpty) {
		b.releaseRead()
		b.release()
		return o.end(err)
	}
	return b, b.n, waited // an error comes again
}

// end tells of an error after which nothing can be read. A closed interface is the tunnel's end.
func (o *outbound) end(err error) (*outboundBatch, int, bool) {
	if !errors.Is(err, os.ErrClosed) {
		o.fail(err)
	}
	return nil, 0, false
}

// fill reads frames until there are enough bytes, or no more. After waiting, one is
// enough: most often it is the only one, and somebody may be waiting for it.
func (o *outbound) fill(b *outboundBatch, one bool) error {
	o.more = true
	for b.n < worthwhile && len(b.read)-b.n >= tun.MaxFrame && len(b.frames) < maxSegments {
		n, err := o.t.Device.TryRead(o.queue, b.read[b.n:])
		if err != nil {
			o.more = false
			return err
		}
		if n <= tun.HeaderLen {
			continue
		}
		s, err := segment.Parse(b.read[b.n : b.n+n])
		if err != nil || pathmtu.IsICMP(s.Packet()) && o.t.Ends.Load().IsForged(s.Packet()) {
			o.t.Counters.Drops.Add(1)
			continue
		}
		b.n += n
		b.frames = append(b.frames, s)
		if one {
			break
		}
	}
	return nil
}
