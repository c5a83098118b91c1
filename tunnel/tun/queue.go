package tun

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"warren/tunnel/internal/sysio"
)

// queue is one reading end of an interface. The two closures are made once,
// so that waiting and reading allocate nothing; the fields they share belong to
// the one goroutine that reads the queue.
type queue struct {
	file *os.File // in the runtime's poller
	raw  syscall.RawConn
	vnet bool

	poll   func(fd uintptr) bool
	polled bool
	read   func(fd uintptr) bool
	buf    []byte
	n      int
	err    error
	pace   sysio.Pace

	state *sysio.State // for who does not read
	run   int          // bytes that were read since it was empty
}

// newQueue takes over fd, also if it fails.
func newQueue(fd int, name string, vnet bool) (*queue, error) {
	file := os.NewFile(uintptr(fd), "tun "+name)
	raw, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("raw queue: %w", err)
	}
	q := &queue{file: file, raw: raw, vnet: vnet, state: sysio.NewState(raw, sysio.Readable)}
	q.poll = q.pollOnce
	q.read = q.readOnce
	return q, nil
}

// pollOnce asks the kernel the first time it is called and then trusts the
// poller. It must ask: the poller is edge-triggered and forgets what it reported
// before the wait began.
func (q *queue) pollOnce(fd uintptr) bool {
	if q.polled {
		return true
	}
	q.polled = true
	return sysio.Readable(int(fd))
}

func (q *queue) readOnce(fd uintptr) bool {
	q.n, q.err = q.pace.Read(int(fd), q.buf)
	return true
}

// Wait blocks until there is something to read in a queue, 0 to Queues-1, or the
// device is closed, which is os.ErrClosed. It may return early without cause.
func (d *Device) Wait(queue int) error {
	q := d.queues[queue]
	q.polled = false
	if err := q.raw.Read(q.poll); err != nil && !q.interrupted(err) {
		return d.readError(err)
	}
	return nil
}

// Interrupt has a Wait for a queue, 0 to Queues-1, that is under way return, or else the next one.
// It may be called from any goroutine.
func (d *Device) Interrupt(queue int) {
	// A deadline that has passed ends a wait, and stays until the waiter takes it back.
	_ = d.queues[queue].file.SetReadDeadline(time.Unix(1, 0))
}

// interrupted takes an interruption back, and reports whether err is one.
func (q *queue) interrupted(err error) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	_ = q.file.SetReadDeadline(time.Time{})
	return true
}

// Readable reports whether a read of a queue, 0 to Queues-1, would return something, be it
// an error. It never blocks. It is for one goroutine at a time, beside the one that reads.
func (d *Device) Readable(queue int) bool { return d.queues[queue].state.Readable() }

// TryRead reads one frame from a queue into p, which must have room for
// [MaxFrame] bytes, and returns its length; without a frame to read, [ErrEmpty].
// What [Config.Refuse] refuses is passed by. It never blocks.
func (d *Device) TryRead(queue int, p []byte) (int, error) {
	for {
		n, err := d.tryRead(d.queues[queue], p)
		if err != nil || d.refuse == nil || n <= HeaderLen || !d.refuse(p[HeaderLen:n]) {
			return n, err
		}
	}
}

func (d *Device) tryRead(q *queue, p []byte) (int, error) {
	q.buf = p
	if !q.vnet {
		clear(p[:HeaderLen])
		q.buf = p[HeaderLen:]
	}
	err := q.raw.Read(q.read)
	for q.interrupted(err) {
		err = q.raw.Read(q.read)
	}
	q.buf = nil
	if err != nil {
		return 0, d.readError(err)
	}
	if q.err != nil {
		if errors.Is(q.err, unix.EAGAIN) {
			q.run = 0
			return 0, ErrEmpty
		}
		return 0, d.readError(q.err)
	}
	d.readSome(q)
	if !q.vnet {
		return q.n + HeaderLen, nil
	}
	return q.n, nil
}

func (d *Device) readError(err error) error {
	if d.isClosed() { // the poller's own error for that is private to it
		return fmt.Errorf("tun: read from %s: %w", d.name, os.ErrClosed)
	}
	// EBADFD comes from a read, and an error of the poller's own from a wait.
	if errors.Is(err, unix.EBADFD) || strings.Contains(err.Error(), "not pollable") {
		return fmt.Errorf("tun: read from %s: the interface is gone: %w", d.name, err)
	}
	return fmt.Errorf("tun: read from %s: %w", d.name, err)
}
