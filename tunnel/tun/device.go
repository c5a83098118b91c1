package tun

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"warren/tunnel/internal/sysio"
)

// ErrDropped wraps what [Device.Write] returns for a frame that the kernel did
// not take: the interface is down, or the packet makes no sense to it. The device
// works on.
var ErrDropped = errors.New("tun: frame dropped")

// ErrEmpty is returned by [Device.TryRead] when there is nothing to read.
var ErrEmpty = errors.New("tun: nothing to read")

// Device is a TUN interface. Its methods may be called from several goroutines,
// but each queue must be read by one at a time.
type Device struct {
	name      string
	mtu       int
	index     int
	vnet      bool
	supported Offload
	log       *slog.Logger
	refuse    func(packet []byte) bool // may be nil
	queues    []*queue
	length    length // of the queues
	writeOnly bool   // writer is a descriptor of its own

	setting sync.Mutex // orders SetCarrier and Mend
	carrier bool       // what SetCarrier set; guarded by setting

	// Write must not wait for the lock of all network configuration, as it is called by a goroutine that serves all
	// tunnels. What takes that lock, in control and to close the last descriptor, has a lock of its own therefore.
	controls sync.RWMutex // held for reading around control, for writing to close the descriptors; taken before mu
	mu       sync.RWMutex // held for reading around each Write, for writing to set closed
	writer   int
	inet     int // a socket of the interface's network namespace, to look at it; -1: none
	closed   bool
}

// isClosed reports whether Close was called.
func (d *Device) isClosed() bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.closed
}

// Name returns the interface's name.
func (d *Device) Name() string { return d.name }

// Index returns the interface's index in its network namespace.
func (d *Device) Index() int { return d.index }

// MTU returns the MTU that the interface was made with, in bytes.
func (d *Device) MTU() int { return d.mtu }

// Queues returns how many queues there are to read.
func (d *Device) Queues() int { return len(d.queues) }

// Offload returns what this kernel can leave to a reader of the device; 0 means
// that frames never need anything done to them.
func (d *Device) Offload() Offload { return d.supported }

// adopt makes a queue of fd, which it closes on failure.
func (d *Device) adopt(fd int) error {
	q, err := newQueue(fd, d.name, d.vnet)
	if err != nil {
		return fmt.Errorf("tun: %s: %w", d.name, err)
	}
	if len(d.queues) == 0 {
		d.writer = fd
	}
	d.queues = append(d.queues, q)
	return nil
}

// addQueues attaches the queues after the first, and the writer.
//
// The kernel steers a flow to the queue that its packets were last written to
// (drivers/net/tun.c, tun_flow_update). That would tie all flows to the queues
// they first took, so with several queues writes go through one that is detached:
// it receives nothing and teaches nothing, and flows spread by their hash.
func (d *Device) addQueues(n int, flags uint16) error {
	if n == 1 {
		return nil
	}
	for len(d.queues) < n {
		fd, err := attach(d.name, flags)
		if err != nil {
			return err
		}
		if err := d.adopt(fd); err != nil {
			return err
		}
	}
	fd, err := attach(d.name, flags)
	if err != nil {
		return err
	}
	req, err := unix.NewIfreq(d.name)
	if err == nil {
		req.SetUint16(unix.IFF_DETACH_QUEUE)
		err = unix.IoctlIfreq(fd, unix.TUNSETQUEUE, req)
	}
	if err != nil {
		unix.Close(fd)
		return fmt.Errorf("tun: %s: detach the writing queue: %w", d.name, err)
	}
	d.writer, d.writeOnly = fd, true
	return nil
}

// setUp gives the interface its MTU, the length of its queues and its carrier, and opens inet. unqueued says that there is nothing more
// to wait in before these.
func (d *Device) setUp(unqueued bool) error {
	err := ifreq(d.name, func(r *unix.Ifreq) { r.SetUint32(uint32(d.mtu)) }, unix.SIOCSIFMTU, nil)
	if err != nil {
		return fmt.Errorf("tun: %s: set MTU %d: %w", d.name, d.mtu, err)
	}
	if err := ifreq(d.name, nil, unix.SIOCGIFINDEX, func(r *unix.Ifreq) { d.index = int(r.Uint32()) }); err != nil {
		return fmt.Errorf("tun: %s: index: %w", d.name, err)
	}
	if !unqueued {
		if err := unqueue(d.index); err != nil {
			d.log.Debug("cannot do without a queueing discipline", "interface", d.name, "err", err)
		}
	}
	if err := setQueueLen(d.index, queueLen); err != nil {
		return fmt.Errorf("tun: %s: set queue length %d: %w", d.name, queueLen, err)
	}
	if d.inet, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return fmt.Errorf("tun: %s: open a socket: %w", d.name, err)
	}
	return d.setCarrier()
}

// control does an ioctl on the interface through one of its descriptors.
func (d *Device) control(what string, f func(fd int) error) error {
	d.controls.RLock()
	defer d.controls.RUnlock()
	if d.isClosed() {
		return fmt.Errorf("tun: %s: %s: %w", d.name, what, os.ErrClosed)
	}
	if err := f(d.writer); err != nil {
		return fmt.Errorf("tun: %s: %s: %w", d.name, what, err)
	}
	return nil
}

// SetOffload chooses what the kernel leaves to whoever gets the frames: what the
// far end can take, and no more than [Device.Offload].
func (d *Device) SetOffload(o Offload) error {
	if !d.vnet {
		return nil
	}
	o = d.supported.Intersect(o)
	return d.control("TUNSETOFFLOAD "+o.String(), func(fd int) error {
		return unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, int(o))
	})
}

// Write gives the kernel one frame as a packet that arrived on the interface. It
// does not block and keeps nothing of frame. It returns an error that wraps
// [ErrDropped] if the kernel refused this frame, and os.ErrClosed after Close.
func (d *Device) Write(frame []byte) error {
	if !d.vnet {
		if needsOffload(frame) {
			return fmt.Errorf("%w: it needs offload and %s has none", ErrDropped, d.name)
		}
		frame = frame[HeaderLen:]
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.closed {
		return fmt.Errorf("tun: write to %s: %w", d.name, os.ErrClosed)
	}
	_, err := sysio.Write(d.writer, frame)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EBADFD):
		return fmt.Errorf("tun: write to %s: the interface is gone: %w", d.name, err)
	default:
		return fmt.Errorf("%w: write to %s: %w", ErrDropped, d.name, err)
	}
}

// Close removes the interface, whatever its name and its namespace are now, and ends all
// that wait for it. Frames are not taken from its beginning on. Further calls do nothing.
func (d *Device) Close() error {
	d.mu.Lock()
	was := d.closed
	d.closed = true
	d.mu.Unlock()
	d.controls.Lock()
	defer d.controls.Unlock()
	if was {
		return nil
	}
	var errs []error
	if len(d.queues) > 0 {
		// Root may have made it outlive its descriptors. One that is gone has nothing to end.
		_ = endPersistence(d.writer)
	}
	if d.inet >= 0 {
		errs = append(errs, unix.Close(d.inet))
	}
	if d.writeOnly {
		errs = append(errs, unix.Close(d.writer))
	}
	for _, q := range d.queues {
		errs = append(errs, q.file.Close())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("tun: close %s: %w", d.name, err)
	}
	return nil
}
