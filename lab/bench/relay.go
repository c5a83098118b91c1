package main

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// relayMain is this program as a wire with a delay: "relay DELAY". It makes two
// TAP devices in its namespace and hands what is sent into one to the other, DELAY
// later, until it is killed. The kernel has netem for this; not every kernel
// has netem.
func relayMain(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("relay is for the bench's own use")
	}
	delay, err := time.ParseDuration(args[1])
	if err != nil {
		return err
	}
	a, err := openTAP(relayPortA)
	if err != nil {
		return err
	}
	b, err := openTAP(relayPortB)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	failed := make(chan error)
	for _, way := range [][2]int{{a, b}, {b, a}} {
		r := newRelay(way[0], way[1], delay)
		go func() { failed <- r.read() }()
		go func() { failed <- r.write() }()
	}
	return <-failed
}

// openTAP makes a TAP device and returns its descriptor, which is a blocking one:
// Go's poller would cost as much as the system calls themselves.
func openTAP(name string) (int, error) { return openDevice(name, unix.IFF_TAP, 0) }

// openTUN makes a TUN device and returns its descriptor, which does not block.
func openTUN(name string) (int, error) { return openDevice(name, unix.IFF_TUN, unix.O_NONBLOCK) }

func openDevice(name string, kind uint16, flags int) (int, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|flags, 0)
	if err != nil {
		return 0, fmt.Errorf("relay: %w", &os.PathError{Op: "open", Path: "/dev/net/tun", Err: err})
	}
	req, err := unix.NewIfreq(name)
	if err != nil {
		return 0, fmt.Errorf("relay: %w", err)
	}
	req.SetUint16(kind | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		return 0, fmt.Errorf("relay: make device %s: %w", name, err)
	}
	return fd, nil
}

// relay is one direction.
type relay struct {
	from, to int
	delay    time.Duration
	// held are the frames under way, in the order of their times; free are
	// buffers for further ones.
	held, free chan *frame
}

type frame struct {
	due  time.Time
	n    int
	data [1600]byte // an Ethernet frame of the MTU with room to spare
}

func newRelay(from, to int, delay time.Duration) *relay {
	r := &relay{from: from, to: to, delay: delay, held: make(chan *frame, relayQueue), free: make(chan *frame, relayQueue)}
	for range relayQueue {
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
			return fmt.Errorf("relay: read: %w", err)
		}
		if n <= 0 {
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
			return fmt.Errorf("relay: write: %w", err)
		}
		r.free <- f
	}
	return nil
}
