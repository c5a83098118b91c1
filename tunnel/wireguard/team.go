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
	work    func() // what the reader does, until another reads or there is nothing to read
	join    func() // what a goroutine is that joins; made once, for it is started often

	reading atomic.Bool
	members atomic.Int32
}

func newTeam(spare *atomic.Int32, running *sync.WaitGroup, work func()) *team {
	t := &team{spare: spare, running: running, work: work}
	t.join = func() {
		defer t.running.Done()
		if t.read() {
			t.work()
		}
		t.leave()
	}
	return t
}

// read makes the caller the reader, unless there is one.
func (t *team) read() bool { return t.reading.CompareAndSwap(false, true) }

// release lets another read.
func (t *team) release() { t.reading.Store(false) }

// start has the first member join.
func (t *team) start() {
	t.members.Store(1)
	t.running.Add(1)
	go t.join()
}

// grow has another one work as the reader, if there are goroutines to spare, and
// nobody has become the reader meanwhile.
func (t *team) grow() {
	if t.spare.Add(-1) < 0 {
		t.spare.Add(1)
		return
	}
	t.members.Add(1)
	t.running.Add(1)
	go t.join()
}

// leave is for who is neither reading nor has anything else to do.
func (t *team) leave() {
	if t.members.Add(-1) > 0 {
		t.spare.Add(1)
	}
}
