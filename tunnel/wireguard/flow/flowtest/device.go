// Package flowtest has a fake of what package flow reads packets from and writes them to.
package flowtest

import (
	"os"
	"slices"
	"sync"

	"warren/tunnel/tun"
)

// Device is an interface without a kernel. A test sends frames as the kernel would, and looks at
// what was written.
type Device struct {
	Frames chan []byte // to be read, with the header of package tun

	name   string
	peeked []byte // of the reader
	closed chan struct{}
	once   sync.Once

	writing chan struct{} // has an element unless Write is at work

	mu      sync.Mutex
	held    chan struct{} // closed when SetCarrier may go on; nil: it may
	carrier bool
	mtu     int // see SetTo
	limit   int // see LimitedTo
	written [][]byte
}

// NewDevice returns a device with one queue and all offloads.
func NewDevice(name string) *Device {
	d := &Device{name: name, Frames: make(chan []byte, 64), closed: make(chan struct{}), writing: make(chan struct{}, 1)}
	d.writing <- struct{}{}
	return d
}

func (d *Device) Name() string                 { return d.name }
func (d *Device) MTU() int                     { return 1420 }
func (d *Device) Queues() int                  { return 1 }
func (d *Device) Offload() tun.Offload         { return tun.Checksum | tun.TSO4 | tun.TSO6 }
func (d *Device) SetOffload(tun.Offload) error { return nil }

// Hold has SetCarrier wait until release is called, as the kernel does while it is busy.
func (d *Device) Hold() (release func()) {
	held := make(chan struct{})
	d.mu.Lock()
	d.held = held
	d.mu.Unlock()
	return sync.OnceFunc(func() { close(held) })
}

func (d *Device) SetCarrier(up bool) error {
	d.mu.Lock()
	held := d.held
	d.mu.Unlock()
	if held != nil {
		<-held
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.carrier = up
	return nil
}

func (d *Device) SetMTU(mtu int) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mtu = mtu
	return nil
}

func (d *Device) SetLimit(bytes int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.limit = bytes
}

// LimitedTo returns the limit that was set last; 0: none was.
func (d *Device) LimitedTo() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.limit
}

// SetTo returns the MTU that was set last; 0: none was.
func (d *Device) SetTo() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mtu
}

func (d *Device) Wait(int) error {
	if d.peeked != nil {
		return nil
	}
	select {
	case d.peeked = <-d.Frames:
		return nil
	case <-d.closed:
		return os.ErrClosed
	}
}

func (d *Device) Readable(int) bool { return len(d.Frames) > 0 }

func (d *Device) TryRead(_ int, p []byte) (int, error) {
	f := d.peeked
	d.peeked = nil
	if f == nil {
		select {
		case f = <-d.Frames:
		default:
			return 0, tun.ErrEmpty
		}
	}
	return copy(p, f), nil
}

// HoldWrites has Write wait until resume is called, or the device is closed.
func (d *Device) HoldWrites() (resume func()) {
	<-d.writing
	return func() { d.writing <- struct{}{} }
}

func (d *Device) Write(frame []byte) error {
	select {
	case <-d.writing:
		defer func() { d.writing <- struct{}{} }()
	case <-d.closed:
		return os.ErrClosed
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.written = append(d.written, slices.Clone(frame))
	return nil
}

func (d *Device) Close() error {
	d.once.Do(func() { close(d.closed) })
	return nil
}

// Take returns what was written since the last call, and whether there is a carrier.
func (d *Device) Take() (written [][]byte, carrier bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	written, d.written = d.written, nil
	return written, d.carrier
}
