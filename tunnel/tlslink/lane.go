package tlslink

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"warren/tunnel/tun"
)

// lane is one of a session's connections. Its receiver is one goroutine; senders
// may be several, and take turns.
type lane struct {
	number int
	s      *session
	conn   *tls.Conn
	wire   *wire
	lost   atomic.Bool // it is given up; the session ends with lane 0, unless that is replaced
	stall  stall       // of the goroutine of Run

	progress progress // likewise
	rescue   rescue   // likewise

	sending sync.Mutex
	moved   bool                 // nothing more is sent; with sending
	queues  atomic.Int32         // of which packets are being sent, or wait for sending
	sender  atomic.Pointer[pump] // of packets; nil: none has sending
	pace    pace
	losses  losses
	outlook outlook

	// For its replacement (renew.go).
	began, renewAt, nextTry time.Time     // of the goroutine of Run
	drainUntil              time.Time     // set once it is replaced; of that goroutine too
	sent                    atomic.Uint64 // records, or more
	replaced                atomic.Bool   // another has its number now
	joining                 bool          // it has replaced none until the first frame comes
	after                   chan struct{} // of the lane that it replaces; nil: none
	waiting                 atomic.Bool   // in waitTurn
	ended                   chan struct{} // closed when nothing more comes
	finished                atomic.Int32  // directions that are done

	restarting bool // the peer has said that nothing more comes; of the goroutine that receives
}

func newLane(s *session, number int, conn *tls.Conn, w *wire) *lane {
	now := s.link.e.cfg.Now()
	ln := &lane{
		number: number, s: s, conn: conn, wire: w,
		began: now, renewAt: s.link.renewal.plan(now), ended: make(chan struct{}),
	}
	if s.link.cameLate(&w.proof) {
		ln.renewAt = now
		if !s.dialer {
			ln.renewAt = s.link.earliestAsked(ln)
		}
	}
	ln.pace.set(0, 0, false)
	w.blocked = ln.blocks
	return ln
}

// isVital reports whether the session ends with this lane.
func (ln *lane) isVital() bool { return ln == ln.s.first.Load() }

// acquire has a pump be the one that sends. It counts how long that takes while another queue is here too.
func (ln *lane) acquire(p *pump) {
	shared := ln.queues.Add(1) > 1
	if shared {
		p.waited().begin()
	}
	if !ln.sending.TryLock() {
		p.mu.Lock()
		ln.keepsWaiting(p)
		p.mu.Unlock()
		ln.sending.Lock()
	}
	if shared {
		p.waited().end()
	}
	ln.sender.Store(p)
}

func (ln *lane) release(p *pump) {
	ln.sender.Store(nil)
	ln.sending.Unlock()
	ln.queues.Add(-1)
	p.goesOn()
}

// keepsWaiting has somebody read in place of a pump that waits for the lane. The pump's mu is held.
func (ln *lane) keepsWaiting(p *pump) {
	if ln.pace.isSlow() {
		p.relieve()
	} else {
		p.relieveLater()
	}
}

