package tlslink

import (
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// flooder opens connections from many addresses to a listener for as long as the
// test takes.
type flooder struct {
	opened atomic.Int64
	stop   chan struct{}
	done   sync.WaitGroup
}

const (
	floodRate = 1900 // connections a second, if the machine can
	floodHeld = 700  // at once: more than there are places
)

// newFlood opens connections that send what hello says, and hold still.
func newFlood(t *testing.T, to string, source func(i int) string, hello []byte) *flooder {
	f := &flooder{stop: make(chan struct{})}
	const workers = 8
	for w := range workers {
		f.done.Go(func() {
			var held []net.Conn
			defer func() {
				for _, c := range held {
					c.Close()
				}
			}()
			tick := time.NewTicker(time.Second * workers / floodRate)
			defer tick.Stop()
			for i := w; ; i += workers {
				select {
				case <-f.stop:
					return
				case <-tick.C:
				}
				d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source(i))}, Timeout: time.Second}
				c, err := d.Dial("tcp", to)
				if err != nil {
					continue
				}
				f.opened.Add(1)
				c.(*net.TCPConn).SetLinger(0)
				c.Write(hello)
				held = append(held, c)
				if len(held) > floodHeld/workers {
					held[0].Close()
					held = held[1:]
				}
			}
		})
	}
	t.Cleanup(func() {
		close(f.stop)
		f.done.Wait()
	})
	return f
}

// recordedHello is a client's first message, which costs nothing to send again.
func recordedHello(t *testing.T) []byte {
	t.Helper()
	here, there := net.Pipe()
	defer there.Close()
	go func() {
		cfg := baseConfig()
		cfg.InsecureSkipVerify = true
		tls.Client(here, cfg).Handshake()
	}()
	defer here.Close()
	buf := make([]byte, 16<<10)
	n, err := there.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return buf[:n]
}

// A peer that was never seen here, with an address that no attacker shares and 200 ms away, comes up while strangers take all the
// places that there are.
func TestFloodKeepsNoPeerOut(t *testing.T) {
	hello := recordedHello(t)
	for name, tc := range map[string]struct {
		source func(i int) string
		hello  []byte
	}{
		"40 in a /24, silent":   {func(i int) string { return fmt.Sprintf("127.1.1.%d", 1+i%40) }, nil},
		"40 networks, silent":   {func(i int) string { return fmt.Sprintf("127.%d.1.1", 1+i%40) }, nil},
		"4000 networks, silent": {func(i int) string { return fmt.Sprintf("127.%d.%d.1", 1+i%200, i/200%20) }, nil},
		"4000 networks, hello":  {func(i int) string { return fmt.Sprintf("127.%d.%d.1", 1+i%200, i/200%20) }, hello},
		"the same /24, silent":  {func(i int) string { return fmt.Sprintf("127.0.0.%d", 2+i%40) }, nil},
		"40 networks, hello":    {func(i int) string { return fmt.Sprintf("127.%d.1.1", 1+i%40) }, hello},
		"40 in a /24, hello":    {func(i int) string { return fmt.Sprintf("127.1.1.%d", 1+i%40) }, hello},
	} {
		if tc.hello != nil && raceDetector {
			continue // so many handshakes take all of the processors then; `make test-unit` runs these without it
		}
		t.Run(name, func(t *testing.T) {
			a, b := secretPair(t)
			b.start(secretTrust(0))
			f := newFlood(t, b.addr(), tc.source, tc.hello)
			poll(t, func() bool { return f.opened.Load() > strangerPlaces+perSource }, func() string { return "this is no flood" })
			via := newProxy(t, b.addr())
			via.delay.Store(int64(100 * time.Millisecond))
			before := f.opened.Load()
			a.start(secretTrust(0), via.addr())
			a.waitEvents(1)
			b.waitEvents(1)
			poll(t, func() bool { return f.opened.Load() > before }, func() string { return "the flood has ended" })
			if n := b.endpoint.gate.size(); n > strangerPlaces+knownPlaces {
				t.Fatalf("%d places are taken", n)
			}
		})
	}
}

// A peer that opens connections and says nothing on them holds only a few.
func TestPeerHoldsFewConnections(t *testing.T) {
	a, b := secretPair(t)
	b.start(secretTrust(0))
	keys, err := deriveSecret(secretTrust(0).Secrets[0].Key)
	if err != nil {
		t.Fatal(err)
	}
	var conns []net.Conn
	for range 3 * perLink {
		c := from(t, "127.0.6.1", b.addr())
		tc := tls.Client(c, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{oldProtocol}, ServerName: keys.serverName, Certificates: []tls.Certificate{keys.dialer}})
		if err := tc.Handshake(); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	for _, c := range conns[:2*perLink] {
		if !hungUp(c, patience) {
			t.Fatal("an old one is still there")
		}
	}
	if n := b.endpoint.pending.size(b.link.credentials()[0].ids()[0]); n > perLink {
		t.Fatalf("%d connections of one peer", n)
	}
	a.start(secretTrust(0), b.addr())
	a.waitEvents(1)
}
