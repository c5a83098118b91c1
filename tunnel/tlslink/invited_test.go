package tlslink

import (
	"fmt"
	"testing"

	"warren/tunnel"
	"warren/tunnel/internal/meetingtest"
)

// meeter is an end of an invitation, with the link that it plays the daemon around.
type meeter struct {
	*end
	*meetingtest.End
	remotes []string
}

// invitedEnd makes an end that knows an invitation.
func invitedEnd(t *testing.T, name string, id byte, as tunnel.Invited, remotes ...string) *meeter {
	g := &meeter{end: newEnd(t, Config{Identity: [32]byte{id}}, name), remotes: remotes}
	g.End = meetingtest.New(t, name, as, (*meetingLink)(g))
	return g
}

// meetingLink is the link of a meeter.
type meetingLink meeter

func trustOf(secrets []meetingtest.Secret) (trust Trust) {
	for _, s := range secrets {
		own := Secret{Key: s.Key, Invited: s.Invited}
		switch s.Invited {
		case tunnel.Used: // who comes with it is a stranger
			continue
		case tunnel.Inviting, tunnel.Joined:
			own.Name = "secret 0"
		}
		trust.Secrets = append(trust.Secrets, own)
	}
	return trust
}

func (g *meetingLink) Start(secrets []meetingtest.Secret, meets func(tunnel.Meeting)) {
	g.cfg.Meetings = meets
	g.start(trustOf(secrets), g.remotes...)
}

func (g *meetingLink) Crash() {
	g.stop(nil)
	<-g.link.done            // whose hellos have the instance
	g.endpoint.instance[0]++ // as another process
}

func (g *meetingLink) Know(secrets []meetingtest.Secret) error {
	return g.link.SetTrust(trustOf(secrets))
}

func (g *meetingLink) Says() string { return fmt.Sprintf("%+v", g.link.Status()) }

// The two ends replace an invitation's secret while packets flow. A router that comes with it later is refused, and so is
// one whose daemon knows the invitation no more.
func TestMeeting(t *testing.T) {
	host := invitedEnd(t, "host", 1, tunnel.Inviting)
	first, second := invitedEnd(t, "first", 2, tunnel.Joined, host.addr()), invitedEnd(t, "second", 3, tunnel.Joined, host.addr())
	host.Begin()
	first.Begin()
	rotates(t, first.end, host.end, func() { host.WaitMet(first.End) })
	meetingtest.Late(t, second.End)
	if len(host.seen()) != 1 {
		t.Errorf("the inviting router had events %+v", host.seen())
	}
}

// Whenever one of the two crashes, before or after it has stored what a step is about, they come back and meet.
func TestMeetingSurvivesCrashes(t *testing.T) {
	meetingtest.Crashes(t, func(t *testing.T) (host, joining *meetingtest.End) {
		a := invitedEnd(t, "host", 1, tunnel.Inviting)
		return a.End, invitedEnd(t, "first", 2, tunnel.Joined, a.addr()).End
	})
}

// Two routers come with the same line at the same time: one is let in.
func TestMeetingOfTwo(t *testing.T) {
	host := invitedEnd(t, "host", 1, tunnel.Inviting)
	first, second := invitedEnd(t, "first", 2, tunnel.Joined, host.addr()), invitedEnd(t, "second", 3, tunnel.Joined, host.addr())
	meetingtest.OfTwo(t, host.End, first.End, second.End)
}

// A peer of a version that cannot learn a secret stays with the invitation's.
func TestMeetingWithAnOlderPeer(t *testing.T) {
	host := invitedEnd(t, "host", 1, tunnel.Inviting)
	first := invitedEnd(t, "first", 2, tunnel.Joined, host.addr())
	first.endpoint.able &^= flagLearns
	host.Begin()
	first.Begin()
	host.waitEvents(1)
	first.waitEvents(1)
	host.waitKey("secret 0", 1)
	if stored := host.Stored(); len(stored) != 1 || stored[0].Invited != tunnel.Inviting {
		t.Errorf("stored %v", stored)
	}
}

// A secret that a peer tells where there is no invitation, or the invited end tells the inviting one, is nothing.
func TestSecretsThatNobodyAskedFor(t *testing.T) {
	host := invitedEnd(t, "host", 1, tunnel.Inviting)
	first := invitedEnd(t, "first", 2, tunnel.Joined, host.addr())
	host.endpoint.able &^= flagLearns // so that the invitation stays
	first.endpoint.able &^= flagLearns
	host.Begin()
	first.Begin()
	first.waitEvents(1)
	host.waitEvents(1)
	told := first.link.routes[0].Load()
	if err := told.send(encode(frameSecret, secretTrust(9).Secrets[0].Key)); err != nil {
		t.Fatal(err)
	}
	first.dev.queues[0] <- packet(100) // which comes behind it
	host.waitWritten(1)
	if stored := host.Stored(); len(stored) != 1 || host.Steps() != 0 || len(host.seen()) != 1 {
		t.Errorf("stored %v, steps %d, events %v", stored, host.Steps(), host.seen())
	}
}

// A peer that tells one secret after the other has one of them written to the disk.
func TestManySecrets(t *testing.T) {
	host := invitedEnd(t, "host", 1, tunnel.Inviting)
	first := invitedEnd(t, "first", 2, tunnel.Joined, host.addr())
	host.endpoint.able &^= flagLearns // so that it does not tell its own
	first.endpoint.able &^= flagLearns
	host.Begin()
	first.Begin()
	first.waitEvents(1)
	host.waitEvents(1)
	says := host.link.routes[0].Load()
	for i := range 50 {
		if err := says.send(encode(frameSecret, secretTrust(byte(10 + i)).Secrets[0].Key)); err != nil {
			t.Fatal(err)
		}
	}
	host.dev.queues[0] <- packet(100) // which comes behind them
	first.waitWritten(1)
	if n := first.Steps(); n != 1 {
		t.Errorf("%d steps of 50 secrets", n)
	}
}
