package flow

import (
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"warren/tunnel/internal/sysio"
)

// progress is how far the reader of a socket is. The reader writes it, before each attempt to
// receive. By then what the attempts before have received is opened, or has a number in the
// reorder buffer.
type progress struct {
	attempts atomic.Uint64 // that have begun
	empty    atomic.Uint64 // the latest of them that left the socket empty
	memory   atomic.Uint64 // of the kernel, in bytes, that the attempts before have freed at least
	closed   atomic.Bool   // nothing is read any more
}

// leastMemory is less than what the kernel needs for a datagram besides its bytes (SKB_TRUESIZE in
// include/linux/skbuff.h has two structures of together more than 500).
const leastMemory = 256

// Backlog is what waited in the sockets of a flow at one moment. It is not safe for concurrent
// use.
type Backlog struct{ waits []*wait }

// Backlog returns what waits now. A peer must not be taken for silent before that has passed: a
// busy process reads late.
func (f *Flow) Backlog() *Backlog {
	f.mu.Lock()
	defer f.mu.Unlock()
	b := new(Backlog)
	for r := range f.inbounds {
		b.waits = append(b.waits, newWait(r))
	}
	return b
}

// Passed reports whether all of it has been read and opened, so that [protocol.Peer.Status] knows
// of it. It does not wait.
func (b *Backlog) Passed() bool {
	for len(b.waits) > 0 {
		if !b.waits[0].passed() {
			return false
		}
		b.waits = b.waits[1:]
	}
	return true
}

// backlogged is a socket and its reader.
type backlogged interface {
	progress() *progress
	waiting() bool                 // something is in the socket
	queued() uint64                // memory of what is, in bytes; may be more
	numbers() (first, next uint64) // of the reorder buffer
}

// wait is what waited in one socket.
type wait struct {
	r        backlogged
	attempts uint64 // begun by then
	queued   uint64 // memory of what waited, in bytes

	counting bool   // attempts since are counted
	base     uint64 // of the memory freed by those before
	read     bool   // all of it was read; what is left is opening
	number   uint64 // all batches before this one have to be handed on
}

func newWait(r backlogged) *wait {
	p := r.progress()
	w := &wait{r: r, attempts: p.attempts.Load()}
	if w.rests() {
		w.setRead()
	} else {
		w.queued = r.queued()
	}
	return w
}

// rests reports whether the reader waits in the attempt that w began in, and the socket is empty.
// Whatever was received by an attempt that found the socket empty is opened or has a number once
// the next attempt begins, and if there was anything it does so at once.
func (w *wait) rests() bool {
	p := w.r.progress()
	return p.empty.Load() == w.attempts && !w.r.waiting() && p.attempts.Load() == w.attempts
}

func (w *wait) setRead() {
	w.read = true
	_, w.number = w.r.numbers()
}

func (w *wait) passed() bool {
	if !w.read && !w.wasRead() {
		return false
	}
	if !w.read {
		w.setRead()
	}
	first, _ := w.r.numbers()
	return first >= w.number
}

// wasRead reports whether the reader is past what waited. In a flood the socket is never empty:
// then as much must have been read as there was.
func (w *wait) wasRead() bool {
	p := w.r.progress()
	if p.closed.Load() || p.empty.Load() > w.attempts {
		return true
	}
	if p.attempts.Load() == w.attempts {
		return w.rests() // else the attempt may have received some of it
	}
	memory := p.memory.Load()
	if !w.counting {
		w.counting, w.base = true, memory
	}
	return memory-w.base >= w.queued
}

func (r *inbound) progress() *progress { return &r.done }

func (r *inbound) numbers() (first, next uint64) { return r.stage.reorder.numbers() }

// waiting asks for more than data: an empty datagram may be before others.
func (r *inbound) waiting() (is bool) {
	err := r.s.raw.Control(func(fd uintptr) { is = sysio.Readable(int(fd)) })
	return err == nil && is
}

// queued is what the socket's memory says (SO_MEMINFO, include/uapi/linux/sock_diag.h), or where
// the kernel has not that what there is room for.
func (r *inbound) queued() (n uint64) {
	_ = r.s.raw.Control(func(fd uintptr) { // an error is that it is closed
		var info [unix.SK_MEMINFO_VARS]uint32
		size := uint32(unsafe.Sizeof(info))
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_MEMINFO,
			uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
		if errno == 0 {
			n = uint64(info[unix.SK_MEMINFO_RMEM_ALLOC])
			return
		}
		room, _ := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF)
		n = uint64(room)
	})
	return n
}
