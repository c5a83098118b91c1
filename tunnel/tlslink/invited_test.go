package tlslink

import (
	"bytes"
	"fmt"
	"sync"
	"testing"
)

// A meeter is an end of an invitation with what a daemon around it does: it stores a secret, and then has the
// link use it. It may crash before or after it has stored one.
type meeter struct {
	*end
	as      Invited
	remotes []string

	steps   chan Meeting
	next    byte // of the secrets that it makes
	crashes map[string]bool

	mu   sync.Mutex
	disk []Secret // what it knows, the first is offered
}

// invitedEnd makes an end that knows an invitation.
func invitedEnd(t *testing.T, name string, id byte, as Invited) *meeter {
	g := &meeter{end: newEnd(t, Config{Identity: [32]byte{id}}, name), as: as, steps: make(chan Meeting, 64), crashes: map[string]bool{}, next: 100}
	g.cfg.Meetings = func(m Meeting) { g.steps <- m }
	g.disk = secretTrust(0).Secrets
	g.disk[0].Invited = as
	return g
}

func (g *meeter) stored() []Secret {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]Secret(nil), g.disk...)
}

// begin starts the link with what is stored, and lives until the test is over.
func (g *meeter) begin(remotes ...string) {
	g.remotes = remotes
	g.start(Trust{Secrets: g.stored()}, remotes...)
	done := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case m := <-g.steps:
				g.step(m)
			case <-done:
				return
			}
		}
	}()
	g.t.Cleanup(func() { close(done); <-ended })
}

// step does what a daemon does, with a crash if one is planned.
func (g *meeter) step(m Meeting) {
	point := fmt.Sprint(m.Kind)
	if g.crash("before " + point) {
		return
	}
	g.mu.Lock()
	invitation := g.disk[len(g.disk)-1]
	switch {
	case invitation.Invited == 0:
	case m.Kind == MeetingBegun && g.as == Inviting:
		g.next++
		g.disk = append(secretTrust(g.next).Secrets, invitation)
		g.disk[0].Name = ""
	case m.Kind == MeetingTold:
		g.disk = []Secret{{Key: m.Secret}, invitation}
	case m.Kind == MeetingOver && len(g.disk) == 2 && bytes.Equal(m.Secret, g.disk[0].Key):
		g.disk = g.disk[:1]
	}
	g.mu.Unlock()
	if !g.crash("after " + point) {
		if err := g.link.SetTrust(Trust{Secrets: g.stored()}); err != nil {
			g.t.Error(err)
		}
	}
}

// crash restarts the end with what is stored, if it is planned for this point: it says goodbye to nobody.
func (g *meeter) crash(point string) bool {
	if !g.crashes[point] {
		return false
	}
	delete(g.crashes, point)
	g.endpoint.mu.Lock()
	g.endpoint.instance[0]++ // as another process
	g.endpoint.mu.Unlock()
	g.stop(nil)
	<-g.link.done
	for len(g.steps) > 0 {
		<-g.steps
	}
	g.start(Trust{Secrets: g.stored()}, g.remotes...)
	return true
}

// met reports whether both have one secret, the same, which is not the invitation's.
func (g *meeter) met(o *meeter) bool {
	a, b := g.stored(), o.stored()
	return len(a) == 1 && len(b) == 1 && bytes.Equal(a[0].Key, b[0].Key) && a[0].Invited == 0
}

func (g *meeter) waitMet(o *meeter) {
	g.t.Helper()
	poll(g.t, func() bool { return g.met(o) }, func() string {
		return fmt.Sprintf("they have not met: %d secrets and %d; %+v, %+v", len(g.stored()), len(o.stored()), g.link.Status(), o.link.Status())
	})
}

