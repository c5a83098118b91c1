package protocol

import (
	"bytes"
	"net/netip"
	"testing"
	"time"
)

// trio is a router, b, and two machines that both have the key of its peer.
type trio struct {
	*network
	ends  []*end // the two
	moves int    // of the peer, as b has it
	last  netip.AddrPort
}

func newTrio(t *testing.T) *trio {
	n := newNetwork(t, keepalive(time.Second))
	c := newEnd(t, n.a.m.me.private, PeerConfig{PublicKey: n.b.m.PublicKey(), Endpoint: addrB, Keepalive: time.Second}, elsewhere)
	return &trio{network: n, ends: []*end{n.a, c}}
}

// toB and fromB carry a datagram and what answers it.
func (n *trio) toB(from *end, msg []byte) {
	r := n.b.m.Receive(n.now, from.addr, bytes.Clone(msg))
	if at := n.b.p.Status(n.now).Endpoint; at != n.last {
		n.last = at
		n.moves++
	}
	if r.Reply != nil {
		n.fromB(from.addr, r.Reply)
	}
}

func (n *trio) fromB(to netip.AddrPort, msg []byte) {
	for _, e := range n.ends {
		if e.addr == to {
			if r := e.m.Receive(n.now, addrB, bytes.Clone(msg)); r.Reply != nil {
				n.toB(e, r.Reply)
			}
		}
	}
}

// live lets time go by. The two begin a handshake when they hear nothing for two seconds,
// as a tunnel does.
func (n *trio) live(d time.Duration) {
	for until := n.now.Add(d); n.now.Before(until); n.now = n.now.Add(50 * time.Millisecond) {
		for _, e := range n.ends {
			if s := e.p.Status(n.now); n.now.Sub(s.Spoke) > 2*time.Second && !s.Trying {
				e.p.Initiate(n.now)
			}
			for _, msg := range e.p.Tick(n.now) {
				n.toB(e, msg)
			}
		}
		for _, msg := range n.b.p.Tick(n.now) {
			n.fromB(n.b.p.Status(n.now).Endpoint, msg)
		}
	}
}

// Two machines with one key do not take the tunnel from each other for ever. One keeps it,
// the other is named, and gets the tunnel when the one is gone.
func TestTwoMachinesWithOneKey(t *testing.T) {
	n := newTrio(t)
	n.live(time.Minute)
	s := n.b.p.Status(n.now)
	if !s.Twin.IsValid() || s.Twin == s.Endpoint || s.Endpoint != addrA && s.Endpoint != elsewhere {
		t.Fatalf("after a minute: %+v, %d moves", s, n.moves)
	}
	if n.moves > 12 {
		t.Errorf("the peer moved %d times in a minute", n.moves)
	}
	before := n.moves
	n.live(10 * time.Minute)
	if n.moves != before {
		t.Errorf("it moved %d times more", n.moves-before)
	}
	s = n.b.p.Status(n.now)
	if n.now.Sub(s.Spoke) > 2*time.Second || n.now.Sub(s.TwinHeard) > 10*time.Second {
		t.Errorf("after ten minutes more: %+v", s)
	}

	winner := 0
	if s.Endpoint == n.ends[1].addr {
		winner = 1
	}
	n.ends = []*end{n.ends[1-winner]}
	n.live(20 * time.Second)
	if s := n.b.p.Status(n.now); s.Endpoint != n.ends[0].addr || n.now.Sub(s.Spoke) > 2*time.Second || s.Twin.IsValid() {
		t.Errorf("the other does not get the tunnel: %+v", s)
	}
}

// What still comes in the session before the one that is in use does not move the peer.
func TestOldSessionDoesNotMoveThePeer(t *testing.T) {
	n := newNetwork(t)
	n.handshake(n.a)
	n.exchange(1)
	old := n.mustSeal(n.a, packet(100, 2))
	n.pass(rekeyTimeout)
	n.handshake(n.a)
	n.exchange(3)
	n.b.packets = nil
	if err := n.deliver(n.b, elsewhere, old); err != nil || len(n.b.packets) != 1 {
		t.Errorf("a packet that was on its way: %v", err)
	}
	if got := n.b.p.Status(n.now).Endpoint; got != addrA {
		t.Errorf("it moved the peer to %v", got)
	}
	if err := n.deliver(n.b, elsewhere, n.mustSeal(n.a, packet(100, 4))); err != nil || n.b.p.Status(n.now).Endpoint != elsewhere {
		t.Errorf("one of the session in use does not: %v", err)
	}
}
