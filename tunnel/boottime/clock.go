// Package boottime is a clock that goes on while the machine sleeps.
//
// Go compares times by CLOCK_MONOTONIC, which stands still in suspend. To a daemon that
// slept for ten minutes no time has passed, and it would use keys, believe peers and wait
// for retries that are long over. CLOCK_BOOTTIME counts the sleep, but Go has no way to it
// but a system call. So a [Clock] adds to [time.Now] what the machine has slept:
//
//  1. A sleep, like somebody setting the clock, moves CLOCK_REALTIME against
//     CLOCK_MONOTONIC, and nothing else does: adjtime(2) and NTP's slewing change the
//     speed of both. Both are in the time that [time.Now] returns.
//  2. When they have moved against one another, [Clock.Now] asks the kernel how far
//     CLOCK_BOOTTIME is before CLOCK_MONOTONIC. So it needs no system call at other
//     times, and no moment passes after a sleep in which it is wrong.
//  3. [Clock.Run] is told by the kernel when the machine woke up, and passes that on, as
//     timers went to sleep too.
package boottime

import (
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// tolerance is how far the two clocks may move against one another until the kernel is
// asked. [time.Now] reads one after the other, and may be interrupted in between.
const tolerance = 100 * time.Millisecond

// Clock is made with [New]. Its methods may be called from any goroutine.
type Clock struct {
	read   func() (now time.Time, ahead time.Duration) // ahead: of CLOCK_REALTIME before CLOCK_MONOTONIC, from anywhere
	asleep func() (time.Duration, error)               // CLOCK_BOOTTIME before CLOCK_MONOTONIC

	looking sync.Mutex
	known   atomic.Pointer[known]

	woke chan time.Duration
}

// known is what was seen last, when the two clocks had moved against one another.
type known struct {
	ahead  time.Duration
	asleep time.Duration // never less than before
	slept  time.Duration // since the clock was made
}

// New returns the clock of this machine.
func New() *Clock { return newClock(readHost(time.Now()), hostAsleep) }

func newClock(read func() (time.Time, time.Duration), asleep func() (time.Duration, error)) *Clock {
	c := &Clock{read: read, asleep: asleep, woke: make(chan time.Duration)}
	k := &known{}
	_, k.ahead = read()
	k.asleep, _ = asleep() // it fails always or never, and then nothing is added
	c.known.Store(k)
	return c
}

// Now is [time.Now], and later by what the machine has slept since the clock was made. It is
// for differences and comparisons with other such times alone: as a date it lies in the
// future by as much, see [Clock.Date].
func (c *Clock) Now() time.Time {
	now, ahead := c.read()
	k := c.known.Load()
	if moved(ahead, k.ahead) {
		k = c.look()
	}
	return now.Add(k.slept)
}

// Date is the date of a time that Now returned lately.
func (c *Clock) Date(t time.Time) time.Time { return t.Add(-c.known.Load().slept) }

func moved(ahead, was time.Duration) bool { return (ahead - was).Abs() > tolerance }

// look finds out whether the machine has slept or its clock was set.
func (c *Clock) look() *known {
	c.looking.Lock()
	defer c.looking.Unlock()
	was := c.known.Load()
	_, ahead := c.read()
	if !moved(ahead, was.ahead) {
		return was // another goroutine was first
	}
	next := &known{ahead: ahead, asleep: was.asleep, slept: was.slept}
	if asleep, err := c.asleep(); err == nil && asleep > was.asleep {
		next.asleep = asleep
		next.slept += asleep - was.asleep
	}
	c.known.Store(next)
	return next
}

// readHost reads the clocks of this machine, compared with a time of [time.Now].
func readHost(since time.Time) func() (time.Time, time.Duration) {
	wall := since.UnixNano()
	return func() (time.Time, time.Duration) {
		now := time.Now()
		return now, time.Duration(now.UnixNano()-wall) - now.Sub(since)
	}
}

// hostAsleep returns how long this machine has slept since it was started. A reading is too little by as long as this
// goroutine was interrupted in it, and the clock would later jump by that: so there are several.
func hostAsleep() (asleep time.Duration, err error) {
	for range 5 {
		var boot, mono unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot); err != nil {
			return 0, err
		}
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &mono); err != nil {
			return 0, err
		}
		asleep = max(asleep, time.Duration(boot.Nano()-mono.Nano()))
	}
	return asleep, nil
}
