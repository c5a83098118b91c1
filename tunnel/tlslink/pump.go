package tlslink

import (
	"errors"
	"os"
	"sync"

	"warren/tunnel/internal/segment"
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
// kernel does on an interface without a carrier, unless the tunnel is paused (pause.go).
func (l *Link) pump(queue int) error {
	for {
		if err := l.dev.Wait(queue); err != nil {
			return ended(err)
		}
		l.waitPause() // packets wait where they are
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
		n, packets, fine, err := l.fill(queue, buf, enough)
		if n > 0 {
			l.transmit(queue, buf[:n], packets)
		}
		if fine != nil {
			l.cut(queue, fine)
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
// last read; what was read before counts all the same. fine is a frame that comes after
// them and has to be cut, in buf.
func (l *Link) fill(queue int, buf *buffer, enough int) (n, packets int, fine []byte, err error) {
	for n < enough {
		size, err := l.dev.TryRead(queue, buf[n+headerLen:])
		if err != nil {
			return n, packets, nil, err
		}
		if size <= tun.HeaderLen {
			continue
		}
		if frame := buf[n+headerLen : n+headerLen+size]; tun.IsFine(frame) {
			return n, packets, frame, nil
		}
		putHeader(buf[n:], frameData, size)
		n += headerLen + size
		packets++
	}
	return n, packets, nil, nil
}

// cut sends the packets of a frame one by one, in batches. The far end does not take
// a frame of so short segments: a hostile one would make it work for a few bytes.
func (l *Link) cut(queue int, frame []byte) {
	s, err := segment.Parse(frame)
	if err != nil {
		l.counters.Drops.Add(1)
		return
	}
	buf := buffers.Get().(*buffer)
	defer buffers.Put(buf)
	n, packets := 0, 0
	for range s.Count() {
		packet := buf[n+headerLen+tun.HeaderLen:]
		size := tun.HeaderLen + s.Next(packet)
		putHeader(buf[n:], frameData, size)
		clear(buf[n+headerLen : n+headerLen+tun.HeaderLen])
		n += headerLen + size
		packets++
		if n >= batchEnough {
			l.transmit(queue, buf[:n], packets)
			n, packets = 0, 0
		}
	}
	if n > 0 {
		l.transmit(queue, buf[:n], packets)
	}
}

func (l *Link) transmit(queue int, frames []byte, packets int) {
	ln := l.routes[queue].Load()
	var err error
	for ln != nil || l.waitPause() {
		if ln != nil {
			if err = ln.sendData(frames, &l.waits[queue]); !errors.Is(err, errMoved) {
				break
			}
		}
		ln = l.routes[queue].Load() // changed before the lane was said to have moved
	}
	if ln == nil || err != nil {
		l.counters.Drops.Add(uint64(packets))
	}
	if ln == nil {
		return
	}
	if err != nil {
		if ln.isVital() {
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
