package wireguard

import (
	"net/netip"
	"testing"
	"time"
)

// fakePaths are ways that a test takes away.
type fakePaths struct {
	mtu     int // of all routes; 0: none is told
	told    func(mtu int)
	follows map[netip.Addr]func(lost bool, why string) // by local address
}

func (p *fakePaths) Follow(local, _ netip.AddrPort, changed func(lost bool, why string)) (stop func()) {
	if p.follows == nil {
		p.follows = make(map[netip.Addr]func(bool, string))
	}
	p.follows[local.Addr()] = changed
	return func() { delete(p.follows, local.Addr()) }
}

func (p *fakePaths) FollowMTU(_ netip.AddrPort, told func(mtu int)) (stop func()) {
	if p.told = told; p.mtu > 0 {
		told(p.mtu)
	}
	return func() {}
}

// wayStage has a session with a peer that sends keepalives; nothing but ways ends it soon.
func wayStage(t *testing.T) (*stage, *fakePaths) {
	p := &fakePaths{}
	s := newStage(t, LinkConfig{Remotes: []string{farAddr.String()}, Keepalive: 2 * time.Second, DeadAfter: time.Minute, Paths: p}, 2*time.Second)
	s.at(10 * time.Second)
	if len(p.follows) != 1 {
		t.Fatalf("%d ways are followed", len(p.follows))
	}
	return s, p
}

// Without any way to the peer the tunnel is down at once, and stays down until the peer was
// heard by another way.
func TestNoWay(t *testing.T) {
	s, p := wayStage(t)
	s.cut = true
	p.follows[netip.Addr{}](true, "interface eth0 is down")
	s.pass(0)
	s.expect("10s down: interface eth0 is down")
	s.at(30 * time.Second)
	p.follows[netip.Addr{}](false, "by interface eth1 again")
	s.at(40 * time.Second)
	s.expect() // though the session is good, nothing has come
	s.cut = false
	s.at(50 * time.Second)
	if len(s.events) != 1 || s.events[0][len(s.events[0])-3:] != " up" {
		t.Errorf("events %q", s.events)
	}
}

// A way that is there again at once has the tunnel up with the peer's next word.
func TestWayIsBack(t *testing.T) {
	s, p := wayStage(t)
	p.follows[netip.Addr{}](true, "interface eth0 is down")
	s.pass(0)
	s.expect("10s down: interface eth0 is down")
	p.follows[netip.Addr{}](false, "by interface eth1 again")
	s.at(12*time.Second + 100*time.Millisecond)
	if len(s.events) != 1 || s.events[0][len(s.events[0])-3:] != " up" {
		t.Errorf("events %q", s.events)
	}
}

// By another way the peer is told at once where this end is, and asked; the tunnel stays up.
func TestWayIsAnother(t *testing.T) {
	s, p := wayStage(t)
	before, heard := s.l.peer.Status(s.now).Since, s.heard
	p.follows[netip.Addr{}](false, "by interface eth1 now")
	s.pass(0)
	if since := s.l.peer.Status(s.now).Since; since.Equal(before) || s.heard == heard {
		t.Errorf("the peer was not asked: session since %v, %d messages", since.Sub(s.start), s.heard-heard)
	}
	s.expect()
}

// By another way packets may be larger or smaller than by the one before.
func TestPathBeginsAgainByAnotherWay(t *testing.T) {
	s, p := wayStage(t)
	s.l.setEnds(netip.MustParseAddr("fe80::1"), netip.MustParseAddr("fe80::2"))
	s.l.path.search.Stop()
	p.follows[netip.Addr{}](false, "by interface eth1 now")
	s.pass(0)
	if s.l.path.search.Due().IsZero() {
		t.Error("nobody looks how large they may be")
	}
}

// The address of ours that the peer sends to is not used any more when nothing can leave from
// there; the tunnel stays up.
func TestSourceHasNoWay(t *testing.T) {
	s, p := wayStage(t)
	source := netip.MustParseAddr("192.0.2.1")
	s.l.flow.HeardAt(source)
	s.step()
	changed := p.follows[source]
	if changed == nil || len(p.follows) != 2 {
		t.Fatalf("ways from %v are followed", p.follows)
	}
	heard := s.heard
	changed(true, "the address 192.0.2.1 is gone from this machine")
	s.pass(0)
	if s.l.flow.Source().IsValid() || len(p.follows) != 1 {
		t.Errorf("it is used still: ways from %v", p.follows)
	}
	if s.heard == heard {
		t.Error("the peer was not told")
	}
	s.pass(time.Minute)
	s.expect()
}

// Somewhere else the peer is reached by another way, and a link that ends follows none.
func TestWaysFollowThePeer(t *testing.T) {
	s, p := wayStage(t)
	stale := p.follows[netip.Addr{}]
	p.follows = nil
	s.l.peer.SetEndpoint(netip.MustParseAddrPort("192.0.2.3:51820"))
	s.step()
	if len(p.follows) != 1 {
		t.Fatal("the new way is not followed")
	}
	stale(false, "")
	s.l.ways.end()
	if len(p.follows) != 0 {
		t.Error("it is followed still")
	}
}
