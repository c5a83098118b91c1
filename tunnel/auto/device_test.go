package auto

import (
	"encoding/binary"
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"warren/tunnel/tun"
)

const patience = 40 * time.Second // of tests, for what should take milliseconds

// fakeDevice is an interface without a kernel, with several queues. Like the real one it must not be read by two
// goroutines at once, which it makes sure of.
type fakeDevice struct {
	queues []fakeQueue
	closed chan struct{}

	mu      sync.Mutex
	carrier []bool
	mtus    []int
	offload tun.Offload
	written [][]byte
}

type fakeQueue struct {
	frames      chan []byte
	interrupted chan struct{} // capacity 1
	reader      sync.Mutex
	peeked      []byte
}

func newFakeDevice(queues int) *fakeDevice {
	d := &fakeDevice{queues: make([]fakeQueue, queues), closed: make(chan struct{})}
	for i := range d.queues {
		d.queues[i].frames, d.queues[i].interrupted = make(chan []byte, 64), make(chan struct{}, 1)
	}
	return d
}

func (d *fakeDevice) Name() string         { return "fake0" }
func (d *fakeDevice) MTU() int             { return 1420 }
func (d *fakeDevice) Queues() int          { return len(d.queues) }
func (d *fakeDevice) Offload() tun.Offload { return tun.Checksum | tun.TSO4 | tun.TSO6 }

func (d *fakeDevice) set(f func()) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
	return nil
}

func (d *fakeDevice) SetOffload(o tun.Offload) error { return d.set(func() { d.offload = o }) }
func (d *fakeDevice) SetCarrier(up bool) error {
	return d.set(func() { d.carrier = append(d.carrier, up) })
}
func (d *fakeDevice) SetMTU(mtu int) error { return d.set(func() { d.mtus = append(d.mtus, mtu) }) }
func (d *fakeDevice) Write(f []byte) error { return d.set(func() { d.written = append(d.written, f) }) }
func (d *fakeDevice) Close() error         { close(d.closed); return nil }

func (d *fakeDevice) Interrupt(queue int) {
	select {
	case d.queues[queue].interrupted <- struct{}{}:
	default:
	}
}

// alone makes sure that nobody else reads the queue.
func (d *fakeDevice) alone(queue int) (q *fakeQueue, done func()) {
	q = &d.queues[queue]
	if !q.reader.TryLock() {
		panic("two read one queue at once")
	}
	return q, q.reader.Unlock
}

func (d *fakeDevice) Wait(queue int) error {
	q, done := d.alone(queue)
	defer done()
	if q.peeked != nil {
		return nil
	}
	select {
	case q.peeked = <-q.frames:
		return nil
	case <-q.interrupted:
		return nil
	case <-d.closed:
		return os.ErrClosed
	}
}

func (d *fakeDevice) Readable(queue int) bool { return len(d.queues[queue].frames) > 0 }

func (d *fakeDevice) TryRead(queue int, p []byte) (int, error) {
	q, done := d.alone(queue)
	defer done()
	f := q.peeked
	q.peeked = nil
	if f == nil {
		select {
		case f = <-q.frames:
		default:
			return 0, tun.ErrEmpty
		}
	}
	return copy(p, f), nil
}

// frame is one that has a number.
func frame(n uint32) []byte {
	return binary.BigEndian.AppendUint32(make([]byte, tun.HeaderLen), n)
}

// read reads a queue as a transport does, until the side is closed, and tells of each frame.
func read(t *testing.T, s *Side, queue int, got func(Transport, uint32)) {
	for p := make([]byte, 100); ; {
		if err := s.Wait(queue); err != nil {
			if !errors.Is(err, os.ErrClosed) {
				t.Error(err)
			}
			return
		}
		for {
			n, err := s.TryRead(queue, p)
			if err != nil {
				if !errors.Is(err, tun.ErrEmpty) && !errors.Is(err, os.ErrClosed) {
					t.Error(err)
				}
				break
			}
			got(s.of, binary.BigEndian.Uint32(p[tun.HeaderLen:n]))
		}
	}
}

