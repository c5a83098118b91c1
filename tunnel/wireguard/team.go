package wireguard

import (
	"sync"
	"sync/atomic"
)

// team is the goroutines at one source of packets, which is a socket or a queue of an
// interface. One of them is the reader and takes packets from it. Before it does what
// takes long it lets go of that, so that another can read on meanwhile; when it is done
// it reads again, or leaves if somebody else does.
//
// A team is of one while little goes on. Others join it while packets are waiting.
type team struct {
	spare   *atomic.Int32 // goroutines that may still join a team of the endpoint
	running *sync.WaitGroup

	reading atomic.Bool
	members atomic.Int32
}

func newTeam(spare *atomic.Int32, running *sync.WaitGroup) *team {
	return &team{spare: spare, running: running}
}

// read makes the caller the reader, unless there is one.
func (t *team) read() bool { return t.reading.CompareAndSwap(false, true) }

// release lets another read.
func (t *team) release() { t.reading.Store(false) }

// start has the first member work, as the reader, until work returns.
func (t *team) start(work func()) {
	t.members.Store(1)
	t.reading.Store(true)
	t.running.Go(func() {
		work()
		t.leave()
	})
}

// grow has another one work as the reader, if there are goroutines to spare, and
// nobody has become the reader meanwhile.
func (t *team) grow(work func()) {
	if t.spare.Add(-1) < 0 {
		t.spare.Add(1)
		return
	}
	t.members.Add(1)
	t.running.Go(func() {
		if t.read() {
			work()
		}
		t.leave()
	})
}

// leave is for who is neither reading nor has anything else to do.
func (t *team) leave() {
	if t.members.Add(-1) > 0 {
		t.spare.Add(1)
	}
}
