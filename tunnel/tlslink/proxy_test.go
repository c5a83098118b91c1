package tlslink

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// proxy is a path between two ends that a test can break.
type proxy struct {
	l      net.Listener
	frozen atomic.Bool
	refuse atomic.Bool  // new connections
	most   atomic.Int64 // connections that it takes; 0: any number
	rate   atomic.Int64 // bytes per second; 0: as fast as it goes
	delay  atomic.Int64 // nanoseconds that bytes take each way; set before any come

	mu    sync.Mutex
	conns []net.Conn
}

func newProxy(t *testing.T, to string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{l: l}
	t.Cleanup(func() {
		l.Close()
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, c := range p.conns {
			c.Close()
		}
	})
	go func() {
		for taken := int64(0); ; {
			in, err := l.Accept()
			if err != nil {
				return
			}
			if most := p.most.Load(); p.refuse.Load() || most > 0 && taken >= most {
				in.Close()
				continue
			}
			taken++
			p.mu.Lock()
			p.conns = append(p.conns, in)
			p.mu.Unlock()
			out, err := net.Dial("tcp", to)
			if err != nil {
				in.Close()
				continue
			}
			for _, c := range []net.Conn{in, out} { // the path takes little at a time, whatever net.ipv4.tcp_rmem is
				_ = c.(*net.TCPConn).SetReadBuffer(64 << 10)
			}
			p.mu.Lock()
			p.conns = append(p.conns, out)
			p.mu.Unlock()
			if d := time.Duration(p.delay.Load()); d > 0 {
				go p.late(in, out, d)
				go p.late(out, in, d)
				continue
			}
			go p.copy(in, out)
			go p.copy(out, in)
		}
	}()
	return p
}

func (p *proxy) addr() string { return p.l.Addr().String() }

// freeze makes the path silent: nothing passes, and nobody is told. New connections
// are refused.
func (p *proxy) freeze() {
	p.frozen.Store(true)
	p.l.Close()
}

func (p *proxy) throttle(bytesPerSecond int64) { p.rate.Store(bytesPerSecond) }

func (p *proxy) copy(from, to net.Conn) {
	buf := make([]byte, 4<<10)
	for {
		n, err := from.Read(buf)
		if p.frozen.Load() {
			return
		}
		if r := p.rate.Load(); r > 0 {
			time.Sleep(time.Duration(n) * time.Second / time.Duration(r))
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				from.Close()
				return
			}
		}
		if err != nil {
			to.Close()
			return
		}
	}
}

// late copies what comes a while after it came.
func (p *proxy) late(from, to net.Conn, delay time.Duration) {
	type piece struct {
		due time.Time
		b   []byte // nil: the end
	}
	way := make(chan piece, 1024)
	go func() {
		defer close(way)
		for {
			buf := make([]byte, 16<<10)
			n, err := from.Read(buf)
			if n > 0 {
				way <- piece{time.Now().Add(delay), buf[:n]}
			}
			if err != nil {
				way <- piece{due: time.Now().Add(delay)}
				return
			}
		}
	}()
	defer to.Close()
	for piece := range way {
		time.Sleep(time.Until(piece.due))
		if piece.b != nil {
			_, _ = to.Write(piece.b) // an error comes back from the other way's read
		}
	}
}
