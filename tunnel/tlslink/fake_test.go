package tlslink

import (
	"os"
	"slices"
	"sync"

	"warren/tunnel/internal/ecn"
	"warren/tunnel/tun"
)

// fakeDevice is an interface without a kernel: a test sends packets as the kernel
// would and looks at what was written.
type fakeDevice struct {
	name    string
	mtu     int
	offload tun.Offload
	queues  []chan []byte
	peeked  [][]byte // one for each queue, of its reader
	closed  chan struct{}

	// What the kernel takes its time for; nil: it does not.
	onOffload func()
	onCarrier func(up bool)

	mu       sync.Mutex
	changed  chan struct{} // closed and remade at each change of what follows
	carrier  []bool        // every change
	accepted tun.Offload
	written  [][]byte
	keep     bool // written
	onWrite  func(frame []byte)
}

func newFakeDevice(name string, queues int) *fakeDevice {
	d := &fakeDevice{
		name: name, mtu: 1500, offload: tun.Checksum | tun.TSO4 | tun.TSO6,
		peeked: make([][]byte, queues), closed: make(chan struct{}), changed: make(chan struct{}), keep: true,
	}
	for range queues {
		d.queues = append(d.queues, make(chan []byte, 64))
	}
	return d
}

func (d *fakeDevice) Name() string         { return d.name }
func (d *fakeDevice) MTU() int             { return d.mtu }
func (d *fakeDevice) Queues() int          { return len(d.queues) }
func (d *fakeDevice) Offload() tun.Offload { return d.offload }

func (d *fakeDevice) update(f func()) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
	close(d.changed)
	d.changed = make(chan struct{})
	return nil
}

func (d *fakeDevice) SetOffload(o tun.Offload) error {
	if d.onOffload != nil {
		d.onOffload()
	}
	return d.update(func() { d.accepted = o })
}

func (d *fakeDevice) SetCarrier(up bool) error {
	if d.onCarrier != nil {
		d.onCarrier(up)
	}
	return d.update(func() { d.carrier = append(d.carrier, up) })
}

func (d *fakeDevice) Wait(queue int) error {
	if d.peeked[queue] != nil {
		return nil
	}
	select {
	case d.peeked[queue] = <-d.queues[queue]:
		return nil
	case <-d.closed:
		return os.ErrClosed
	}
}

func (d *fakeDevice) TryRead(queue int, p []byte) (int, error) {
	if f := d.peeked[queue]; f != nil {
		d.peeked[queue] = nil
		return copy(p, f), nil
	}
	select {
	case f := <-d.queues[queue]:
		return copy(p, f), nil
	case <-d.closed:
		return 0, os.ErrClosed
	default:
		return 0, tun.ErrEmpty
	}
}

func (d *fakeDevice) Write(frame []byte) error {
	return d.update(func() {
		if d.onWrite != nil {
			d.onWrite(frame)
		}
		if d.keep {
			d.written = append(d.written, slices.Clone(frame))
		}
	})
}

func (d *fakeDevice) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	select {
	case <-d.closed:
	default:
		close(d.closed)
	}
	return nil
}

// snapshot returns what happened so far, and a channel that is closed when more
// does.
func (d *fakeDevice) snapshot() (written [][]byte, carrier []bool, changed <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.written), slices.Clone(d.carrier), d.changed
}

// marked returns a packet's frame with its flow taking marks of congestion: where a busy machine has it wait for too long, it is marked and
// not dropped (backlog.go).
func marked(f []byte) []byte {
	f[tun.HeaderLen+1] = byte(ecn.ECT0)
	return f
}

// unmarked returns such a packet as it was before it had to wait.
func unmarked(f []byte) []byte {
	f = marked(slices.Clone(f))
	clear(f[tun.HeaderLen+10 : tun.HeaderLen+12]) // the checksum, which packet leaves out
	return f
}

// packet returns a frame with an IPv4 UDP packet, whose payload begins with the
// bytes given.
func packet(size int, payload ...byte) []byte {
	f := make([]byte, tun.HeaderLen+size)
	p := f[tun.HeaderLen:]
	p[0], p[2], p[3], p[8], p[9] = 0x45, byte(size>>8), byte(size), 64, 17
	copy(p[28:], payload)
	return f
}
