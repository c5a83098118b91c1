package auto

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"warren/tunnel/internal/segment"
	"warren/tunnel/tun"
)

// Device is the interface at this end of a tunnel; [tun.Device] is one, and says what the methods do.
type Device interface {
	Name() string
	MTU() int
	Queues() int
	Offload() tun.Offload
	SetOffload(tun.Offload) error
	SetCarrier(up bool) error
	SetMTU(int) error
	Wait(queue int) error
	Interrupt(queue int)
	Readable(queue int) bool
	TryRead(queue int, p []byte) (int, error)
	Write(frame []byte) error
	Close() error
}

// shared is the interface as the two transports share it. Both write to it. It is read by the one whose turn it
// is; the other waits. Packets are not copied for that, and the transport that carries calls the interface as if it were
// its own.
type shared struct {
	dev    Device
	turn   atomic.Pointer[turn]
	queues []queue
	sides  [2]*Side
	limit  atomic.Int32 // how large packets may be by WireGuard

	mu      sync.Mutex // guards what follows
	offload [2]*tun.Offload
	mtu     int // as WireGuard has it
	set     int // the interface's
}

// turn is the time in which one of the transports carries.
type turn struct {
	of   Transport
	over chan struct{} // closed at the end
}

// queue is one of the interface's. reading is held, by a value in the channel, by the transport that reads it or waits
// for packets in it. A mutex would not do: who waits for it must be able to give that up.
type queue struct{ reading chan struct{} }

func newShared(dev Device, first Transport) *shared {
	s := &shared{dev: dev, mtu: dev.MTU(), set: dev.MTU(), queues: make([]queue, dev.Queues())}
	for i := range s.queues {
		s.queues[i].reading = make(chan struct{}, 1)
	}
	s.limit.Store(int32(dev.MTU()))
	s.turn.Store(&turn{first, make(chan struct{})})
	for t := range s.sides {
		s.sides[t] = &Side{shared: s, of: Transport(t), gone: make(chan struct{}), told: make([]bool, dev.Queues())}
	}
	return s
}

// give has another transport carry from now on. It is for one goroutine. The transport that does not carry any more may send what it
// has read already.
func (s *shared) give(to Transport) error {
	before := s.turn.Load()
	if before.of == to {
		return nil
	}
	s.turn.Store(&turn{to, make(chan struct{})})
	close(before.over)
	s.interrupt()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.followMTU()
}

// interrupt has all who wait for packets look at whose turn it is.
func (s *shared) interrupt() {
	for q := range s.queues {
		s.dev.Interrupt(q)
	}
}

// followMTU gives the interface the MTU of the transport that carries: the configured one, or that which
// passes the path of WireGuard's packets. mu is held.
func (s *shared) followMTU() error {
	want := s.dev.MTU()
	if s.turn.Load().of == WireGuard {
		want = s.mtu
	}
	if want == s.set {
		return nil
	}
	err := s.dev.SetMTU(want)
	if err == nil {
		s.set = want
	}
	return err
}

// Side is the interface as one of the transports has it: a device of its own, which is read while the transport
// carries. Like a [tun.Device] it may be used from several goroutines, but each queue must be read by one at a time.
type Side struct {
	*shared
	of Transport

	once   sync.Once
	closed atomic.Bool
	gone   chan struct{} // closed with closed
	told   []bool        // by queue: its reader has seen an empty queue since it is the other's turn
}

// Name returns the interface's name.
func (s *Side) Name() string { return s.dev.Name() }

// MTU returns the MTU that the interface was made with, in bytes.
func (s *Side) MTU() int { return s.dev.MTU() }

// Queues returns how many queues there are to read.
func (s *Side) Queues() int { return len(s.queues) }

// Offload returns what the kernel can leave to a reader.
func (s *Side) Offload() tun.Offload { return s.dev.Offload() }

