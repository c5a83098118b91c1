package protocol

import (
	"bytes"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// servers are two machines with one key, the ends b and c, of which a knows the places.
type servers struct {
	*network
	c    *end
	deaf map[netip.AddrPort]bool // nothing gets there
}

func newServers(t *testing.T, options ...option) *servers {
	n := newNetwork(t, options...)
	c := newEnd(t, n.b.m.me.private, PeerConfig{PublicKey: n.a.m.PublicKey()}, elsewhere)
	n.a.p.SetPlaces([]netip.AddrPort{addrB, elsewhere})
	return &servers{network: n, c: c, deaf: make(map[netip.AddrPort]bool)}
}

// toServer carries a datagram of a, and the answer.
func (n *servers) toServer(to netip.AddrPort, msg []byte) {
	if n.deaf[to] {
		return
	}
	for _, e := range []*end{n.b, n.c} {
		if e.addr == to {
			if r := e.m.Receive(n.now, addrA, bytes.Clone(msg)); r.Reply != nil {
				n.toClient(e, r.Reply)
			} else if r.Packet != nil {
				e.packets = append(e.packets, r.Packet)
			}
		}
	}
}

func (n *servers) toClient(from *end, msg []byte) error {
	r := n.a.m.Receive(n.now, from.addr, bytes.Clone(msg))
	if r.Reply != nil {
		n.toServer(from.addr, r.Reply)
	}
	return r.Err
}

// tick has a send what is due.
func (n *servers) tick() {
	for _, msg := range n.a.p.Tick(n.now) {
		n.toServer(n.a.p.Status(n.now).Endpoint, msg)
	}
	for _, msg := range n.a.p.Tick(n.now) { // what confirms the session
		n.toServer(n.a.p.Status(n.now).Endpoint, msg)
	}
}

// begins has a server begin a handshake. The error is the client's.
func (n *servers) begins(e *end) (err error) {
	e.p.SetEndpoint(addrA)
	e.p.Initiate(n.now)
	sent := e.p.Tick(n.now)
	if len(sent) == 0 {
		n.t.Error("no handshake is begun")
	}
	for _, msg := range sent {
		err = errors.Join(err, n.toClient(e, msg))
	}
	return err
}

// A place that gives no answer is left for another at once, whatever the protocol's pace at one.
func TestTryAtDoesNotWait(t *testing.T) {
	n := newServers(t)
	n.deaf[addrB] = true
	n.a.p.TryAt(n.now, addrB)
	n.tick()
	n.now = n.now.Add(100 * time.Millisecond)
	n.a.p.TryAt(n.now, elsewhere)
	n.tick()
	if s := n.a.p.Status(n.now); !s.Established || s.Endpoint != elsewhere || s.Trying {
		t.Errorf("%+v", s)
	}
	if !n.c.p.Status(n.now).Established {
		t.Error("the other end has no session")
	}
}

// A server that does not hear this end and goes on with handshakes does not draw it back.
func TestDeafServerDoesNotDrawBack(t *testing.T) {
	n := newServers(t)
	n.a.p.TryAt(n.now, addrB)
	n.tick()
	n.deaf[addrB] = true
	n.a.p.TryAt(n.now, elsewhere) // tried, no answer yet
	n.a.p.Tick(n.now)
	n.now = n.now.Add(6 * time.Second)
	n.begins(n.b)
	if s := n.a.p.Status(n.now); s.Endpoint != elsewhere {
		t.Errorf("while the next is tried: %+v", s)
	}
	n.a.p.TryAt(n.now, elsewhere)
	n.tick()
	n.now = n.now.Add(6 * time.Second)
	n.begins(n.b)
	if s := n.a.p.Status(n.now); s.Endpoint != elsewhere || !s.Established {
		t.Errorf("while the next is used: %+v", s)
	}
}

// While the peer is looked for at one place alone, machines at the others do not draw it there, whether it has a session or not.
func TestOnlyOnePlace(t *testing.T) {
	n := newServers(t)
	n.a.p.SetOnly([]netip.AddrPort{elsewhere})
	n.a.p.TryAt(n.now, elsewhere) // no answer
	n.deaf[elsewhere] = true
	n.tick()
	n.begins(n.b)
	if s := n.a.p.Status(n.now); s.Endpoint != elsewhere || s.Established || n.b.p.Status(n.now).Established {
		t.Errorf("%+v", s)
	}
	n.now, n.deaf[elsewhere] = n.now.Add(6*time.Second), false
	n.begins(n.c)
	if s := n.a.p.Status(n.now); s.Endpoint != elsewhere || !n.c.p.Status(n.now).Established {
		t.Errorf("that place is not answered: %+v", s)
	}
	n.a.p.SetOnly(nil)
	n.now = n.now.Add(6 * time.Second)
	n.begins(n.b)
	if !n.b.p.Status(n.now).Established {
		t.Error("not answered, though it may be anywhere")
	}
}

// A machine with several addresses that was restarted may begin with one where it never was: it is answered when nothing comes any more
// from where it was, which takes two keepalives if these are long.
func TestPlaceThatWasNotLeft(t *testing.T) {
	for _, tc := range []struct{ keepalive, silence time.Duration }{{0, rekeyTimeout}, {time.Second, rekeyTimeout}, {10 * time.Second, 20 * time.Second}} {
		n := newServers(t, keepalive(tc.keepalive))
		n.a.p.TryAt(n.now, elsewhere)
		n.tick()
		n.now = n.now.Add(tc.silence - time.Millisecond)
		if err := n.begins(n.b); !errors.Is(err, errLeft) {
			t.Errorf("%v: while the peer may be where it was: %v", tc.keepalive, err)
		}
		n.now = n.now.Add(2 * rekeyTimeout)
		if err := n.begins(n.b); err != nil {
			t.Errorf("%v: nothing was heard there: %v", tc.keepalive, err)
		}
		for _, msg := range n.b.p.Tick(n.now) { // it has got the answer
			n.toClient(n.b, msg)
		}
		if s := n.a.p.Status(n.now); s.Endpoint != addrB {
			t.Errorf("%v: %+v", tc.keepalive, s)
		}
	}
}

// A server whose session is of an earlier Peer, as the tunnel was made again, does not draw the peer back from where it is
// now, though that was never left. There may be any number of servers, each of which would draw it from the next.
func TestServerOfEarlierPeer(t *testing.T) {
	n := newServers(t)
	n.a.p.TryAt(n.now, addrB)
	n.tick()
	n.now = n.now.Add(6 * time.Second)
	n.a.m.RemovePeer(n.a.p)
	p, err := n.a.m.AddPeer(PeerConfig{PublicKey: n.b.m.PublicKey()})
	if err != nil {
		t.Fatal(err)
	}
	n.a.p = p
	p.SetPlaces([]netip.AddrPort{addrB, elsewhere})
	p.TryAt(n.now, elsewhere)
	n.tick()
	for range 9 {
		n.now = n.now.Add(2 * rekeyTimeout)
		n.toClient(n.c, n.mustSeal(n.c, packet(100, 1)))
		if err := n.begins(n.b); !errors.Is(err, errLeft) {
			t.Fatalf("answered: %v", err)
		}
		if s := p.Status(n.now); s.Endpoint != elsewhere {
			t.Fatalf("%+v", s)
		}
	}
}

// What was left for another place keeps sending, and begins handshakes: neither moves the peer, nor
// says that it lives.
func TestServerThatWasLeft(t *testing.T) {
	n := newServers(t)
	n.a.p.TryAt(n.now, addrB)
	n.tick()
	n.now = n.now.Add(6 * time.Second)
	sealed := n.mustSeal(n.b, packet(100, 1))
	n.a.p.TryAt(n.now, elsewhere)
	n.tick()
	spoke := n.a.p.Status(n.now).Spoke
	n.now = n.now.Add(time.Second)
	if err := n.toClient(n.b, sealed); err != nil {
		t.Errorf("what was on its way: %v", err)
	}
	n.b.p.SetEndpoint(addrA)
	n.b.p.Initiate(n.now)
	for _, msg := range n.b.p.Tick(n.now) {
		if err := n.toClient(n.b, msg); !errors.Is(err, errLeft) {
			t.Errorf("a handshake of what was left: %v", err)
		}
	}
	if s := n.a.p.Status(n.now); s.Endpoint != elsewhere || s.Spoke != spoke {
		t.Errorf("%+v", s)
	}
	n.now = n.now.Add(2 * rekeyTimeout) // the other is silent
	n.b.p.Initiate(n.now)
	for _, msg := range n.b.p.Tick(n.now) {
		if err := n.toClient(n.b, msg); err != nil {
			t.Errorf("though the other is silent: %v", err)
		}
	}
}

// A question changes nothing but for what is known. Taking its answer moves the peer, and what is
// on its way in the session before arrives.
func TestAsk(t *testing.T) {
	n := newServers(t)
	n.a.p.TryAt(n.now, elsewhere)
	n.tick()
	if n.a.p.Ask(n.now, false) != nil {
		t.Error("a question while the session is not in use at the other end")
	}
	n.toClient(n.c, n.mustSeal(n.c, packet(100, 0)))
	n.toClient(n.c, n.mustSeal(n.c, packet(100, 0)))
	before := n.a.p.Status(n.now)
	n.deaf[addrB] = true
	n.toServer(addrB, n.a.p.Ask(n.now, false))
	if s := n.a.p.Status(n.now); !s.Replied.IsZero() {
		t.Errorf("without an answer: %+v", s)
	}
	n.deaf[addrB] = false
	n.now = n.now.Add(time.Second)
	n.toServer(addrB, n.a.p.Ask(n.now, false))
	s := n.a.p.Status(n.now)
	if s.Replied != n.now || s.Endpoint != elsewhere || s.Since != before.Since || s.Spoke != before.Spoke {
		t.Errorf("%+v", s)
	}
	late := n.mustSeal(n.c, packet(100, 1))
	n.now = n.now.Add(time.Second)
	n.toServer(addrB, n.a.p.Ask(n.now, true))
	s = n.a.p.Status(n.now)
	if s.Endpoint != addrB || s.Since != n.now || !s.Established {
		t.Errorf("taken: %+v", s)
	}
	if err := n.toClient(n.c, late); err != nil {
		t.Errorf("what was on its way: %v", err)
	}
	n.tick()
	if !n.b.p.Status(n.now).Established || len(n.a.m.slots) != 2 {
		t.Errorf("%+v, %d indices", n.b.p.Status(n.now), len(n.a.m.slots))
	}
}

// The answer to a question that was asked with keys which are the peer's no more makes no session.
func TestAskWithRemovedKeys(t *testing.T) {
	n := newServers(t)
	n.a.p.TryAt(n.now, elsewhere)
	n.tick()
	n.toClient(n.c, n.mustSeal(n.c, packet(100, 0)))
	n.toClient(n.c, n.mustSeal(n.c, packet(100, 0)))
	asked := n.a.p.Ask(n.now, true)
	if asked == nil {
		t.Fatal("nothing is asked")
	}
	others := slices.Clone(n.a.p.keys)
	for i := range others {
		others[i].PresharedKey = [32]byte{1}
	}
	if _, err := n.a.p.SetKeys(n.now, others); err != nil {
		t.Fatal(err)
	}
	answer := n.b.m.Receive(n.now, addrA, bytes.Clone(asked)).Reply
	if answer == nil {
		t.Fatal("nothing is answered")
	}
	if err := n.toClient(n.b, answer); !errors.Is(err, errIndex) {
		t.Errorf("the answer is taken: %v", err)
	}
	if s := n.a.p.Status(n.now); s.Endpoint == addrB {
		t.Errorf("%+v", s)
	}
}

// A machine that was asked, and whose session is not used, begins handshakes because of its keepalive. It
// does not draw the peer there while the peer is heard where it is, and is answered when it is not.
func TestMachineThatWasAsked(t *testing.T) {
	n := newServers(t)
	n.a.p.TryAt(n.now, elsewhere)
	n.tick()
	n.toClient(n.c, n.mustSeal(n.c, packet(100, 0)))
	n.toClient(n.c, n.mustSeal(n.c, packet(100, 0)))
	n.toServer(addrB, n.a.p.Ask(n.now, false))
	if s := n.a.p.Status(n.now); s.Replied != n.now {
		t.Fatalf("it did not answer: %+v", s)
	}
	begin := func() (err error) {
		n.b.p.SetEndpoint(addrA)
		n.b.p.Initiate(n.now)
		for _, msg := range n.b.p.Tick(n.now) {
			err = errors.Join(err, n.toClient(n.b, msg))
		}
		return err
	}
	n.now = n.now.Add(time.Second)
	if err := begin(); !errors.Is(err, errLeft) {
		t.Errorf("while the peer is heard elsewhere: %v", err)
	}
	if s := n.a.p.Status(n.now); s.Endpoint != elsewhere || s.TwinHeard != (time.Time{}) {
		t.Errorf("%+v", s)
	}
	n.now = n.now.Add(2 * rekeyTimeout) // nothing comes from elsewhere
	if err := begin(); err != nil {
		t.Errorf("though the peer is silent: %v", err)
	}
}
