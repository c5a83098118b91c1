package wireguard

import (
	"os"
	"slices"
	"sync"

	"warren/tunnel/tun"
)

// fakeDevice is an interface without a kernel: a test sends frames as the kernel would,
// and looks at what was written.
type fakeDevice struct {
	name   string
	frames chan []byte
	peeked []byte // of the reader
	closed chan struct{}
	once   sync.Once

	mu      sync.Mutex
	carrier bool
	mtu     int // that was set; 0: none
	written [][]byte
}

func newFakeDevice(name string) *fakeDevice {
	return &fakeDevice{name: name, frames: make(chan []byte, 64), closed: make(chan struct{})}
}

func (d *fakeDevice) Name() string                 { return d.name }
func (d *fakeDevice) MTU() int                     { return DefaultMTU }
func (d *fakeDevice) Queues() int                  { return 1 }
func (d *fakeDevice) Offload() tun.Offload         { return tun.Checksum | tun.TSO4 | tun.TSO6 }
func (d *fakeDevice) SetOffload(tun.Offload) error { return nil }

func (d *fakeDevice) SetCarrier(up bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.carrier = up
	return nil
}

func (d *fakeDevice) SetMTU(mtu int) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mtu = mtu
	return nil
}

func (d *fakeDevice) Wait(int) error {
	if d.peeked != nil {
		return nil
	}
	select {
	case d.peeked = <-d.frames:
		return nil
	case <-d.closed:
		return os.ErrClosed
	}
}

func (d *fakeDevice) Readable(int) bool { return len(d.frames) > 0 }

func (d *fakeDevice) TryRead(_ int, p []byte) (int, error) {
	f := d.peeked
	d.peeked = nil
	if f == nil {
		select {
		case f = <-d.frames:
		default:
			return 0, tun.ErrEmpty
		}
	}
	return copy(p, f), nil
}

func (d *fakeDevice) Write(frame []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.written = append(d.written, slices.Clone(frame))
	return nil
}

func (d *fakeDevice) Close() error {
	d.once.Do(func() { close(d.closed) })
	return nil
}

// take returns what was written since the last call, and whether there is a carrier.
func (d *fakeDevice) take() (written [][]byte, carrier bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	written, d.written = d.written, nil
	return written, d.carrier
}