// blocks is called when what is being sent has to wait for the kernel: a pump's packets, or what crypto/tls has to say meanwhile.
func (ln *lane) blocks() {
	ln.pace.blocked.Store(true)
	p := ln.sender.Load()
	if p == nil || p.waits.Load() {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if ln.sender.Load() == p { // it has not gone on, and does not before mu is free
		ln.keepsWaiting(p)
	}
}

// sendData is send for packets that a pump has just read.
func (ln *lane) sendData(p *pump, frames []byte) error {
	ln.acquire(p)
	defer ln.release(p)
	if ln.moved {
		return errMoved
	}
	err := ln.write(frames)
	ln.followPace(len(frames))
	if err == nil {
		err = ln.mark(p.backlog())
	}
	return err
}

// sendWaiting sends packets of a pump's queue that have waited, a batch of them, when the line takes it. sent is how many,
// 0 if none waits any more.
func (ln *lane) sendWaiting(p *pump) (sent, bytes int, err error) {
	ln.acquire(p)
	defer ln.release(p)
	return ln.sendBatch(p.backlog())
}

// sendBatch is for who has the lock.
func (ln *lane) sendBatch(b *backlog) (sent, bytes int, err error) {
	if ln.moved {
		return 0, 0, errMoved
	}
	if ln.pace.isSlow() {
		if err := ln.wire.waitRoom(); err != nil {
			return 0, 0, ln.explain(err)
		}
	}
	ln.followPace(0)
	buf := buffers.Get().(*buffer)
	defer buffers.Put(buf)
	batch := b.take(buf, ln.pace.batch, ln.pace.limits)
	if batch.packets == 0 {
		return 0, 0, nil
	}
	err = ln.write(batch.frames)
	batch.release()
	ln.pace.sent += len(batch.frames)
	if err == nil {
		err = ln.mark(b)
	}
	return batch.packets, len(batch.frames), err
}

// send writes whole frames. What they become on the wire leaves in as few system
// calls as possible, before send returns. It returns errMoved if the lane was replaced.
func (ln *lane) send(frames []byte) error {
	ln.sending.Lock()
	defer ln.sending.Unlock()
	if ln.moved {
		return errMoved
	}
	return ln.write(frames)
}

// write is for who has the lock.
func (ln *lane) write(frames []byte) error {
	var err error
	ln.sent.Add(records(len(frames)))
	if len(frames) <= recordLen { // one record, and so one write
		_, err = ln.conn.Write(frames)
	} else {
		ln.wire.cork()
		_, err = ln.conn.Write(frames)
		err = errors.Join(err, ln.wire.flush())
	}
	if err != nil {
		return ln.explain(err)
	}
	return nil
}

// recordLen is the most that a TLS record carries (RFC 8446, section 5.1).
const recordLen = 16 << 10

// records is how many records so many bytes take.
func records(n int) uint64 { return uint64(n+recordLen-1) / recordLen }

// receive reads frames until the connection fails, which it returns.
func (ln *lane) receive() error { return ln.receiveFrom(ln.conn) }

func (ln *lane) receiveFrom(r io.Reader) error {
	var header [headerLen]byte
	for {
		if !ln.joining {
			ln.waitTurn()
		}
		// Idle tunnels wait here, without a buffer.
		if _, err := io.ReadFull(r, header[:]); err != nil {
			return ln.explain(err)
		}
		typ, n, err := parseHeader(header[:])
		if err != nil {
			return err
		}
		buf := buffers.Get().(*buffer)
		if _, err = io.ReadFull(r, buf[:n]); err != nil {
			err = ln.explain(err)
		} else {
			err = ln.handle(typ, buf[:n])
		}
		buffers.Put(buf)
		if err == nil && ln.joining {
			err = ln.arrive()
		}
		if err != nil {
			return err
		}
	}
}

// waitTurn waits until nothing more comes on the lane that this one replaces.
func (ln *lane) waitTurn() {
	if ln.after == nil {
		return
	}
	ln.waiting.Store(true)
	select {
	case <-ln.after:
	case <-ln.s.done:
	}
	ln.waiting.Store(false)
	ln.after = nil
}

// arrive tells the link that the first frame came on a lane that is to replace another.
func (ln *lane) arrive() error {
	ln.joining = false
	select {
	case ln.s.link.laneJoins <- ln:
		return nil
	case <-ln.s.done:
		return errMoved
	}
}

// handle takes one frame; payload is the caller's again afterwards.
func (ln *lane) handle(typ byte, payload []byte) error {
	switch typ {
	case frameData:
		return ln.deliver(payload)
	case framePing:
		ln.s.enqueue(encode(framePong, payload))
	case framePong:
		if !ln.s.answeredMark(payload) {
			ln.s.pong(payload)
		}
	case frameWiden:
		ln.s.asked.Store(true)
		ln.s.link.wakeWidening()
	case frameRenew:
		if n := payload[0]; n < MaxLanes {
			ln.s.renewAsked.Or(1 << n)
		}
	case frameHeard:
		ln.s.link.told(payload)
	case frameLost:
		ln.s.link.peerLost(payload)
	case frameSecret:
		ln.learn(payload)
	case frameDone:
		return errDone
	case frameRestart:
		ln.restarting = true
		select {
		case ln.s.link.restarts <- ln.s:
		case <-ln.s.done:
		}
	case frameClose:
		return fmt.Errorf("peer closed the tunnel: %s", clean(payload))
	default:
		return protocolError(fmt.Sprintf("frame of type %d in a session", typ))
	}
	return nil
}

// deliver gives a packet to the kernel if it is one.
func (ln *lane) deliver(frame []byte) error {
	l := ln.s.link
	err := tun.Check(frame, l.dev.MTU())
	if err == nil {
		err = l.dev.Write(frame)
	}
	switch {
	case err == nil:
		l.counters.RxPackets.Add(1)
		l.counters.RxBytes.Add(uint64(len(frame) - tun.HeaderLen))
	case errors.Is(err, os.ErrClosed):
		return err
	default:
		l.counters.Drops.Add(1)
	}
	return nil
}

var errReset = errors.New("the peer reset the connection")

// explain words an error of the connection.
func (ln *lane) explain(err error) error {
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the peer hung up")
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return errReset
	case isTimeout(err), errors.Is(err, syscall.ETIMEDOUT):
		return fmt.Errorf("the peer acknowledged nothing for %v", ln.s.link.cfg.DeadAfter)
	}
	return unwrapTLS(err)
}
