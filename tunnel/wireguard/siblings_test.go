package wireguard

import (
	"context"
	"slices"
	"testing"
	"time"

	"warren/tunnel/wireguard/flow/flowtest"
	"warren/tunnel/wireguard/protocol"
)

// newLines returns two links to one peer, each of them with a line of its own.
func newLines(t *testing.T) lines {
	t.Helper()
	c := LinkConfig{Peer: "far", Remotes: []string{farAddr.String()}, Keepalive: 20 * time.Millisecond, DeadAfter: 50 * time.Millisecond}
	s := lines{newStage(t, c, c.Keepalive), newStage(t, c, c.Keepalive)}
	s[0].pass(s[1].now.Sub(s[0].now))
	s[0].pass(c.Keepalive / 2) // so that keepalives do not go at the same time
	s[1].now = s[0].now
	s[0].l.e.siblings.add(s[1].l)
	s[1].l.e.siblings.add(s[0].l)
	s.pass(time.Second)
	s.expectUp(true, true)
	return s
}

type lines [2]*stage

func (s lines) pass(d time.Duration) {
	for until := s[0].now.Add(d); s[0].now.Before(until); {
		for _, x := range s {
			x.pass(time.Millisecond)
		}
	}
}

func (s lines) cut(first, second bool) { s[0].cut, s[1].cut = first, second }

func (s lines) expectUp(want ...bool) {
	s[0].t.Helper()
	for i, x := range s {
		if x.l.isUp() != want[i] {
			x.t.Errorf("at %v line %d is up: %v", x.now.Sub(x.start), i, x.l.isUp())
		}
	}
}

// TestPeerThatStandsStill: a peer that is silent for a moment by both lines keeps both, as it is its process that is silent.
func TestPeerThatStandsStill(t *testing.T) {
	s := newLines(t)
	for range 20 {
		s.cut(true, true)
		s.pass(165 * time.Millisecond)
		s.expectUp(true, true)
		s.cut(false, false)
		s.pass(73 * time.Millisecond)
	}
	for _, x := range s {
		if len(x.events) > 1 {
			t.Errorf("events %q", x.events)
		}
	}
	s.cut(true, true)
	s.pass(300 * time.Millisecond)
	s.expectUp(false, false)
}

// TestLineThatIsCut: by the peer's other line it is known at once that this one is dead, and without another that works it is too.
func TestLineThatIsCut(t *testing.T) {
	for phase := range 20 {
		s := newLines(t)
		s.pass(time.Duration(phase) * time.Millisecond)
		s.cut(true, false)
		s.pass(55 * time.Millisecond)
		s.expectUp(false, true)
		s.pass(time.Second)
		s.cut(true, true)
		s.pass(55 * time.Millisecond)
		s.expectUp(false, false)
	}
}

// TestSiblingsLeave: a link that is gone says nothing of the others.
func TestSiblingsLeave(t *testing.T) {
	s := newLines(t)
	s[0].l.e.siblings.remove(s[1].l)
	s.cut(true, true)
	s.pass(55 * time.Millisecond)
	s.expectUp(false, true)
}

// TestSiblings: links are siblings from when they are added until they end, if they say that their peer is the same.
func TestSiblings(t *testing.T) {
	e := NewEndpoint(Config{PrivateKey: protocol.NewPrivateKey()})
	add := func(peer string) *Link {
		t.Helper()
		l, err := e.AddLink(LinkConfig{Peer: peer, PublicKey: protocol.NewPrivateKey().Public(), Device: flowtest.NewDevice("x")})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for range 2 { // those of the first time are gone
		a, other, alone, b := add("a"), add("b"), add(""), add("a")
		if got := e.siblings.of(a); !slices.Equal(got, []*Link{a, b}) {
			t.Errorf("%d siblings of two", len(got))
		}
		if got := e.siblings.of(alone); len(got) > 0 {
			t.Errorf("%d siblings of one that says of no peer", len(got))
		}
		for _, l := range []*Link{a, other, alone, b} {
			if err := l.Run(ended); err != nil {
				t.Error(err)
			}
		}
		if len(e.siblings.byPeer) > 0 {
			t.Error("links stay that have ended")
		}
	}
}
