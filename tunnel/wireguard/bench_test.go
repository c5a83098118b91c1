package wireguard

import (
	"os"
	"sync/atomic"
	"testing"

	"warren/tunnel"
	"warren/tunnel/tun"
	"warren/tunnel/wireguard/flow/flowtest"
	"warren/tunnel/wireguard/protocol"
)

// benchDevice gives one frame again and again, and counts what is written.
type benchDevice struct {
	*flowtest.Device
	frame   []byte
	left    atomic.Int64 // frames that can be read
	wake    chan struct{}
	closed  chan struct{}
	got     atomic.Int64 // payload, in bytes
	arrived chan struct{}
}

func newBenchDevice(name string, frame []byte) *benchDevice {
	return &benchDevice{
		Device: flowtest.NewDevice(name), frame: frame,
		wake: make(chan struct{}, 1), closed: make(chan struct{}), arrived: make(chan struct{}, 1),
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (d *benchDevice) give(n int) {
	d.left.Add(int64(n))
	signal(d.wake)
}

func (d *benchDevice) Wait(int) error {
	for d.left.Load() <= 0 {
		select {
		case <-d.wake:
		case <-d.closed:
			return os.ErrClosed
		}
	}
	return nil
}

func (d *benchDevice) Readable(int) bool { return d.left.Load() > 0 }

func (d *benchDevice) TryRead(_ int, p []byte) (int, error) {
	if d.left.Add(-1) < 0 {
		d.left.Add(1)
		return 0, tun.ErrEmpty
	}
	return copy(p, d.frame), nil
}

func (d *benchDevice) Write(frame []byte) error {
	d.got.Add(int64(len(frame) - tun.HeaderLen - 40))
	signal(d.arrived)
	return nil
}

func (d *benchDevice) Close() error {
	close(d.closed)
	return nil
}

// BenchmarkFlow moves frames from one link to another over loopback, some of them under way at
// a time: small packets one by one, small packets in bulk, and the large frames of a TCP flow.
func BenchmarkFlow(b *testing.B) {
	for _, c := range []struct {
		name     string
		frame    []byte
		inFlight int
	}{
		{"small", frame(100, 1), 1}, {"bulk", frame(1400, 1), 64}, {"large", flowtest.TCP(0, 47*1360), 3},
	} {
		b.Run(c.name, func(b *testing.B) {
			from, to := newBenchDevice("a", c.frame), newBenchDevice("b", c.frame)
			runBenchPair(b, from, to)
			size := int64(len(c.frame) - tun.HeaderLen - 40)
			b.SetBytes(size)
			b.ReportAllocs()
			b.ResetTimer()
			for sent := 0; to.got.Load() < int64(b.N)*size; {
				if n := min(b.N, int(to.got.Load()/size)+c.inFlight) - sent; n > 0 {
					from.give(n)
					sent += n
				}
				<-to.arrived
			}
		})
	}
}

// runBenchPair runs two links until the benchmark ends. Nothing is sent without packets.
func runBenchPair(b *testing.B, devA, devB Device) {
	b.Helper()
	keyA, keyB := protocol.NewPrivateKey(), protocol.NewPrivateKey()
	up := make(chan tunnel.Event, 16)
	events := func(ev tunnel.Event) { up <- ev }
	far := startEndpoint(b, Config{PrivateKey: keyB})
	near := startEndpoint(b, Config{PrivateKey: keyA})
	for _, way := range []struct {
		n *node
		c LinkConfig
	}{
		{far, LinkConfig{Name: "a", PublicKey: keyA.Public(), Device: devB, Events: events}},
		{near, LinkConfig{Name: "b", PublicKey: keyB.Public(), Device: devA, Events: events, Remotes: []string{far.addr("127.0.0.1")}}},
	} {
		l, err := way.n.e.AddLink(way.c)
		if err != nil {
			b.Fatal(err)
		}
		way.n.run(l.Run)
	}
	<-up
	<-up
}
