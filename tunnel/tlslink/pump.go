package tlslink

import (
	"errors"
	"os"
	"sync"

	"warren/tunnel/tun"
)

// batchEnough is when a batch of packets is sent without looking for more: a full
// TLS record.
const batchEnough = 16 << 10

// buffer has room for a batch that is not yet enough, and one more frame.
type buffer [batchEnough + headerLen + tun.MaxFrame]byte

// buffers are held only while a packet is on its way through.
var buffers = sync.Pool{New: func() any { return new(buffer) }}

// pump reads a queue of the device for as long as that lasts and sends what it
// reads on the lane that has the queue. Without one packets are dropped, as the
// kernel does on an interface without a carrier.
func (l *Link) pump(queue int) error {
	for {
		if err := l.dev.Wait(queue); err != nil {
			return ended(err)
		}
		buf := buffers.Get().(*buffer)
		err := l.drain(queue, buf)
		buffers.Put(buf)
		if err != nil {
			return ended(err)
		}
	}
}

// drain sends all that is in the queue. The first packet goes at once: most often
// it is the only one, and somebody may be waiting for it. The others are sent in
// batches.
func (l *Link) drain(queue int, buf *buffer) error {
	for enough := 1; ; enough = batchEnough {
		n, packets, err := l.fill(queue, buf, enough)
		if n > 0 {
			l.transmit(queue, buf[:n], packets)
		}
		if errors.Is(err, tun.ErrEmpty) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// fill reads packets until there are enough bytes for a send. The error is that of the
// last read; what was read before counts all the same.
func (l *Link) fill(queue int, buf *buffer, enough int) (n, packets int, err error) {
	for n < enough {
		size, err := l.dev.TryRead(queue, buf[n+headerLen:])
		if err != nil {
			return n, packets, err
		}
		if size <= tun.HeaderLen {
			continue
		}
		putHeader(buf[n:], frameData, size)
		n += headerLen + size
		packets++
	}
	return n, packets, nil
}

func (l *Link) transmit(queue int, frames []byte, packets int) {
	ln := l.routes[queue].Load()
	if ln == nil {
		l.counters.Drops.Add(uint64(packets))
		return
	}
	if err := ln.sendData(frames, &l.waits[queue]); err != nil {
		l.counters.Drops.Add(uint64(packets))
		if ln.number == 0 {
			ln.s.fail(err)
		} else {
			ln.lose(err)
		}
		return
	}
	l.counters.TxPackets.Add(uint64(packets))
	l.counters.TxBytes.Add(uint64(len(frames) - packets*(headerLen+tun.HeaderLen)))
}

// ended is nil for the end that Link.Run made itself.
func ended(err error) error {
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}
