package tlslink

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"warren/tunnel/internal/fq"
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

// pump is a goroutine that reads a queue of the device and sends what it reads on the lane that has the queue. Without a
// lane packets are dropped, as the kernel does on an interface without a carrier, unless the tunnel is paused (pause.go).
//
// When sending has to wait somebody else reads on, and has packets wait in the queue's backlog, which the pump sends next, and
// which decides about them:
//
//   - on a slow lane another pump. When nothing waits any more the first one ends. So a queue has two pumps at most, one of which
//     reads and one of which sends;
//   - on a fast one the timer of the wait, which leaves off when the wait is over. Two pumps that take turns cost processor time.
type pump struct {
	link  *Link
	queue int
	reads atomic.Bool // this is the one that reads
	waits atomic.Bool // for a fast lane; changed with mu held, but for its end

	mu    sync.Mutex    // held by whoever reads in its place
	since time.Duration // when it began to wait (monotonic); guarded by mu
	timer *time.Timer   // for overdue; guarded by mu
	armed bool          // it will call; guarded by mu
}

const (
	// relieveAfter is how long a fast lane may have its pump wait before somebody else reads. Most waits are shorter.
	relieveAfter = time.Millisecond
	// readRarely is the most time between two reads in a long wait.
	readRarely = 100 * time.Millisecond
	// manyFrames in one read are so many that the next one comes soon: the device's queue holds 128 (tun.txQueueLen), and drops what
	// comes last, whichever flow it is of.
	manyFrames = 32
)

// aloneBytes bounds what is read of a flow alone at a time, which is up to 2 Gbit/s at first. On a faster line, where a wait that
// long is mostly one for a processor, it has nobody to let pass, and frames that wait here are gone from the processor's cache when
// they are sent.
const aloneBytes = 256 << 10

// pump reads a queue of the device for as long as that lasts, or another goroutine does it.
func (l *Link) pump(queue int) error {
	p := &pump{link: l, queue: queue}
	p.reads.Store(true)
	for p.reads.Load() {
		err := l.dev.Wait(queue)
		if err == nil {
			l.waitPause() // packets wait where they are
			err = p.drain()
		}
		if err != nil {
			return ended(err)
		}
	}
	return nil
}

// relieve has another pump read, unless one does. mu is held, and the pump sends.
func (p *pump) relieve() {
	if p.reads.CompareAndSwap(true, false) {
		p.link.pumps.Go(func() error { return p.link.pump(p.queue) })
	}
}

// relieveLater has the timer read if the pump has to wait for longer. mu is held, and the pump sends.
func (p *pump) relieveLater() {
	if !p.reads.Load() || p.waits.Load() {
		return
	}
	p.since = monotonic()
	p.waits.Store(true)
	if !p.armed {
		p.arm(relieveAfter)
	}
}

// arm sets the timer, which is left alone when the wait is over before: many are in a millisecond. mu is held.
func (p *pump) arm(after time.Duration) {
	p.armed = true
	if p.timer == nil {
		p.timer = time.AfterFunc(after, p.overdue)
	} else {
		p.timer.Reset(after)
	}
}

// overdue is called by the timer, maybe in a later wait than the one that it was set for.
func (p *pump) overdue() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.armed = false
	if !p.waits.Load() {
		return
	}
	waited := monotonic() - p.since
	if waited < relieveAfter {
		p.arm(relieveAfter - waited)
		return
	}
	p.arm(readAgain(waited, p.readOn()))
}

// readAgain returns how long it is until the next read in a wait, in which the last one has found so many frames.
func readAgain(waited time.Duration, frames int) time.Duration {
	if frames >= manyFrames {
		return relieveAfter
	}
	return min(max(relieveAfter, waited/8), readRarely)
}

// readOn has all that is in the queue wait, until the pump goes on, and returns how many frames that was. Of a flow alone it reads no more
// than aloneBytes at a time.
func (p *pump) readOn() (frames int) {
	for read := 0; p.waits.Load() && p.link.gate.Load() == nil; frames++ {
		if read >= aloneBytes && p.backlog().flows() < 2 {
			return frames
		}
		n, _, err := p.readToWait()
		if err != nil {
			return frames // the pump finds the same
		}
		read += n
	}
	return frames
}

// goesOn is called when it does not wait any more. Afterwards nobody reads in its place who does not yet.
func (p *pump) goesOn() {
	p.waits.Store(false)
	p.mu.Lock() // for who still does
	defer p.mu.Unlock()
}