// The two ends replace an invitation's secret while packets flow. A router that comes with it later is refused, and so is
// one whose daemon knows the invitation no more.
func TestMeeting(t *testing.T) {
	host, first, second := invitedEnd(t, "host", 1, Inviting), invitedEnd(t, "first", 2, Joined), invitedEnd(t, "second", 3, Joined)
	host.cfg.DeadAfter, first.cfg.DeadAfter = MaxDeadAfter, MaxDeadAfter
	host.begin()
	first.begin(host.addr())
	rotates(t, first.end, host.end, func() { host.waitMet(first) })
	second.begin(host.addr())
	second.waitError("this invitation was used by another router")
	if len(second.stored()) != 1 || second.stored()[0].Invited != Joined || len(host.seen()) != 1 {
		t.Errorf("the second router has %v, the inviting one had events %+v", second.stored(), host.seen())
	}
}

// Whenever one of the two crashes, before or after it has stored what a step is about, they come back and meet.
func TestMeetingSurvivesCrashes(t *testing.T) {
	for _, kind := range []MeetingKind{MeetingBegun, MeetingTold, MeetingOver} {
		for _, when := range []string{"before", "after"} {
			for _, who := range []string{"host", "first"} {
				if kind == MeetingBegun && who == "first" || kind == MeetingTold && who == "host" {
					continue
				}
				t.Run(fmt.Sprint(who, " ", when, " ", kind), func(t *testing.T) {
					t.Parallel()
					host, first := invitedEnd(t, "host", 1, Inviting), invitedEnd(t, "first", 2, Joined)
					for _, g := range []*meeter{host, first} {
						if g.cfg.Name == who {
							g.crashes[fmt.Sprint(when, " ", kind)] = true
						}
					}
					host.begin()
					first.begin(host.addr())
					host.waitMet(first)
				})
			}
		}
	}
}

// Two routers come with the same line at the same time: one is let in.
func TestMeetingOfTwo(t *testing.T) {
	host, first, second := invitedEnd(t, "host", 1, Inviting), invitedEnd(t, "first", 2, Joined), invitedEnd(t, "second", 3, Joined)
	host.begin()
	first.begin(host.addr())
	second.begin(host.addr())
	poll(t, func() bool { return host.met(first) || host.met(second) }, func() string { return "neither was let in" })
	in, out := first, second
	if host.met(second) {
		in, out = second, first
	}
	out.waitError("this invitation was used by another router")
	if host.met(out) || !host.met(in) {
		t.Error("both were let in")
	}
}

// A peer of a version that cannot learn a secret stays with the invitation's.
func TestMeetingWithAnOlderPeer(t *testing.T) {
	host, first := invitedEnd(t, "host", 1, Inviting), invitedEnd(t, "first", 2, Joined)
	first.endpoint.able &^= flagLearns
	host.begin()
	first.begin(host.addr())
	host.waitEvents(1)
	first.waitEvents(1)
	host.waitKey("secret 0", 1)
	if len(host.stored()) != 1 || host.stored()[0].Invited != Inviting {
		t.Errorf("stored %v", host.stored())
	}
}

// A secret that a peer tells where there is no invitation, or the invited end tells the inviting one, is nothing.
func TestSecretsThatNobodyAskedFor(t *testing.T) {
	host, first := invitedEnd(t, "host", 1, Inviting), invitedEnd(t, "first", 2, Joined)
	host.endpoint.able &^= flagLearns // so that the invitation stays
	first.endpoint.able &^= flagLearns
	host.begin()
	first.begin(host.addr())
	first.waitEvents(1)
	host.waitEvents(1)
	told := first.link.routes[0].Load()
	if err := told.send(encode(frameSecret, secretTrust(9).Secrets[0].Key)); err != nil {
		t.Fatal(err)
	}
	first.dev.queues[0] <- packet(100) // which comes behind it
	host.waitWritten(1)
	if len(host.stored()) != 1 || len(host.steps) != 0 || len(host.seen()) != 1 {
		t.Errorf("stored %v, steps %d, events %v", host.stored(), len(host.steps), host.seen())
	}
}
