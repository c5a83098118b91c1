package path

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Queue is the length, in packets, of the queue of each direction. That of the devices should
// be as long.
const Queue = 16384

// Conditions are what becomes of packets, in either direction by itself.
type Conditions struct {
	Delay time.Duration // one way
	Loss  Loss
}

// Path is the two devices.
type Path struct{ a, b int }

// Open makes two devices, TAP devices if frames is set, which carry Ethernet frames, else TUN
// devices, which carry IP packets. They are down at first.
func Open(a, b string, frames bool) (*Path, error) {
	kind := uint16(unix.IFF_TUN)
	if frames {
		kind = unix.IFF_TAP
	}
	var p Path
	for _, end := range []struct {
		name string
		fd   *int
	}{{a, &p.a}, {b, &p.b}} {
		// Blocking: Go's poller would cost as much as the system calls themselves.
		fd, err := OpenDevice(end.name, kind, 0)
		if err != nil {
			return nil, err
		}
		*end.fd = fd
	}
	return &p, nil
}

// Run carries packets until a device fails. It is for the whole life of a process.
func (p *Path) Run(c Conditions) error {
	failed := make(chan error)
	for _, way := range [][2]int{{p.a, p.b}, {p.b, p.a}} {
		r := newRelay(way[0], way[1], c)
		go func() { failed <- r.read() }()
		go func() { failed <- r.write() }()
	}
	return <-failed
}

// OpenDevice makes a device of a kind, IFF_TUN or IFF_TAP, and returns its descriptor, which the
// flags, such as O_NONBLOCK, are for.
func OpenDevice(name string, kind uint16, flags int) (int, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|flags, 0)
	if err != nil {
		return 0, fmt.Errorf("path: %w", &os.PathError{Op: "open", Path: "/dev/net/tun", Err: err})
	}
	req, err := unix.NewIfreq(name)
	if err != nil {
		return 0, fmt.Errorf("path: %w", err)
	}
	req.SetUint16(kind | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		return 0, fmt.Errorf("path: make device %s: %w", name, err)
	}
	return fd, nil
}

// relay is one direction.
type relay struct {
	from, to int
	delay    time.Duration
	loser    *loser
	// held are the frames under way, in the order of their times; free are
	// buffers for further ones.
	held, free chan *frame
}

type frame struct {
	due  time.Time
	n    int
	data [1600]byte // a packet, or an Ethernet frame, of the MTU with room to spare
}

func newRelay(from, to int, c Conditions) *relay {
	r := &relay{
		from: from, to: to, delay: c.Delay, loser: newLoser(c.Loss),
		held: make(chan *frame, Queue), free: make(chan *frame, Queue),
	}
	for range Queue {
		r.free <- new(frame)
	}
	return r
}

// read takes frames as they come. With all buffers under way it waits, and the
// device's own queue fills and then drops.
func (r *relay) read() error {
	for {
		f := <-r.free
		n, err := unix.Read(r.from, f.data[:])
		if err != nil && err != unix.EINTR {
			return fmt.Errorf("path: read: %w", err)
		}
		if n <= 0 || r.loser.loses() {
			r.free <- f
			continue
		}
		f.n, f.due = n, time.Now().Add(r.delay)
		r.held <- f
	}
}

// write sleeps until the next frame is due, by a system call of its own: Go's
// timers are a millisecond late when nothing else is to do.
func (r *relay) write() error {
	for f := range r.held {
		for wait := time.Until(f.due); wait > 0; wait = time.Until(f.due) {
			ts := unix.NsecToTimespec(wait.Nanoseconds())
			_ = unix.Nanosleep(&ts, nil) // a signal may end it early
		}
		// A frame that the device does not take is lost, as on any wire.
		if _, err := unix.Write(r.to, f.data[:f.n]); err != nil && err != unix.EIO && err != unix.ENOBUFS {
			return fmt.Errorf("path: write: %w", err)
		}
		r.free <- f
	}
	return nil
}
