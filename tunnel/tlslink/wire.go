package tlslink

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// maxCorked is how much ciphertext is collected for one system call.
const maxCorked = 128 << 10

// wire is the connection below TLS. It collects the records of one send, which
// crypto/tls writes one at a time, and notes when something arrives.
type wire struct {
	net.Conn
	heard atomic.Pointer[atomic.Int64] // where to note it; nil before the session

	mu     sync.Mutex // crypto/tls may write an alert while a send is collected
	corked bool
	buf    *[]byte
}

var corkBuffers = sync.Pool{New: func() any {
	b := make([]byte, 0, maxCorked+32<<10)
	return &b
}}

func newWire(c net.Conn) *wire { return &wire{Conn: c} }

func (w *wire) remote() netip.AddrPort { return addrPort(w.RemoteAddr()) }

// Read implements net.Conn.
func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if n > 0 {
		if heard := w.heard.Load(); heard != nil {
			heard.Store(int64(monotonic()))
		}
	}
	return n, err
}

// Write implements net.Conn. Between cork and flush it only collects.
func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.corked {
		return w.Conn.Write(p)
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
	_, err := w.Conn.Write(*w.buf)
	*w.buf = (*w.buf)[:0]
	corkBuffers.Put(w.buf)
	w.buf = nil
	return err
}

// notSentLowat bounds what waits in the socket unsent. What doesn't fit waits in
// the device's queue, where the flows inside the tunnel notice.
const notSentLowat = 256 << 10

// natIdle is how long a connection is silent before TCP probes it.
const natIdle = 15 * time.Second

// established makes the connection a session's: no deadline, and options that fit
// long-lived bulk traffic. giveUp is when TCP gives up on data that nobody
// acknowledges; 0 leaves that to others.
func (w *wire) established(heard *atomic.Int64, giveUp time.Duration) {
	w.heard.Store(heard)
	w.SetDeadline(time.Time{})
	tcp, ok := w.Conn.(*net.TCPConn)
	if !ok {
		return
	}
	// Each of these is a refinement: without it the tunnel works all the same. An
	// error that matters comes back from the next read.
	tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: natIdle, Interval: natIdle})
	raw, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) {
		unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, notSentLowat)
		unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(giveUp.Milliseconds()))
	})
}
