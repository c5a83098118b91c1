package wireguard

import (
	"errors"
	"os"
	"sync"

	"warren/tunnel/internal/segment"
	"warren/tunnel/tun"
	"warren/tunnel/wireguard/protocol"
)

// pump reads one queue of a link's interface, seals what it reads, and sends it.
// Sealing takes longest, so that under load several goroutines do it, while what they
// have sealed is sent in the order in which it was read. What is small goes straight
// through as long as nothing is before it.
type pump struct {
	l     *Link
	queue int
	team  *team
	order *order[batch]
	out   departure
	fail  func(error)

	// The reader's.
	more   bool // there may be more in the queue
	waited bool // for what was read last
}

// batch is what was read at once, and the messages made of it.
type batch struct {
	read   *buffer // until it is sealed
	n      int     // bytes read
	frames []segment.Splitter
	sealed outbox
}

// batches are held only while packets are on their way through.
var batches = sync.Pool{New: func() any { return new(batch) }}

func newBatch() *batch {
	b := batches.Get().(*batch)
	b.read = newBuffer()
	return b
}

// letRead gives back what was read.
func (b *batch) letRead() {
	b.read.release()
	clear(b.frames)
	b.read, b.n, b.frames = nil, 0, b.frames[:0]
}

// letGo gives back the batch and what was sealed.
func (b *batch) letGo() {
	b.sealed.reset()
	batches.Put(b)
}

func newPump(l *Link, queue int, running *sync.WaitGroup, fail func(error)) *pump {
	p := &pump{l: l, queue: queue, out: departure{link: l}, fail: fail}
	p.team = newTeam(&l.e.spare, running, p.work)
	// What can be read will be, and handed on, so that nothing waits for ever.
	p.order = newOrder(func(b *batch, more bool) { p.out.hand(b, more || l.dev.Readable(queue)) })
	return p
}

// work is what a goroutine of the team does, until another reads or the device is
// closed.
func (p *pump) work() {
	for {
		b, err := p.next()
		if err != nil {
			p.team.release()
			if !errors.Is(err, os.ErrClosed) { // that end Link.Run made itself
				p.fail(err)
			}
			return
		}
		if b.n < worthwhile && p.order.idle() {
			p.l.seal(b)
			p.out.hand(b, false)
			continue
		}
		number := p.order.come()
		if b.n < worthwhile {
			p.l.seal(b)
			p.order.finish(number, b)
			continue
		}
		behind := !p.waited
		p.team.release()
		if behind {
			p.team.grow()
		}
		p.l.seal(b)
		p.order.finish(number, b)
		if !p.team.read() {
			return
		}
	}
}

// next returns the next frames of the queue. It waits for them without a buffer. It may
// return none, with which whatever waits for more is sent.
func (p *pump) next() (*batch, error) {
	p.waited = !p.more
	if p.waited {
		if err := p.l.dev.Wait(p.queue); err != nil {
			return nil, err
		}
	}
	b := newBatch()
	err := p.fill(b, p.waited)
	if b.n == 0 && err != nil && !errors.Is(err, tun.ErrEmpty) {
		b.letRead()
		b.letGo()
		return nil, err
	}
	return b, nil // an error comes again
}

// fill reads frames until there are enough bytes, or no more. After waiting, one is
// enough: most often it is the only one, and somebody may be waiting for it.
func (p *pump) fill(b *batch, one bool) error {
	p.more = true
	for b.n < worthwhile && len(b.read)-b.n >= tun.MaxFrame && len(b.frames) < maxSegments {
		n, err := p.l.dev.TryRead(p.queue, b.read[b.n:])
		if err != nil {
			p.more = false
			return err
		}
		if n <= tun.HeaderLen {
			continue
		}
		s, err := segment.Parse(b.read[b.n : b.n+n])
		if err != nil {
			p.l.counters.Drops.Add(1)
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

// seal makes messages of the frames of a batch.
func (l *Link) seal(b *batch) {
	defer b.letRead()
	limit := int(l.limit.Load())
	l.refuseLarge(b, limit)
	count := 0
	for i := range b.frames {
		count += b.frames[i].Count()
	}
	if count == 0 {
		return
	}
	sealer, err := l.peer.Sealer(l.e.cfg.Now(), count)
	if err != nil {
		l.counters.Drops.Add(uint64(count))
		return
	}
	b.sealed.to = sealer.To
	bytes := 0
	for i := range b.frames {
		s := &b.frames[i]
		l.sendsLarge(s.Longest())
		longest := protocol.Overhead + max(s.Longest(), protocol.PaddedLen(s.Longest(), limit))
		for {
			at := b.sealed.room(longest)
			n := s.Next(at[protocol.HeaderLen:])
			if n == 0 {
				break
			}
			segment.ClampMSS(at[protocol.HeaderLen:protocol.HeaderLen+n], limit)
			bytes += n
			b.sealed.add(len(sealer.Add(at, n, limit)))
		}
	}
	sealer.Seal()
	l.counters.TxPackets.Add(uint64(count))
	l.counters.TxBytes.Add(uint64(bytes))
}
