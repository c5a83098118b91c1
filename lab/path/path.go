package path

import (
	"errors"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// End is one of the two ends of a link.
type End int

const (
	A End = iota
	B
)

// Path carries all frames between the ends of a link. Its methods may be called from any goroutine.
type Path struct {
	ends  [2]*socket
	from  [2]*direction // by the end that sends
	stop  *stop
	going sync.WaitGroup
}

// Open makes a path on a link, whose conditions are those of the link itself. From then on it notes what arrives at the
// ends; Run carries it.
func Open(a, b Interface, seed uint64) (*Path, error) {
	p := &Path{}
	for end, i := range []Interface{a, b} {
		var err error
		if p.ends[end], err = openSocket(i); err != nil {
			return nil, errors.Join(err, p.closeAll())
		}
	}
	var err error
	if p.stop, err = newStop(); err != nil {
		return nil, errors.Join(err, p.closeAll())
	}
	for end := range p.from {
		from := End(end)
		p.from[end] = &direction{line: newLine(seed, from), near: p.ends[from], far: p.ends[1-from], stop: p.stop}
		p.from[end].conditions.Store(&Conditions{})
	}
	return p, nil
}

// Routers sets the addresses that ICMP errors come from, about what an end sends. Call it before Run.
func (p *Path) Routers(from End, addrs ...netip.Addr) {
	for _, a := range addrs {
		version := 0
		if a.Is6() {
			version = 1
		}
		if router := &p.from[from].line.router[version]; !router.IsValid() {
			*router = a
		}
	}
}

// Run begins to carry frames, those that have come since a time.
func (p *Path) Run(since time.Time) {
	for _, d := range p.from {
		d.since = since.UnixNano()
		p.going.Go(d.run)
	}
}

// Set changes what becomes of what an end sends from now on.
func (p *Path) Set(from End, c Conditions) { p.from[from].conditions.Store(&c) }

// Count returns how many packets that an end sent have had a fate so far.
func (p *Path) Count(from End, k Kind) uint64 {
	d := p.from[from]
	if k == Overrun {
		d.line.counts[Overrun].Add(d.far.missed())
	}
	return d.line.counts[k].Load()
}

// Close ends it, once. What is under way is lost.
func (p *Path) Close() error {
	err := p.stop.set()
	p.going.Wait()
	return errors.Join(err, p.closeAll())
}

func (p *Path) closeAll() error {
	var errs []error
	for _, s := range p.ends {
		if s != nil {
			errs = append(errs, s.close())
		}
	}
	if p.stop != nil {
		errs = append(errs, unix.Close(p.stop.fd))
	}
	return errors.Join(errs...)
}

// direction carries what one end sends. All but the conditions is its goroutine's.
type direction struct {
	line       *line
	near, far  *socket // of the end that sends, and of the other
	stop       *stop
	since      int64 // what came before is not carried
	conditions atomic.Pointer[Conditions]
}

// epoch is what the times of lines count from. They are monotonic, as the wall clock may be set.
var epoch = time.Now()

func monotonic() int64 { return int64(time.Since(epoch)) }

// maxAge is how long a frame may have waited in the ring at most, if the wall clock says so, by which the kernel notes when
// it came.
const maxAge = int64(time.Second)

// run carries frames until it is stopped. It has a thread of its own: it is to be woken up in time.
func (d *direction) run() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread() // a thread that ends takes along what was started from it with a signal at its death
	buffer := make([]byte, vnetHeader+ringBlock)
	for !d.stop.isSet.Load() {
		took := d.receive()
		d.send(monotonic(), buffer)
		if took {
			continue
		}
		left := d.line.next()
		if left != noTime {
			left = max(left-monotonic(), 0)
		}
		d.far.wait(d.stop.fd, left)
	}
}

// stop ends the goroutines of a path, which wait for it too.
type stop struct {
	isSet atomic.Bool
	fd    int // an eventfd, readable once it is set
}

func newStop() (*stop, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	return &stop{fd: fd}, os.NewSyscallError("eventfd", err)
}

func (s *stop) set() error {
	s.isSet.Store(true)
	_, err := unix.Write(s.fd, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	return os.NewSyscallError("write to eventfd", err)
}

// burst bounds how many frames are taken before those that are due are sent.
const burst = 64

// receive takes what has arrived at the far end, and reports whether it was anything.
func (d *direction) receive() (any bool) {
	c := d.conditions.Load()
	wall, now := time.Now().UnixNano(), monotonic()
	for range burst {
		f, came, ok := d.far.ring.next()
		if !ok {
			return any
		}
		any = true
		switch {
		case came < d.since:
		case f.data == nil:
			d.line.counts[Overrun].Add(1)
		default:
			d.line.arrive(now-min(max(wall-came, 0), maxAge), c, f)
		}
		d.far.ring.release()
	}
	return any
}

// send sends what is due.
func (d *direction) send(now int64, buffer []byte) {
	for next := d.line.next(); next != noTime && next <= now; next = d.line.next() {
		f := d.line.take()
		by := d.near
		if f.back {
			by = d.far
		}
		// What the end does not take is lost, as on any wire: it may be down.
		if err := by.send(&f, buffer); err != nil {
			d.line.counts[Refused].Add(1)
		} else {
			d.line.counts[Passed].Add(1)
		}
		d.line.done(f)
	}
}
