package flow

import (
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"warren/tunnel/internal/sysio"
	"warren/tunnel/wireguard/flow/flowtest"
	"warren/tunnel/wireguard/protocol"
)

// fakeReader is a socket and its reader, of which a test plays each step.
type fakeReader struct {
	p           progress
	queue       []int // numbers of the datagrams in the socket, of 100 bytes each
	batch       []int // received by the attempt that is under way
	emptied     bool
	under       bool // an attempt is under way
	freed       uint64
	first, next uint64
	opening     map[uint64][]int // batches that have a number
	opened      map[int]bool
}

func (f *fakeReader) progress() *progress           { return &f.p }
func (f *fakeReader) waiting() bool                 { return len(f.queue) > 0 }
func (f *fakeReader) queued() uint64                { return uint64(len(f.queue)) * 700 }
func (f *fakeReader) numbers() (first, next uint64) { return f.first, f.next }

// begin begins an attempt, which first is done with the one before.
func (f *fakeReader) begin() {
	if len(f.batch) > 0 {
		f.opening[f.next] = f.batch
		f.next++
		f.batch = nil
	}
	f.p.memory.Store(f.freed)
	if f.emptied {
		f.p.empty.Store(f.p.attempts.Load())
	}
	f.p.attempts.Add(1)
	f.emptied, f.under = false, true
}

// receive is one step of the attempt.
func (f *fakeReader) receive() {
	switch {
	case !f.under:
		f.begin()
	case len(f.queue) == 0:
		f.emptied, f.under = true, false
		if len(f.batch) == 0 {
			f.p.empty.Store(f.p.attempts.Load())
		}
	default:
		f.batch = append(f.batch, f.queue[0])
		f.queue = f.queue[1:]
		f.freed += 100 + leastMemory
		f.under = len(f.batch) < 3
	}
}

// open is a worker's step.
func (f *fakeReader) open() {
	if b, ok := f.opening[f.first]; ok {
		for _, n := range b {
			f.opened[n] = true
		}
		f.first++
	}
}

// Whatever the reader is at, and whether the socket ever gets empty or not: a backlog has passed
// only when all that waited is opened, and it does pass.
func TestBacklogAtRandom(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for round := range 2000 {
		f := &fakeReader{opening: make(map[uint64][]int), opened: make(map[int]bool)}
		sent := 0
		step := func(flood int) {
			switch n := r.IntN(10); {
			case n < flood:
				f.queue = append(f.queue, sent)
				sent++
			case n < 8:
				f.receive()
			default:
				f.open()
			}
		}
		for range r.IntN(100) {
			step(6)
		}
		waited := sent // numbers below it are in the socket, or were received before
		w := newWait(f)
		flood := 3 * r.IntN(2)
		for steps := 0; !w.passed(); steps++ {
			if steps > 20_000 {
				t.Fatalf("round %d: never passes: %+v", round, w)
			}
			step(flood)
		}
		for n := range waited {
			if !f.opened[n] {
				t.Fatalf("round %d: passed, and datagram %d of %d is not opened", round, n, waited)
			}
		}
	}
}

// A reader that was about to say that its socket is empty says nothing more when nothing more
// comes: the backlog passes all the same.
func TestBacklogOfAReaderThatRests(t *testing.T) {
	f := &fakeReader{opening: make(map[uint64][]int), opened: make(map[int]bool)}
	f.begin()
	w := newWait(f)
	if w.passed() {
		t.Error("passed while an attempt may have received something")
	}
	f.receive() // nothing
	if !w.passed() {
		t.Error("does not pass once the reader rests")
	}
}

// What waits in a socket whose reader is held up is in the backlog until it is opened.
func TestBacklogOfSockets(t *testing.T) {
	a, b := newRunningPair(t)
	spoke := func() time.Time { return a.tunnel.Peer.Status(time.Now()).Spoke }
	waits := func() (is bool) {
		_ = a.socket.raw.Control(func(fd uintptr) { is = sysio.Readable(int(fd)) })
		return is
	}
	passes := func(w *Backlog) {
		t.Helper()
		for deadline := time.Now().Add(patience); !w.Passed(); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("it never passes")
			}
		}
	}
	for range 20 {
		passes(a.f.Backlog())
		before := spoke()
		resume := a.dev.HoldWrites()
		b.dev.Frames <- flowtest.UDP(100, 1) // whose writing is held up
		for deadline := time.Now().Add(patience); !spoke().After(before); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("nothing is opened")
			}
		}
		opened := spoke()
		b.dev.Frames <- flowtest.UDP(100, 2)
		for deadline := time.Now().Add(patience); !waits(); time.Sleep(time.Millisecond) { // it is counted before it is sent
			if time.Now().After(deadline) {
				t.Fatal("nothing is sent")
			}
		}
		w := a.f.Backlog()
		if w.Passed() || spoke() != opened {
			t.Fatal("passed although the reader is held up")
		}
		resume()
		passes(w)
		if !spoke().After(opened) {
			t.Fatal("passed, and what waited is not opened")
		}
	}
}

// In a flood of strangers' datagrams, by which a socket is never empty, a backlog passes.
func TestBacklogPassesInAFlood(t *testing.T) {
	a, _ := newRunningPair(t)
	from := listen(t)
	var to = a.socket
	var end atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		for !end.Load() {
			from.Send(Single(make([]byte, protocol.Overhead)), addrOf(to), addrOf(from).Addr())
		}
	}()
	defer func() { end.Store(true); <-done }()
	for range 50 {
		w := a.f.Backlog()
		for deadline := time.Now().Add(patience); !w.Passed(); time.Sleep(100 * time.Microsecond) {
			if time.Now().After(deadline) {
				t.Fatal("it never passes")
			}
		}
	}
	a.socket.Close()
	w := a.f.Backlog()
	for deadline := time.Now().Add(patience); !w.Passed(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it never passes once the socket is closed")
		}
	}
}

// What is heard is dated when it is read from the socket, however long opening takes.
func TestHeardWhenRead(t *testing.T) {
	near, far := newPair(t, nearAddr, farAddr)
	r := newInbound(near.f, nil, nil)
	now := time.Now().Add(time.Second)
	a := newInboundBatch()
	n := copy(a.buf[:], far.seal(flowtest.UDP(100, 1), mtu))
	a.add(datagrams{n: n, size: n, from: farAddr})
	a.at = now
	r.open(a)
	if got := near.tunnel.Peer.Status(now).Spoke; !got.Equal(now) {
		t.Errorf("heard %v after it was read", got.Sub(now))
	}
}
