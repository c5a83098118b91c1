package tlslink

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"warren/tunnel/internal/sysio"
)

// maxCorked is how much ciphertext is collected for one system call.
const maxCorked = 128 << 10

// wire is the connection below TLS. It collects the records of one send, which
// crypto/tls writes one at a time, and notes when something arrives. crypto/tls
// reads from one goroutine at a time.
type wire struct {
	net.Conn
	raw    syscall.RawConn       // nil: use Conn
	heard  atomic.Pointer[heard] // where to note it; nil before the session
	lesser atomic.Pointer[error] // of noteCongestion
	clamp  int                   // size of segments that it was dialed with; 0: the kernel chose

	blocked func()                // is called when a send has to wait for the kernel; nil, or set before the first
	hasRoom func(fd uintptr) bool // for waitRoom

	// Of the goroutine of Link.Run.
	unsent atomic.Int32 // the bound of what waits unsent, in bytes; for any goroutine
	rate   uint64       // that it delivers with, in bytes a second, as of the last look back; 0: not known

	proof    proof  // set when the handshake is done
	record   bool   // during the handshake: keep what is read first
	recorded []byte // up to maxRecordedHello

	arrived recordCount // of the goroutine that reads, but for the number

	in struct { // one read
		call func(fd uintptr) bool
		p    []byte
		n    int
		err  error
		pace sysio.Pace
	}

	way struct { // the following of it
		mu     sync.Mutex
		stop   func() // nil: it has not begun
		closed bool
	}

	mu     sync.Mutex // crypto/tls may write an alert while a send is collected
	corked bool
	buf    *[]byte
	out    struct { // one write, with mu held
		call func(fd uintptr) bool
		p    []byte
		err  error
	}
}

var corkBuffers = sync.Pool{New: func() any {
	b := make([]byte, 0, maxCorked+32<<10)
	return &b
}}

func newWire(c net.Conn) *wire {
	w := &wire{Conn: c}
	if sc, ok := c.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			w.raw = raw
		}
	}
	w.in.call, w.out.call, w.hasRoom = w.readOnce, w.writeOnce, w.roomOnce
	return w
}

func (w *wire) remote() netip.AddrPort { return addrPort(w.RemoteAddr()) }

// Close implements net.Conn.
func (w *wire) Close() error {
	w.way.mu.Lock()
	stop := w.way.stop
	w.way.stop, w.way.closed = nil, true
	w.way.mu.Unlock()
	if stop != nil {
		stop()
	}
	return w.Conn.Close()
}

// followed has stop be called when the connection is closed.
func (w *wire) followed(stop func()) {
	w.way.mu.Lock()
	closed := w.way.closed
	if !closed {
		w.way.stop = stop
	}
	w.way.mu.Unlock()
	if closed {
		stop()
	}
}

// Read implements net.Conn.
func (w *wire) Read(p []byte) (int, error) {
	n, err := w.read(p)
	if n > 0 {
		w.arrived.note(p[:n])
		if heard := w.heard.Load(); heard != nil {
			heard.note()
		}
		if w.record {
			w.recorded = append(w.recorded, p[:min(n, maxRecordedHello-len(w.recorded))]...)
		}
	}
	return n, err
}

func (w *wire) read(p []byte) (int, error) {
	if w.raw == nil || len(p) == 0 {
		return w.Conn.Read(p)
	}
	w.in.p = p
	err := w.raw.Read(w.in.call)
	w.in.p = nil
	switch {
	case err != nil:
		return 0, err
	case w.in.err != nil:
		return 0, &net.OpError{Op: "read", Net: "tcp", Err: w.in.err}
	case w.in.n == 0:
		return 0, io.EOF
	}
	return w.in.n, nil
}

// readOnce is false if the poller is to wait.
func (w *wire) readOnce(fd uintptr) bool {
	w.in.n, w.in.err = w.in.pace.Read(int(fd), w.in.p)
	return !errors.Is(w.in.err, unix.EAGAIN)
}

// Write implements net.Conn. Between cork and flush it only collects.
func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.corked {
		return w.writeLocked(p)
	}
	if w.buf == nil {
		w.buf = corkBuffers.Get().(*[]byte)
	}
	*w.buf = append(*w.buf, p...)
	if len(*w.buf) >= maxCorked {
		if err := w.sendLocked(); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

func (w *wire) writeLocked(p []byte) (int, error) {
	if w.raw == nil {
		return w.Conn.Write(p)
	}
	w.out.p = p
	err := w.raw.Write(w.out.call)
	n := len(p) - len(w.out.p)
	w.out.p = nil
	if err == nil && w.out.err != nil {
		err = &net.OpError{Op: "write", Net: "tcp", Err: w.out.err}
	}
	return n, err
}

// writeOnce writes all, and is false if the poller is to wait before the rest.
func (w *wire) writeOnce(fd uintptr) bool {
	w.out.err = nil
	for len(w.out.p) > 0 {
		n, err := sysio.Write(int(fd), w.out.p)
		if errors.Is(err, unix.EAGAIN) {
			w.waits()
			return false
		}
		if err != nil {
			w.out.err = err
			return true
		}
		w.out.p = w.out.p[n:]
	}
	return true
}

// waitRoom waits until the kernel has less unsent than it may have: half of the bound (unsent.go).
func (w *wire) waitRoom() error {
	if w.raw == nil {
		return nil
	}
	return w.raw.Write(w.hasRoom)
}

// roomOnce is false if the poller is to wait.
func (w *wire) roomOnce(fd uintptr) bool {
	if sysio.Writable(int(fd)) {
		return true
	}
	w.waits()
	return false
}

func (w *wire) waits() {
	if w.blocked != nil {
		w.blocked()
	}
}

func (w *wire) cork() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.corked = true
}

// flush ends the collecting and sends what was collected.
func (w *wire) flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.corked = false
	return w.sendLocked()
}

func (w *wire) sendLocked() error {
	if w.buf == nil {
		return nil
	}
	_, err := w.writeLocked(*w.buf)
	*w.buf = (*w.buf)[:0]
	corkBuffers.Put(w.buf)
	w.buf = nil
	return err
}

// natIdle is how long a connection is silent before TCP probes it.
const natIdle = 15 * time.Second

// established makes the connection a session's: no deadline, and options that fit
// long-lived bulk traffic. giveUp is when TCP gives up on data that nobody
// acknowledges; 0 leaves that to others.
func (w *wire) established(heard *heard, giveUp time.Duration) {
	w.heard.Store(heard)
	w.arrived.n.Store(0) // those of the handshake have other keys
	w.SetDeadline(time.Time{})
	tcp, ok := w.Conn.(*net.TCPConn)
	if !ok {
		return
	}
	// Each of these is a refinement: without it the tunnel works all the same. An
	// error that matters comes back from the next read.
	_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: natIdle, Interval: natIdle})
	w.giveUpAfter(giveUp)
}

// giveUpAfter sets when TCP gives up on data that nobody acknowledges; 0: after some
// minutes.
func (w *wire) giveUpAfter(d time.Duration) {
	w.setOption(unix.TCP_USER_TIMEOUT, int(d.Milliseconds()))
}

func (w *wire) setOption(option, value int) {
	if w.raw != nil {
		_ = w.raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, option, value) })
	}
}
