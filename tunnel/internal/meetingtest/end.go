// Package meetingtest plays the daemons around the two ends of an invitation, for the tests of each transport.
package meetingtest

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"warren/tunnel"
)

// Patience is how long the ends have to meet, on a machine that is busy.
const Patience = 40 * time.Second

// Secret is one that an end has on its disk. The one that is offered is the first.
type Secret struct {
	Key     []byte
	Invited tunnel.Invited
}

// Link is an end's link as a transport has it.
type Link interface {
	Start(secrets []Secret, meets func(tunnel.Meeting)) // as another process than the one before
	Crash()                                             // says goodbye to nobody
	Know(secrets []Secret) error                        // from now on
	Says() string                                       // its status, for a test that fails
}

// End is an end of an invitation with what a daemon around it does: it stores a secret, and then has the
// link use it. It may crash before or after it has stored one.
type End struct {
	Link Link
	Name string

	t     *testing.T
	as    tunnel.Invited
	steps chan tunnel.Meeting
	given atomic.Int64 // steps so far
	next  byte         // of the secrets that it makes

	mu      sync.Mutex
	disk    []Secret
	crashes map[string]bool // that are still to come
}

// New makes an end that knows an invitation.
func New(t *testing.T, name string, as tunnel.Invited, l Link) *End {
	return &End{
		Link: l, Name: name, t: t, as: as, steps: make(chan tunnel.Meeting, 64), next: 100, crashes: map[string]bool{},
		disk: []Secret{{secret(0), as}},
	}
}

// secret is one of all that differ.
func secret(b byte) []byte {
	s := make([]byte, 32)
	for i := range s {
		s[i] = byte(i) ^ b
	}
	return s
}

// Stored returns what is on the disk.
func (e *End) Stored() []Secret {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]Secret(nil), e.disk...)
}

// Steps returns how many steps the end was given so far, whatever became of them.
func (e *End) Steps() int { return int(e.given.Load()) }

func (e *End) start() {
	e.Link.Start(e.Stored(), func(m tunnel.Meeting) {
		e.given.Add(1)
		e.steps <- m
	})
}

// Begin starts the link with what is stored, and lives until the test is over.
func (e *End) Begin() {
	e.start()
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case m := <-e.steps:
				e.step(m)
			case <-done:
				return
			}
		}
	}()
	e.t.Cleanup(func() { close(done); <-ended })
}

// step does what a daemon does, with a crash if one is planned.
func (e *End) step(m tunnel.Meeting) {
	point := fmt.Sprint(m.Kind)
	if e.crash("before " + point) {
		return
	}
	e.store(m)
	if !e.crash("after " + point) {
		if err := e.Link.Know(e.Stored()); err != nil {
			e.t.Error(err)
		}
	}
}

func (e *End) store(m tunnel.Meeting) {
	e.mu.Lock()
	defer e.mu.Unlock()
	invitation := e.disk[len(e.disk)-1]
	switch {
	case invitation.Invited != tunnel.Inviting && invitation.Invited != tunnel.Joined:
	case m.Kind == tunnel.MeetingBegun && e.as == tunnel.Inviting:
		e.next++
		e.disk = []Secret{{Key: secret(e.next)}, invitation}
	case m.Kind == tunnel.MeetingTold && e.as == tunnel.Joined:
		e.disk = []Secret{{Key: bytes.Clone(m.Secret)}, invitation}
	case m.Kind == tunnel.MeetingOver && len(e.disk) == 2 && bytes.Equal(m.Secret, e.disk[0].Key):
		if e.disk = e.disk[:1]; e.as == tunnel.Inviting {
			e.disk = append(e.disk, Secret{invitation.Key, tunnel.Used})
		}
	}
}

// crash restarts the end with what is stored, if it is planned for this point.
func (e *End) crash(point string) bool {
	e.mu.Lock()
	planned := e.crashes[point]
	delete(e.crashes, point)
	e.mu.Unlock()
	if !planned {
		return false
	}
	e.Link.Crash()
	for len(e.steps) > 0 {
		<-e.steps
	}
	e.start()
	return true
}

// own are the secrets without one of an invitation that was used.
func (e *End) own() (all []Secret) {
	for _, s := range e.Stored() {
		if s.Invited != tunnel.Used {
			all = append(all, s)
		}
	}
	return all
}

// Met reports whether both have one secret, the same, which is not the invitation's.
func (e *End) Met(o *End) bool {
	a, b := e.own(), o.own()
	return len(a) == 1 && len(b) == 1 && bytes.Equal(a[0].Key, b[0].Key) && a[0].Invited == 0
}

// crashed reports whether all crashes that were planned are over.
func (e *End) crashed() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.crashes) == 0
}

// WaitMet waits until the end has met another, and has crashed as planned before that.
func (e *End) WaitMet(others ...*End) (with *End) {
	e.t.Helper()
	for deadline := time.Now().Add(Patience); ; time.Sleep(2 * time.Millisecond) {
		for _, o := range others {
			if e.crashed() && o.crashed() && e.Met(o) {
				return o
			}
		}
		if time.Now().After(deadline) {
			e.t.Fatalf("they have not met: %d secrets and %d; %s, %s", len(e.own()), len(others[0].own()), e.Link.Says(), others[0].Link.Says())
		}
	}
}

// WaitRefused waits until the end says that its invitation is another router's.
func (e *End) WaitRefused() {
	e.t.Helper()
	const text = "this invitation was used by another router"
	for deadline := time.Now().Add(Patience); !strings.Contains(e.Link.Says(), text); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			e.t.Fatalf("%s is not refused: %s", e.Name, e.Link.Says())
		}
	}
}

// OfTwo has two routers come with the same line at the same time: one is let in.
func OfTwo(t *testing.T, host, first, second *End) {
	t.Helper()
	for _, e := range []*End{host, first, second} {
		e.Begin()
	}
	in, out := first, second
	if host.WaitMet(first, second) == second {
		in, out = second, first
	}
	out.WaitRefused()
	if host.Met(out) || !host.Met(in) {
		t.Error("both were let in")
	}
}

// Late has a router come with a line that another has used: it is refused, and has stored nothing.
func Late(t *testing.T, late *End) {
	t.Helper()
	late.Begin()
	late.WaitRefused()
	if stored := late.Stored(); len(stored) != 1 || stored[0].Invited != tunnel.Joined {
		t.Errorf("%s has %v", late.Name, stored)
	}
}

// Crashes has one of two ends crash before and after it has stored what a step is about, for each step that it takes part in. They come back
// and meet. pair makes the ends, of which the first is the inviting one.
func Crashes(t *testing.T, pair func(t *testing.T) (host, joining *End)) {
	for _, kind := range []tunnel.MeetingKind{tunnel.MeetingBegun, tunnel.MeetingTold, tunnel.MeetingOver} {
		for _, when := range []string{"before", "after"} {
			for _, as := range []tunnel.Invited{tunnel.Inviting, tunnel.Joined} {
				if kind == tunnel.MeetingBegun && as == tunnel.Joined || kind == tunnel.MeetingTold && as == tunnel.Inviting {
					continue
				}
				t.Run(fmt.Sprintf("%d %s %d", as, when, kind), func(t *testing.T) {
					t.Parallel()
					host, joining := pair(t)
					for _, e := range []*End{host, joining} {
						if e.as == as {
							e.crashes[fmt.Sprint(when, " ", kind)] = true
						}
					}
					host.Begin()
					joining.Begin()
					host.WaitMet(joining)
				})
			}
		}
	}
}
