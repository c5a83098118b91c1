package boottime

import (
	"context"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// minSleep is what counts as a sleep of which [Clock.Woke] tells.
	minSleep = time.Second
	// lookEvery is how often is looked without being told, and lookOften where the
	// kernel cannot tell.
	lookEvery = time.Minute
	lookOften = time.Second
)

// Woke delivers how long the machine has slept, each time that it woke up, while Run runs.
// What nobody has taken by the next time is added up.
func (c *Clock) Woke() <-chan time.Duration { return c.woke }

// Run follows the machine's sleeps until ctx is done. It returns nil.
func (c *Clock) Run(ctx context.Context) error {
	every := lookEvery
	set, err := clockSet(ctx)
	if err != nil {
		every = lookOften
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	c.follow(ctx, set, tick.C)
	return nil
}

// follow looks whether the machine has slept, whenever one of the channels delivers.
func (c *Clock) follow(ctx context.Context, set <-chan struct{}, tick <-chan time.Time) {
	told := c.known.Load().slept
	for {
		var woke chan<- time.Duration
		c.Now()
		slept := c.known.Load().slept - told
		if slept >= minSleep {
			woke = c.woke
		}
		select {
		case woke <- slept:
			told += slept
		case <-set:
		case <-tick:
		case <-ctx.Done():
			return
		}
	}
}

// never is when the timer of clockSet would fire: in a hundred years.
const never = 100 * 365 * 24 * time.Hour

// clockSet delivers each time that CLOCK_REALTIME was set or the machine woke up. A timer on
// that clock is cancelled by both (timerfd_create(2), TFD_TIMER_CANCEL_ON_SET; Linux,
// timerfd_clock_was_set and timerfd_resume), so that nothing has to look all the time.
func clockSet(ctx context.Context) (<-chan struct{}, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_REALTIME, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("timerfd_create", err)
	}
	at := unix.ItimerSpec{Value: unix.NsecToTimespec(time.Now().Add(never).UnixNano())}
	if err := unix.TimerfdSettime(fd, unix.TFD_TIMER_ABSTIME|unix.TFD_TIMER_CANCEL_ON_SET, &at, nil); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("timerfd_settime", err)
	}
	timer := os.NewFile(uintptr(fd), "timer")
	context.AfterFunc(ctx, func() { timer.Close() })
	set := make(chan struct{}, 1)
	go func() {
		defer timer.Close()
		for {
			_, err := timer.Read(make([]byte, 8))
			if err != nil && !errors.Is(err, unix.ECANCELED) {
				return // closed; the ticks remain
			}
			select {
			case set <- struct{}{}:
			default:
			}
		}
	}()
	return set, nil
}
