package flow

import (
	"errors"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"warren/tunnel/wireguard/protocol"
)

// inbound receives at one socket, opens what arrives in place, and writes the packets to the
// interfaces of their tunnels.
type inbound struct {
	f     *Flow
	s     *Socket
	stage *stage[inboundBatch]

	fill func(fd uintptr) bool // made once, as it is passed on often

	// The reader's.
	in      incoming
	next    *inboundBatch // that was received into last
	err     error         // of that
	waited  bool          // for that
	done    progress      // which others may look at
	freed   uint64        // memory of the kernel, in bytes, by what was received
	emptied bool          // the last attempt left the socket empty
	halted  bool          // it has received nothing, as nothing is to be read

	held *inboundBatch // of hand: its last frame is not written yet
}

// Receive begins to receive at a socket, until it is closed. running is done when the last
// goroutine of the socket has ended.
func (f *Flow) Receive(s *Socket, running *sync.WaitGroup) {
	r := newInbound(f, s, running)
	f.mu.Lock()
	f.inbounds[r] = struct{}{}
	f.mu.Unlock()
	r.stage.start()
}

func newInbound(f *Flow, s *Socket, running *sync.WaitGroup) *inbound {
	r := &inbound{f: f, s: s}
	r.fill = r.fillOnce
	r.stage = newStage(&f.spare, running, steps[inboundBatch]{
		read: r.read, work: r.open, hand: r.hand,
		readable: func() bool { return !f.isHalted() && s.state.Readable() },
	})
	return r
}

// read waits for something to arrive. It returns nil when the socket is closed, and after
// another error, or when nothing more is to be read, an empty batch, with which whatever waits for more is written.
func (r *inbound) read() (b *inboundBatch, size int, waited bool) {
	r.waited = false
	if r.halted {
		r.halted = false
		r.f.waitHalt()
	}
	err := r.s.raw.Read(r.fill)
	if err == nil && r.halted {
		return r.next, 0, false
	}
	if errors.Is(err, net.ErrClosed) {
		r.end()
		return nil, 0, false
	}
	if err == nil {
		err = r.err
	}
	if err != nil {
		r.f.Logger.Warn("cannot receive", "err", err)
		time.Sleep(receivePause)
		return newInboundBatch(), 0, false
	}
	r.next.at = r.f.Now()
	return r.next, r.next.n, r.waited
}

// end is for the last reader.
func (r *inbound) end() {
	r.done.closed.Store(true)
	r.f.mu.Lock()
	defer r.f.mu.Unlock()
	delete(r.f.inbounds, r)
}

// fillOnce receives until there are enough bytes, or no more, and reports whether there is
// anything. If it had to wait, one receive is enough: most often nothing else is there, and a
// reply may be waited for. If it did not have to wait it is lagging, and batches. There is no
// buffer while it waits.
func (r *inbound) fillOnce(fd uintptr) bool {
	batch := newInboundBatch()
	batch.enter(r.f)
	if r.f.isHalted() {
		r.halted, r.next = true, batch
		return true
	}
	attempt := r.begin()
	for receives := 0; batch.n < worthwhile && receives < maxReceives; receives++ {
		var g datagrams
		if g, r.err = r.in.receive(int(fd), batch.buf[batch.n:]); r.err != nil {
			break
		}
		r.freed += uint64(g.n) + leastMemory
		if g.n > 0 {
			batch.add(g)
		}
		if r.waited {
			break
		}
	}
	r.emptied = r.err != nil // which an error that stays counts as
	if batch.n == 0 && r.err != nil {
		r.done.empty.Store(attempt)
		r.emptied = false // it has been said
		batch.release()
		r.waited = errors.Is(r.err, unix.EAGAIN)
		return !r.waited
	}
	r.next, r.err = batch, nil // an error that stays comes again
	return true
}

// begin says what the attempts to receive before this one have done, and numbers this one.
func (r *inbound) begin() (attempt uint64) {
	attempt = r.done.attempts.Load()
	if r.done.memory.Load() != r.freed { // storing costs more
		r.done.memory.Store(r.freed)
	}
	if r.emptied {
		r.done.empty.Store(attempt)
	}
	r.done.attempts.Store(attempt + 1)
	return attempt + 1
}

// maxReceives bounds how often is received before what came is looked at: small messages
// should not wait long for others.
const maxReceives = 64

// receivePause keeps an error that stays from taking a core.
const receivePause = 100 * time.Millisecond

// open makes frames of the messages. Those of a handshake are somebody else's.
func (r *inbound) open(batch *inboundBatch) {
	at := 0
	for i := range batch.groups {
		g := &batch.groups[i]
		r.openGroup(batch, g, at, batch.at)
		at += g.n
	}
}

// openGroup opens a group that begins at a place of the buffer.
func (r *inbound) openGroup(batch *inboundBatch, g *datagrams, at int, now time.Time) {
	for b := batch.buf[at : at+g.n]; len(b) > 0; {
		n := 0 // bytes before the next handshake
		for n < len(b) && !protocol.IsHandshake(b[n:min(n+g.size, len(b))]) {
			n = min(n+g.size, len(b))
		}
		if n > 0 {
			batch.got = r.f.Machine.ReceiveRun(now, g.from, b[:n], g.size, batch.got[:0])
			r.take(batch, g, at)
		} else {
			n = min(g.size, len(b))
			r.f.Handshake(Handshake{Socket: r.s, At: now, From: g.from, Local: g.local, Msg: b[:n]})
		}
		b = b[n:]
		at += n
	}
}

// take joins what was got of a group's messages that begin at a place of the buffer.
func (r *inbound) take(batch *inboundBatch, g *datagrams, at int) {
	for got := batch.got; len(got) > 0; {
		peer, n := got[0].Peer, 1
		for n < len(got) && got[n].Peer == peer {
			n++
		}
		if t := r.f.Heard(peer, g.local); t != nil {
			batch.join(t, got[:n], at, g)
		}
		got = got[n:]
		at += n * g.size
	}
	clear(batch.got)
}

// hand writes what arrived to the interfaces, in order. If more is there already, or on its
// way, the last frame waits for that: a sender cuts what its kernel made in pieces that fit a
// datagram, and each frame that is written here has TCP send an acknowledgment.
func (r *inbound) hand(batch *inboundBatch, more bool) {
	frames := batch.frames
	if h := r.held; h != nil {
		last := &h.frames[len(h.frames)-1]
		if len(frames) > 0 && last.tunnel == frames[0].tunnel && last.tunnel.Joins && last.Append(&frames[0].Joiner) {
			frames = frames[1:]
		}
		if len(frames) == 0 && more {
			batch.release()
			return
		}
		last.write()
		h.release()
		r.held = nil
	}
	if more && len(frames) > 0 {
		r.held = batch
		frames = frames[:len(frames)-1]
	}
	for i := range frames {
		frames[i].write()
	}
	if r.held != batch {
		batch.release()
	}
}