// SetOffload chooses what the kernel leaves to this transport. The other one gets no more either: it may
// have to take over what waits.
func (s *Side) SetOffload(o tun.Offload) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	own := o
	s.offload[s.of] = &own
	for _, other := range s.offload {
		if other != nil {
			o = o.Intersect(*other)
		}
	}
	return s.dev.SetOffload(o)
}

// SetCarrier does nothing: the events of the transport say as much, and the interface has a carrier while one
// of the two works.
func (s *Side) SetCarrier(bool) error { return nil }

// SetMTU says how large packets may be that go by this transport, in bytes.
func (s *Side) SetMTU(mtu int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mtu = mtu
	return s.followMTU()
}

// SetLimit says how large packets may be that WireGuard carries, in bytes: where its path takes less than IPv6
// demands of an interface that is less than its MTU.
func (s *Side) SetLimit(bytes int) { s.limit.Store(int32(bytes)) }

// Wait blocks until it is this transport's turn and there is something to read in a queue, or the side is
// closed, which is os.ErrClosed. It may return early without cause; it does so once when the turn is over, so
// that the reader sees that there is nothing more, and sends what it holds.
func (s *Side) Wait(queue int) error {
	for !s.closed.Load() {
		t := s.turn.Load()
		if t.of == s.of {
			s.told[queue] = false
			if waited, err := s.waitTurn(queue, t); waited {
				return err
			}
			continue
		}
		if !s.told[queue] {
			s.told[queue] = true
			return nil
		}
		select {
		case <-t.over:
		case <-s.gone:
		}
	}
	return s.errClosed("wait for")
}

// waitTurn waits for packets in this transport's turn. It reports whether it did.
func (s *Side) waitTurn(queue int, t *turn) (waited bool, err error) {
	reading := s.queues[queue].reading
	select {
	case reading <- struct{}{}:
	case <-t.over:
		return false, nil
	case <-s.gone:
		return false, nil
	}
	defer func() { <-reading }()
	// An interruption comes after the turn was changed. So either that is seen here, or the wait is interrupted.
	if s.turn.Load() != t || s.closed.Load() {
		return false, nil
	}
	return true, s.dev.Wait(queue)
}

// Readable reports whether this transport would read something from a queue now.
func (s *Side) Readable(queue int) bool { return s.turn.Load().of == s.of && s.dev.Readable(queue) }

// TryRead reads one frame as [tun.Device.TryRead] does. When it is not this transport's turn, or the other one has not quite
// left the queue, there is nothing to read.
func (s *Side) TryRead(queue int, p []byte) (int, error) {
	if s.closed.Load() {
		return 0, s.errClosed("read from")
	}
	reading := s.queues[queue].reading
	select {
	case reading <- struct{}{}:
	default:
		return 0, tun.ErrEmpty
	}
	if s.turn.Load().of != s.of {
		<-reading
		return 0, tun.ErrEmpty
	}
	n, err := s.dev.TryRead(queue, p)
	<-reading
	if err == nil {
		s.clamp(p[:n])
	}
	return n, err
}

// clamp has TCP connections that begin over TLS offer no larger segments than those that begin over WireGuard, which
// clamps them itself: they may be carried by both.
func (s *Side) clamp(frame []byte) {
	if s.of == TLS {
		segment.ClampFrame(frame, min(s.dev.MTU(), int(s.limit.Load())))
	}
}

// Write gives the kernel one frame, whoever carries: the peer chooses by which transport it sends.
func (s *Side) Write(frame []byte) error {
	s.clamp(frame)
	return s.dev.Write(frame)
}

// Close ends the transport's use of the interface, which stays. Who waits gets os.ErrClosed.
func (s *Side) Close() error {
	s.once.Do(func() {
		s.closed.Store(true)
		close(s.gone)
		s.interrupt()
	})
	return nil
}

func (s *Side) errClosed(what string) error {
	return fmt.Errorf("auto: %s %s: %w", what, s.dev.Name(), os.ErrClosed)
}
