package wireguard

import (
	"net/netip"
	"testing"
	"time"

	"warren/tunnel"
	"warren/tunnel/wireguard/pathmtu"
	"warren/tunnel/wireguard/protocol"
)

func derivedEnds(local, peer tunnel.Identity) (own, far netip.Addr) {
	return tunnel.Addresses(local, peer, 0)
}

// endsOf are those of a session with keys.
func endsOf(k Keys) (names, pathmtu.Ends) {
	n := names{tunnel.Identity(k.PrivateKey.Public()), tunnel.Identity(k.PeerPublicKey)}
	own, far := derivedEnds(n.local, n.peer)
	return n, pathmtu.Ends{Local: own, Peer: far}
}

// The secret is replaced while the tunnel is up. An end that goes over to the addresses of the new one, as the other has, looks
// for what passes between these.
func TestEndsFollowTheKeys(t *testing.T) {
	const passes = 1300
	live := LinkConfig{Keepalive: 100 * time.Millisecond, DeadAfter: MaxDeadAfter, AddressesOf: derivedEnds}
	ca, cb := live, live
	ca.Name, ca.Keys, cb.Name, cb.Keys = "b", secretKeys(true, 0, 1), "a", secretKeys(false, 0, 1)
	b := startEnd(t, protocol.NewPrivateKey(), cb)
	path := newWire(t, b.addr("127.0.0.1"))
	ca.Remotes = []string{path.addr}
	a := startEnd(t, protocol.NewPrivateKey(), ca)
	a.next(true)
	b.next(true)
	a.setKeys(secretKeys(true, 1, 0)...)
	b.setKeys(secretKeys(false, 1, 0)...)
	a.waitKey("secret 1", 1)
	b.waitKey("secret 1", 1)
	_, before := endsOf(ca.Keys[0])
	if now := *a.l.flow.Ends.Load(); now != before {
		t.Errorf("the ends are %+v, want %+v until SetEnds", now, before)
	}
	path.longest.Store(protocol.Overhead + passes)
	for n, k := range map[*end]Keys{b: secretKeys(false, 1)[0], a: secretKeys(true, 1)[0]} {
		now, _ := endsOf(k)
		n.l.SetEnds(now.local, now.peer)
	}
	for _, n := range []*end{a, b} {
		waitFor(t, func() bool { return n.l.flow.Limit.Load() == passes }, func() any { return n.l.Status() })
	}
	a.quiet()
	b.quiet()
	a.stop()
	if _, now := endsOf(secretKeys(true, 1)[0]); *a.l.flow.Ends.Load() != now || a.l.probe.peer != now.Peer {
		t.Errorf("the ends are %+v, and %v is pinged; want %+v", *a.l.flow.Ends.Load(), a.l.probe.peer, now)
	}
	if ev := a.next(false); ev.Peer != tunnel.Identity(secretKeys(true, 1)[0].PeerPublicKey) {
		t.Errorf("%+v", ev)
	}
}

// The ends stay those of the session: what was said of another one comes too late.
func TestEndsOfAnotherSession(t *testing.T) {
	s := newStage(t, LinkConfig{Keepalive: time.Second, DeadAfter: 10 * time.Second, AddressesOf: derivedEnds}, time.Second)
	before, was := *s.l.flow.Ends.Load(), names{s.l.local, s.l.remote}
	for _, n := range []names{{was.local, tunnel.Identity{7}}, {tunnel.Identity{7}, was.peer}, was} {
		s.l.SetEnds(n.local, n.peer)
		s.pass(time.Second)
		if now := *s.l.flow.Ends.Load(); now != before || (names{s.l.local, s.l.remote}) != was {
			t.Errorf("%+v after SetEnds for %+v", now, n)
		}
	}
	s.expect()
}