// While the turn changes all the time, each frame is read once, and nobody is left waiting. Frames come until both have read some: who
// changes the turn may stand still for as long as one of them takes for thousands.
func TestTurnsLoseNothing(t *testing.T) {
	const queues, least = 3, 20000
	dev := newFakeDevice(queues)
	s := newShared(dev, WireGuard)
	var mu sync.Mutex
	seen, by := map[uint32]int{}, [2]int{}
	readSoFar := func() (frames int, both bool) {
		mu.Lock()
		defer mu.Unlock()
		return len(seen), by[TLS] > 0 && by[WireGuard] > 0
	}
	done := make(chan struct{})
	var reading sync.WaitGroup
	for _, side := range s.sides {
		for q := range queues {
			reading.Go(func() {
				read(t, side, q, func(of Transport, n uint32) {
					mu.Lock()
					defer mu.Unlock()
					seen[n]++
					by[of]++
				})
			})
		}
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for to := TLS; ; to = to.other() {
			select {
			case <-done:
				return
			case <-time.After(50 * time.Microsecond):
				if err := s.give(to); err != nil {
					t.Error(err)
				}
			}
		}
	}()
	sent := 0
	for deadline := time.Now().Add(patience); ; sent++ {
		if _, both := readSoFar(); sent >= least && (both || time.Now().After(deadline)) {
			break
		}
		dev.queues[sent%queues].frames <- frame(uint32(sent))
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		n, _ := readSoFar()
		if n == sent {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d frames were read", n, sent)
		}
	}
	close(done)
	<-ended
	for _, side := range s.sides {
		side.Close()
	}
	reading.Wait()
	for n, times := range seen {
		if times != 1 {
			t.Fatalf("frame %d was read %d times", n, times)
		}
	}
	if by[TLS] == 0 || by[WireGuard] == 0 {
		t.Errorf("read by each: %v", by)
	}
}

// A reader whose turn is over has seen that there is nothing more, and then waits; what comes is the other's.
func TestTurn(t *testing.T) {
	dev := newFakeDevice(1)
	s := newShared(dev, WireGuard)
	tls, wg := s.sides[TLS], s.sides[WireGuard]
	p := make([]byte, 100)
	dev.queues[0].frames <- frame(1)
	if err := wg.Wait(0); err != nil || !wg.Readable(0) && dev.queues[0].peeked == nil {
		t.Fatal(err)
	}
	dev.queues[0].frames <- frame(2)
	if n, err := tls.TryRead(0, p); !errors.Is(err, tun.ErrEmpty) {
		t.Fatalf("%d, %v", n, err)
	}
	if tls.Readable(0) || !wg.Readable(0) {
		t.Fatal("readable by the wrong one")
	}
	if _, err := wg.TryRead(0, p); err != nil {
		t.Fatal(err)
	}
	if err := s.give(TLS); err != nil {
		t.Fatal(err)
	}
	if wg.Readable(0) || !tls.Readable(0) {
		t.Fatal("readable by the wrong one")
	}
	if err := wg.Wait(0); err != nil { // once
		t.Fatal(err)
	}
	if _, err := wg.TryRead(0, p); !errors.Is(err, tun.ErrEmpty) {
		t.Fatal(err)
	}
	waited := make(chan error, 1)
	go func() { waited <- wg.Wait(0) }()
	if err := tls.Wait(0); err != nil {
		t.Fatal(err)
	}
	if _, err := tls.TryRead(0, p); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-waited:
		t.Fatalf("it does not wait for its turn: %v", err)
	default:
	}
	wg.Close()
	if err := <-waited; !errors.Is(err, os.ErrClosed) {
		t.Fatal(err)
	}
	if _, err := wg.TryRead(0, p); !errors.Is(err, os.ErrClosed) {
		t.Fatal(err)
	}
	select {
	case <-dev.closed:
		t.Fatal("the interface is closed with one side")
	default:
	}
}

