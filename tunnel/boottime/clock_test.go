package boottime

import (
	"context"
	"sync"
	"testing"
	"time"
)

// machine is one whose clocks are played.
type machine struct {
	mu               sync.Mutex
	start            time.Time
	mono, wall, boot time.Duration // since start
	asked            int           // how often the kernel was asked how long it slept
	failing          error
	set              []ahead // in the order of mono
}

// ahead is how far the wall's clock was ahead from a time on.
type ahead struct{ mono, by time.Duration }

func newMachine() *machine { return &machine{start: time.Now(), boot: 5 * time.Hour} }

func (m *machine) clock() *Clock {
	return newClock(m.now, func(t time.Time) (by time.Duration) {
		m.mu.Lock()
		defer m.mu.Unlock()
		for _, a := range m.set {
			if a.mono <= t.Sub(m.start) {
				by = a.by
			}
		}
		return by
	}, func() (time.Duration, error) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.asked++
		return m.boot - m.mono, m.failing
	})
}

func (m *machine) now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.start.Add(m.mono)
}

func (m *machine) works(d time.Duration)  { m.pass(d, d, d) }
func (m *machine) sleeps(d time.Duration) { m.pass(0, d, d) }
func (m *machine) isSet(d time.Duration)  { m.pass(0, d, 0) }

func (m *machine) pass(mono, wall, boot time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mono, m.wall, m.boot = m.mono+mono, m.wall+wall, m.boot+boot
	m.set = append(m.set, ahead{m.mono, m.wall - m.mono})
}

func TestNowCountsSleepAndNotSteps(t *testing.T) {
	m := newMachine()
	c := m.clock()
	before := c.Now()
	passed := func() time.Duration { return c.Now().Sub(before) }
	m.works(time.Hour)
	if d := passed(); d != time.Hour || m.asked != 1 {
		t.Fatalf("%v have passed, and the kernel was asked %d times", d, m.asked)
	}
	m.sleeps(10 * time.Minute)
	if d := passed(); d != 70*time.Minute {
		t.Fatalf("%v have passed after a sleep of 10m", d)
	}
	for range 100 {
		passed()
	}
	if m.asked != 2 {
		t.Errorf("the kernel was asked %d times, want once more for the sleep", m.asked)
	}
	for _, step := range []time.Duration{-30 * 365 * 24 * time.Hour, 50 * 365 * 24 * time.Hour, -time.Second} {
		m.isSet(step)
		if d := passed(); d != 70*time.Minute {
			t.Fatalf("%v have passed after the clock was set by %v", d, step)
		}
	}
	// A sleep while the clock is set back by as much cannot be seen by the one difference,
	// and is with the next.
	m.sleeps(time.Minute)
	m.isSet(-time.Minute)
	passed()
	m.sleeps(time.Minute)
	if d := passed(); d != 72*time.Minute {
		t.Fatalf("%v have passed", d)
	}
	// Short ones add up.
	for range 50 {
		m.sleeps(tolerance / 2)
		passed()
	}
	if d := passed(); d < 72*time.Minute+50*tolerance/2-tolerance || d > 72*time.Minute+50*tolerance/2 {
		t.Fatalf("%v have passed after short sleeps", d)
	}
}

// A date is by the clock as it is set now, also of times before it was set or the machine slept, as often as it is asked for.
func TestDateNow(t *testing.T) {
	m := newMachine()
	c := m.clock()
	type moment struct {
		at  time.Time
		set time.Duration // by how much the clock was set since
	}
	var moments []moment
	then := func(what string, do func()) {
		t.Helper()
		m.works(time.Second)
		moments = append(moments, moment{at: m.now()})
		m.works(time.Second)
		do()
		for range 2 {
			m.works(time.Second)
			for i, is := range moments {
				if got := c.DateNow(is.at).Sub(is.at.Round(0)); got != is.set {
					t.Errorf("%s: the date of time %d is moved by %v, want %v", what, i, got, is.set)
				}
			}
		}
	}
	isSet := func(by time.Duration) func() {
		return func() {
			m.isSet(by)
			for i := range moments {
				moments[i].set += by
			}
		}
	}
	then("nothing", func() {})
	then("set to this century", isSet(9000*24*time.Hour))
	then("a sleep", func() { m.sleeps(10 * time.Minute) })
	then("set back", isSet(-time.Hour))
	then("a little", func() { m.isSet(tolerance / 2) }) // which counts when there is more of it
	m.isSet(-tolerance / 2)
	then("another sleep", func() { m.sleeps(time.Hour) })
	for range 2 * maxSleeps {
		m.works(time.Minute)
		m.sleeps(time.Minute)
		c.Now()
	}
	moments = moments[:1] // of those between two sleeps the order is not known any more
	then("many sleeps", isSet(time.Minute))
	if n := len(c.known.Load().sleeps); n > maxSleeps {
		t.Errorf("%d sleeps are kept", n)
	}

	if bare := time.Unix(1, 0); !c.DateNow(bare).Equal(bare) || !c.DateNow(time.Time{}).IsZero() {
		t.Error("a date that is no time of this process is moved")
	}
}

// Each wake-up is told once, a step of the clock is not, and what was not taken adds up.
func TestWoke(t *testing.T) {
	m := newMachine()
	c := m.clock()
	set, tick := make(chan struct{}), make(chan time.Time)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); c.follow(ctx, set, tick) }()

	m.sleeps(3 * time.Hour)
	set <- struct{}{}
	if d := <-c.Woke(); d != 3*time.Hour {
		t.Errorf("slept %v", d)
	}
	m.isSet(time.Hour)
	m.sleeps(minSleep / 2)
	set <- struct{}{}
	tick <- time.Time{} // taken when the one before was done
	select {
	case d := <-c.Woke():
		t.Errorf("told of a sleep of %v", d)
	default:
	}
	m.sleeps(time.Minute)
	tick <- time.Time{}
	m.sleeps(time.Minute)
	tick <- time.Time{}
	tick <- time.Time{}
	if d := <-c.Woke(); d != 2*time.Minute+minSleep/2 {
		t.Errorf("slept %v", d)
	}
	cancel()
	<-done
}

// The clock of this machine agrees with the kernel's.
func TestHost(t *testing.T) {
	c := New()
	a, b := c.Now(), time.Now()
	if d := b.Sub(a) + c.known.Load().slept; d < 0 || d > time.Hour {
		t.Errorf("time.Now is %v later", d)
	}
	if asleep, err := hostAsleep(); err != nil || asleep < -time.Second {
		t.Errorf("asleep for %v, %v", asleep, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- c.Run(ctx) }()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func BenchmarkNow(b *testing.B) {
	c := New()
	for b.Loop() {
		c.Now()
	}
}

func BenchmarkTimeNow(b *testing.B) {
	for b.Loop() {
		_ = time.Now()
	}
}

// What each look at CLOCK_BOOTTIME would cost.
func BenchmarkAsleep(b *testing.B) {
	for b.Loop() {
		_, _ = hostAsleep()
	}
}