func (p *pump) backlog() *backlog { return &p.link.backlogs[p.queue] }
func (p *pump) waited() *waits    { return &p.link.waits[p.queue] }

// drain sends all that is in the queue. The first packet goes at once: most often
// it is the only one, and somebody may be waiting for it. The others are sent in
// batches.
func (p *pump) drain() error {
	for enough := 1; p.reads.Load(); enough = batchEnough {
		if !p.link.enter() {
			continue
		}
		var err error
		if p.backlog().begin() {
			err = p.forward(enough)
		} else {
			err = p.collect()
		}
		p.link.exit()
		if errors.Is(err, tun.ErrEmpty) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// forward reads a batch and sends it, as nothing waits that it could overtake, and then what has come to wait meanwhile.
func (p *pump) forward(enough int) error {
	buf := buffers.Get().(*buffer)
	defer buffers.Put(buf)
	n, packets, fine, err := p.link.fill(p.queue, buf, enough)
	ln := p.link.routes[p.queue].Load()
	switch {
	case fine != nil || n > 0 && ln != nil && ln.pace.isSlow():
		p.addAll(buf[:n])
		if fine != nil {
			p.cut(fine)
		}
		p.sendBacklog()
		return err
	case n > 0:
		p.link.transmit(p, buf[:n], packets)
	}
	if !p.backlog().end() {
		p.sendBacklog()
	}
	return err
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
		frame := buf[n+headerLen : n+headerLen+size]
		if l.goesElsewhere(queue, frame) {
			continue
		}
		if tun.IsFine(frame) {
			return n, packets, frame, nil
		}
		putHeader(buf[n:], frameData, size)
		n += headerLen + size
		packets++
	}
	return n, packets, nil, nil
}

// collect reads packets that have to wait, until there are none, the tunnel is paused, or nobody sends any more, and sends them then.
func (p *pump) collect() error {
	for p.reads.Load() && p.link.gate.Load() == nil {
		_, begins, err := p.readToWait()
		if err != nil {
			return err
		}
		if begins {
			p.sendBacklog()
			return nil
		}
	}
	return nil
}

// readToWait reads a frame of n bytes and has it wait, unless it takes another lane. It reports whether nobody sends; then the caller does.
func (p *pump) readToWait() (n int, begins bool, err error) {
	packet := takePacket(packetSizes[largestPacket])
	n, err = p.link.dev.TryRead(p.queue, packet.Data[headerLen:])
	if err != nil || n <= tun.HeaderLen {
		putPacket(packet)
		return 0, false, err
	}
	if p.link.goesElsewhere(p.queue, packet.Data[headerLen:headerLen+n]) {
		putPacket(packet)
		return n, false, nil
	}
	return n, p.wait(packet, n), nil
}

// wait has a frame of n bytes wait that was read into a packet of the largest size, which it takes. It reports whether nobody sends; then
// the caller does.
func (p *pump) wait(packet *fq.Packet, n int) (begins bool) {
	frame := packet.Data[headerLen : headerLen+n]
	switch {
	case tun.IsFine(frame):
		begins = p.cut(frame)
	case headerLen+n <= batchEnough || p.tooLong(n):
		begins = p.add(frame)
	default:
		putHeader(packet.Data, frameData, n)
		packet.Data = packet.Data[:headerLen+n]
		return p.push(flowOf(frame), packet)
	}
	putPacket(packet)
	return begins
}

// addAll has a batch of frames, with their headers, wait.
func (p *pump) addAll(frames []byte) {
	for len(frames) > 0 {
		_, n, _ := parseHeader(frames)
		p.add(frames[headerLen : headerLen+n])
		frames = frames[headerLen+n:]
	}
}

// tooLong reports whether a frame of n bytes takes the lane too much time.
func (p *pump) tooLong(n int) bool {
	ln := p.link.routes[p.queue].Load()
	if ln == nil {
		return false
	}
	longest := int(ln.pace.frame.Load())
	return longest > 0 && n > longest
}

// add has a frame wait, of which it keeps nothing: in parts if the lane is slow. It reports whether nobody sends; then the caller
// does.
func (p *pump) add(frame []byte) (begins bool) {
	if p.tooLong(len(frame)) {
		if s, err := segment.Parse(frame); err == nil && !s.IsWhole() {
			return p.addParts(flowOf(frame), &s)
		}
	}
	packet := takePacket(headerLen + len(frame))
	putHeader(packet.Data, frameData, len(frame))
	copy(packet.Data[headerLen:], frame)
	return p.push(flowOf(frame), packet)
}

func (p *pump) addParts(flow uint64, s *segment.Splitter) (begins bool) {
	longest := leastBatch
	if ln := p.link.routes[p.queue].Load(); ln != nil {
		longest = max(longest, int(ln.pace.frame.Load()))
	}
	count := s.PacketsIn(longest)
	for {
		packet := takePacket(headerLen + s.PartLen(count))
		n := s.NextPart(packet.Data[headerLen:], count)
		if n == 0 {
			putPacket(packet)
			return begins
		}
		packet.Data = packet.Data[:headerLen+n]
		putHeader(packet.Data, frameData, n)
		begins = p.push(flow, packet) || begins
	}
}

// cut has the packets of a frame wait one by one. The far end does not take
// a frame of so short segments: a hostile one would make it work for a few bytes.
func (p *pump) cut(frame []byte) (begins bool) {
	s, err := segment.Parse(frame)
	if err != nil {
		p.link.counters.Drops.Add(1)
		return false
	}
	flow := flowOf(frame)
	for range s.Count() {
		packet := takePacket(headerLen + tun.HeaderLen + s.Longest())
		size := tun.HeaderLen + s.Next(packet.Data[headerLen+tun.HeaderLen:])
		packet.Data = packet.Data[:headerLen+size]
		putHeader(packet.Data, frameData, size)
		clear(packet.Data[headerLen : headerLen+tun.HeaderLen])
		begins = p.push(flow, packet) || begins
	}
	return begins
}

// push has a packet wait. It reports whether nobody sends; then the caller does.
func (p *pump) push(flow uint64, packet *fq.Packet) (begins bool) {
	begins = p.backlog().push(flow, packet)
	p.notes(flow)
	return begins
}

func flowOf(frame []byte) uint64 { return fq.Flow(frame[tun.HeaderLen:]) }

// transmit sends what was just read.
func (l *Link) transmit(p *pump, frames []byte, packets int) {
	ln := l.awaitLane(p.queue)
	err := errMoved
	for ln != nil {
		if err = ln.sendData(p, frames); !errors.Is(err, errMoved) {
			break
		}
		ln = l.awaitLane(p.queue) // changed before the lane was said to have moved
	}
	if err == nil {
		l.noteSent(packets, len(frames))
		return
	}
	l.counters.Drops.Add(uint64(packets))
	if ln != nil {
		ln.failed(err)
	}
}

// awaitLane returns the lane of a queue, after the pause while the tunnel is paused; nil: the tunnel is down.
func (l *Link) awaitLane(queue int) *lane {
	for {
		if ln := l.routes[queue].Load(); ln != nil {
			return ln
		}
		if !l.waitPause() {
			return l.routes[queue].Load() // where the pause was over just now it has one
		}
	}
}

// sendBacklog sends what waits until nothing does. It is for the one that sends, which the caller is not any more afterwards.
func (p *pump) sendBacklog() {
	l := p.link
	for {
		ln := l.awaitLane(p.queue)
		if ln == nil {
			p.backlog().clear()
			return
		}
		sent, bytes, err := ln.sendWaiting(p)
		switch {
		case errors.Is(err, errMoved): // the route was changed before
		case err != nil:
			l.counters.Drops.Add(uint64(sent))
			if ln.failed(err) { // the session is over
				p.backlog().clear()
				return
			}
		case sent == 0:
			if p.backlog().end() {
				return
			}
		default:
			l.noteSent(sent, bytes)
		}
	}
}

// failed gives a lane up on which packets could not be sent. It reports whether the session ends with it.
func (ln *lane) failed(err error) bool {
	if ln.isVital() {
		ln.s.sendFailed(err)
		return true
	}
	ln.lose(err)
	return false
}

// noteSent counts packets that were sent in so many bytes of frames.
func (l *Link) noteSent(packets, bytes int) {
	l.counters.TxPackets.Add(uint64(packets))
	l.counters.TxBytes.Add(uint64(bytes - packets*(headerLen+tun.HeaderLen)))
}

// ended is nil for the end that Link.Run made itself.
func ended(err error) error {
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}