// Who waits for packets, or for the other one to leave the queue, is woken by Close.
func TestCloseWakes(t *testing.T) {
	for range 200 {
		s := newShared(newFakeDevice(1), WireGuard)
		ended := make(chan struct{}, 2)
		for _, side := range s.sides {
			go func() {
				read(t, side, 0, func(Transport, uint32) {})
				ended <- struct{}{}
			}()
		}
		_ = s.give(TLS)
		for _, side := range s.sides {
			go side.Close()
		}
		for range s.sides {
			select {
			case <-ended:
			case <-time.After(patience):
				t.Fatal("one still waits")
			}
		}
	}
}

func TestOffloadIsThatOfBoth(t *testing.T) {
	dev := newFakeDevice(1)
	s := newShared(dev, WireGuard)
	for _, c := range []struct {
		of  Transport
		set tun.Offload
		get tun.Offload
	}{
		{WireGuard, tun.Checksum | tun.TSO4 | tun.TSO6, tun.Checksum | tun.TSO4 | tun.TSO6},
		{TLS, tun.Checksum | tun.TSO4, tun.Checksum | tun.TSO4},
		{WireGuard, tun.Checksum | tun.TSO4 | tun.TSO6, tun.Checksum | tun.TSO4},
		{TLS, tun.Checksum | tun.TSO4 | tun.TSO6, tun.Checksum | tun.TSO4 | tun.TSO6},
		{TLS, 0, 0},
	} {
		if err := s.sides[c.of].SetOffload(c.set); err != nil || dev.offload != c.get {
			t.Errorf("%v sets %v: the interface has %v, want %v", c.of, c.set, dev.offload, c.get)
		}
	}
}

// TCP that begins while TLS carries may go on over WireGuard, which cannot lower the MTU below 1280 where less passes.
func TestTCPOverTLSIsClampedToWireGuard(t *testing.T) {
	dev := newFakeDevice(1)
	s := newShared(dev, TLS)
	read := func() []byte {
		dev.queues[0].frames <- syn(1460)
		f := make([]byte, 100)
		n, err := s.sides[TLS].TryRead(0, f)
		if err != nil {
			t.Fatal(err)
		}
		return f[:n]
	}
	write := func() []byte {
		if err := s.sides[TLS].Write(syn(1460)); err != nil {
			t.Fatal(err)
		}
		return dev.written[len(dev.written)-1]
	}
	for _, limit := range []int{1420, 1000, 1300, 1420} {
		s.sides[WireGuard].SetLimit(limit)
		for what, f := range map[string][]byte{"read": read(), "written": write()} {
			if mss := binary.BigEndian.Uint16(f[tun.HeaderLen+42:]); int(mss) != limit-40 {
				t.Errorf("with a limit of %d: %s with an MSS of %d", limit, what, mss)
			}
		}
	}
}

// syn is an IPv4 SYN with an MSS option, whose checksum is left to the far end.
func syn(mss uint16) []byte {
	f := make([]byte, tun.HeaderLen+44)
	f[0] = unix.VIRTIO_NET_HDR_F_NEEDS_CSUM
	p := f[tun.HeaderLen:]
	p[0], p[3], p[8], p[9], p[32], p[33], p[40], p[41] = 0x45, 44, 64, unix.IPPROTO_TCP, 6<<4, 2, 2, 4
	binary.BigEndian.PutUint16(p[42:], mss)
	return f
}

// The MTU that passes WireGuard's path is the interface's while WireGuard carries.
func TestMTUFollows(t *testing.T) {
	dev := newFakeDevice(1)
	s := newShared(dev, WireGuard)
	for _, f := range []func() error{
		func() error { return s.sides[WireGuard].SetMTU(1300) }, // 1300
		func() error { return s.give(TLS) },                     // 1420
		func() error { return s.sides[WireGuard].SetMTU(1280) },
		func() error { return s.give(WireGuard) },               // 1280
		func() error { return s.sides[WireGuard].SetMTU(1420) }, // 1420
		func() error { return s.give(TLS) },
	} {
		if err := f(); err != nil {
			t.Fatal(err)
		}
	}
	want := []int{1300, 1420, 1280, 1420}
	if len(dev.mtus) != len(want) {
		t.Fatalf("MTUs %v, want %v", dev.mtus, want)
	}
	for i := range want {
		if dev.mtus[i] != want[i] {
			t.Fatalf("MTUs %v, want %v", dev.mtus, want)
		}
	}
}
