package wireguard

import (
	"errors"
	"net/netip"
	"os"
	"sync"
	"time"

	"warren/tunnel/tun"
	"warren/tunnel/wireguard/protocol"
	"warren/tunnel/wireguard/segment"
)

// batch is the buffers of one reader while it is at work: a frame from the interface,
// and the messages made of it that wait to be sent together.
type batch struct {
	frame [tun.MaxFrame]byte
	out   [maxDatagram + protocol.Overhead + tun.MaxPacket]byte

	n     int // bytes in out
	size  int // of each message but the last
	count int
	to    netip.AddrPort
}

// batches are held only while packets are on their way through.
var batches = sync.Pool{New: func() any { return new(batch) }}

// pump reads a queue of the device for as long as that lasts and sends what it reads.
func (l *Link) pump(queue int) error {
	for {
		if err := l.dev.Wait(queue); err != nil {
			return ended(err)
		}
		b := batches.Get().(*batch)
		err := l.drain(queue, b)
		batches.Put(b)
		if err != nil {
			return ended(err)
		}
	}
}

// drain sends all that is in the queue. The first packet goes at once: most often it
// is the only one, and somebody may be waiting for it.
func (l *Link) drain(queue int, b *batch) error {
	for first := true; ; first = false {
		n, err := l.dev.TryRead(queue, b.frame[:])
		if err != nil {
			l.flush(b)
			if errors.Is(err, tun.ErrEmpty) {
				return nil
			}
			return err
		}
		if n <= tun.HeaderLen {
			continue
		}
		l.seal(b, b.frame[:n])
		if first {
			l.flush(b)
		}
	}
}

// seal makes messages of a frame.
func (l *Link) seal(b *batch, frame []byte) {
	s, err := segment.Parse(frame)
	if err != nil {
		l.counters.drops.Add(1)
		return
	}
	sealer, err := l.peer.Sealer(time.Now(), s.Count())
	if err != nil {
		l.counters.drops.Add(uint64(s.Count()))
		return
	}
	longest := protocol.Overhead + max(s.Longest(), protocol.PaddedLen(s.Longest(), l.mtu))
	for {
		l.makeRoom(b, longest, sealer.To)
		at := b.out[b.n:]
		n := s.Next(at[protocol.HeaderLen:])
		if n == 0 {
			return
		}
		segment.ClampMSS(at[protocol.HeaderLen:protocol.HeaderLen+n], l.mtu)
		l.counters.txPackets.Add(1)
		l.counters.txBytes.Add(uint64(n))
		l.add(b, len(sealer.Seal(at, n, l.mtu)))
	}
}

// makeRoom sends what is in the batch if a message of up to n bytes can no longer
// join it.
func (l *Link) makeRoom(b *batch, n int, to netip.AddrPort) {
	if b.count > 0 && (b.n+n > maxDatagram || b.count == maxSegments || to != b.to) {
		l.flush(b)
	}
	b.to = to
}

// add takes the message into the batch that lies at its end. Only the last one of a
// batch may be shorter than the others, and none longer.
func (l *Link) add(b *batch, n int) {
	switch {
	case b.count == 0:
		b.size = n
	case n > b.size:
		before := b.n
		l.send(b.out[:before], b.size, b.to, b.count)
		copy(b.out[:], b.out[before:before+n])
		b.n, b.count, b.size = 0, 0, n
	}
	b.n += n
	b.count++
	if n < b.size {
		l.flush(b)
	}
}

func (l *Link) flush(b *batch) {
	if b.count > 0 {
		l.send(b.out[:b.n], b.size, b.to, b.count)
	}
	b.n, b.count = 0, 0
}

func (l *Link) send(msgs []byte, size int, to netip.AddrPort, count int) {
	if err := l.transmit(msgs, size, to); err != nil {
		l.counters.drops.Add(uint64(count))
		l.log.Debug("packets were not sent", "remote", to, "err", err)
	}
}

// ended is nil for the end that Link.Run made itself.
func ended(err error) error {
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}
