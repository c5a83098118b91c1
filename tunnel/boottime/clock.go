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
//  4. [Clock.DateNow] says what date it was at a time, by the clock as it is set now. A router
//     without a clock that runs while it is off begins with an old date.
package boottime

import (
	"fmt"
	"slices"
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
	now     func() time.Time
	aheadAt func(time.Time) time.Duration // of CLOCK_REALTIME before CLOCK_MONOTONIC, from anywhere, when now returned that time
	asleep  func() (time.Duration, error) // CLOCK_BOOTTIME before CLOCK_MONOTONIC

	looking sync.Mutex
	known   atomic.Pointer[known]

	woke chan time.Duration
}

// known is what was seen last, when the two clocks had moved against one another.
type known struct {
	ahead  time.Duration
	asleep time.Duration // never less than before
	slept  time.Duration // since the clock was made
	sleeps []sleep       // the last of them, in their order
}

// sleep is one that was noticed at a time of [time.Now], or several up to then.
type sleep struct {
	until time.Time
	took  time.Duration
}

// maxSleeps bounds how many sleeps are told from one another.
const maxSleeps = 64

// New returns the clock of this machine.
func New() *Clock { return newClock(time.Now, aheadOf(time.Now()), hostAsleep) }

func newClock(now func() time.Time, aheadAt func(time.Time) time.Duration, asleep func() (time.Duration, error)) *Clock {
	c := &Clock{now: now, aheadAt: aheadAt, asleep: asleep, woke: make(chan time.Duration)}
	k := &known{ahead: aheadAt(now())}
	k.asleep, _ = asleep() // it fails always or never, and then nothing is added
	c.known.Store(k)
	return c
}

// Now is [time.Now], and later by what the machine has slept since the clock was made. It is
// for differences and comparisons with other such times alone: as a date it lies in the
// future by as much, see [Clock.Date].
func (c *Clock) Now() time.Time {
	now, k := c.seen()
	return now.Add(k.slept)
}

// seen returns the time of [time.Now], and what is known then.
func (c *Clock) seen() (time.Time, *known) {
	now := c.now()
	k := c.known.Load()
	if moved(c.aheadAt(now), k.ahead) {
		k = c.look()
	}
	return now, k
}

// Date is the date of a time that Now returned lately.
func (c *Clock) Date(t time.Time) time.Time { return t.Add(-c.known.Load().slept) }

// DateNow is the date of a time that [time.Now] or Date returned, by the clock as it is set now. The date that is in such
// a time is by the clock as it was set then. The result is the same each time until the clock is set again, and t itself
// while it was not set since, and where t has no monotonic reading.
func (c *Clock) DateNow(t time.Time) time.Time {
	if !hasMonotonic(t) {
		return t
	}
	_, k := c.seen()
	since := k.ahead - c.aheadAt(t)
	for _, s := range k.sleeps { // which moved the two clocks too, and set neither
		if t.Before(s.until) {
			since -= s.took
		}
	}
	if since.Abs() <= tolerance {
		return t
	}
	return t.Round(0).Add(since)
}

// hasMonotonic reports whether a time has a monotonic reading, which Round(0) takes away.
func hasMonotonic(t time.Time) bool {
	return t != t.Round(0) //nolint:staticcheck // Equal does not look at it
}

func moved(ahead, was time.Duration) bool { return (ahead - was).Abs() > tolerance }

// look finds out whether the machine has slept or its clock was set.
func (c *Clock) look() *known {
	c.looking.Lock()
	defer c.looking.Unlock()
	was := c.known.Load()
	now := c.now()
	ahead := c.aheadAt(now)
	if !moved(ahead, was.ahead) {
		return was // another goroutine was first
	}
	next := &known{ahead: ahead, asleep: was.asleep, slept: was.slept, sleeps: was.sleeps}
	if asleep, err := c.asleep(); err == nil && asleep > was.asleep {
		next.asleep = asleep
		next.slept += asleep - was.asleep
		next.sleeps = slices.Concat(was.sleeps, []sleep{{now, asleep - was.asleep}})
		if len(next.sleeps) > maxSleeps {
			next.sleeps[1].took += next.sleeps[0].took
			next.sleeps = next.sleeps[1:]
		}
	}
	c.known.Store(next)
	return next
}

// aheadOf compares the two clocks of this machine, of which times of [time.Now] have both, with how they were
// to one another when it returned since.
func aheadOf(since time.Time) func(time.Time) time.Duration {
	wall := since.UnixNano()
	return func(t time.Time) time.Duration { return time.Duration(t.UnixNano()-wall) - t.Sub(since) }
}

// hostAsleep returns how long this machine has slept since it was started. A reading is too little by as long as this
// goroutine was interrupted in it, and the clock would later jump by that: so there are several.
func hostAsleep() (asleep time.Duration, err error) {
	for range 5 {
		boot, err := SinceBoot()
		if err != nil {
			return 0, err
		}
		var mono unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &mono); err != nil {
			return 0, err
		}
		asleep = max(asleep, boot-time.Duration(mono.Nano()))
	}
	return asleep, nil
}

// SinceBoot is CLOCK_BOOTTIME: how long ago this machine was started, which another process can compare with its own.
func SinceBoot() (time.Duration, error) {
	var at unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &at); err != nil {
		return 0, fmt.Errorf("read the clock: %w", err)
	}
	return time.Duration(at.Nano()), nil
}
