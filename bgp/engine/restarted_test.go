package engine

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// crash ends a speaker as a kill would: its connections and listeners are closed, and
// it says nothing.
func crash(s *Speaker) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.neighbors {
		n.cancel()
		if n.session.conn != nil {
			n.session.conn.hangUp()
		}
	}
}

// TestSpeakerRestarts kills a speaker and starts another one in its place. Its peer
// keeps what it has announced, of its own and of another peer's, though that one takes
// its time.
func TestSpeakerRestarts(t *testing.T) {
	restart := func(c *Config) { c.RestartTime = 10 * time.Minute }
	a := startSpeaker(t, 64512, "10.0.0.1", restart)
	again := startSpeaker(t, 64512, "10.0.0.1", restart, func(c *Config) { c.Restarted = true })
	b := startSpeaker(t, 64513, "10.0.0.2", restart)
	originate(t, a, "10.1.0.0/16", "2001:db8:1::/48")
	addrA, addrB := testAddrs()
	all := func(n *Neighbor) { n.Export = Policy{Any: true, Own: true} }
	connectAt(t, a, b, addrA, addrB, all, nil)
	waitState(t, a, "b", stateEstablished)

	far := &gracefulPeer{t: t, s: a, name: "far", asn: 64515, id: "10.0.0.5"}
	far.local, far.peer = addRaw(t, a, far.name, far.asn, nil)
	far.connect(caps(graceful(false, true, 600)), "10.5.0.0/16")
	far.endOfRIB()
	want := []string{"10.1.0.0/16", "2001:db8:1::/48", "10.5.0.0/16"}
	waitRoutes(t, b, "a", want...)
	w := &routeWatch{s: b}
	w.look()

	crash(a)
	eventually(t, 40*time.Second, func() string {
		if st := statusOf(b, "a"); st.State == stateEstablished || st.Stale != 3 {
			return fmt.Sprintf("%+v", st)
		}
		return ""
	})
	originate(t, again, "10.1.0.0/16", "2001:db8:1::/48")
	again.edit(func(ns map[string]*Neighbor, _ *Wanted) {
		ns["b"] = &Neighbor{Name: "b", LocalAddr: addrA, PeerAddr: addrB, ASN: 64513, Import: Policy{Any: true}, Export: Policy{Any: true, Own: true}}
		ns["far"] = &Neighbor{Name: "far", LocalAddr: far.local, PeerAddr: far.peer, ASN: 64515, Import: Policy{Any: true}}
	})
	waitState(t, again, "b", stateEstablished)
	waitState(t, b, "a", stateEstablished)
	if st := statusOf(again, "b"); st.Announced != 0 {
		t.Errorf("%d are announced before the others have announced theirs", st.Announced)
	}
	select {
	case <-again.Synced():
		t.Error("synced without the other peer")
	default:
	}
	if st := statusOf(b, "a"); st.Stale != 3 {
		t.Errorf("%+v", st)
	}
	far.s = again
	far.connect(caps(graceful(false, true, 600)), "10.5.0.0/16")
	far.endOfRIB()
	<-again.Synced()
	eventually(t, 40*time.Second, func() string {
		w.look()
		if st := statusOf(b, "a"); st.Stale != 0 {
			return fmt.Sprintf("%+v", st)
		}
		return ""
	})
	w.wantLost(t)
	waitRoutes(t, b, "a", want...)
}

// TestRestartedSpeakerWaits has a look at what a restarted speaker says: the bits R and
// F, then nothing until all its peers have announced what they have, then everything,
// and End-of-RIB last. Later sessions are as any other's.
func TestRestartedSpeakerWaits(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1", func(c *Config) { c.RestartTime, c.Restarted = 10*time.Minute, true })
	originate(t, s, "10.1.0.0/16", "2001:db8:1::/48")
	locals, peers := map[string]netip.Addr{}, map[string]netip.Addr{}
	s.edit(func(ns map[string]*Neighbor, _ *Wanted) {
		for i, name := range []string{"b", "c", "restarted", "plain"} {
			locals[name], peers[name] = testAddrs()
			ns[name] = &Neighbor{
				Name: name, LocalAddr: locals[name], PeerAddr: peers[name], ASN: uint32(64513 + i),
				Import: Policy{Any: true}, Export: Policy{Any: true, Own: true},
			}
		}
	})
	session := func(name string, asn uint32, id string, caps ...gobgp.ParameterCapabilityInterface) (*rawPeer, *gobgp.CapGracefulRestart) {
		t.Helper()
		p := dialWhenActive(t, s, name, peers[name], locals[name])
		p.send(openMessage(t, asn, id, append(caps, extendedNextHop)...))
		p.send(gobgp.NewBGPKeepAliveMessage())
		open := p.read()
		if open == nil || open.Header.Type != gobgp.BGP_MSG_OPEN {
			t.Fatalf("got %v", open)
		}
		waitState(t, s, name, stateEstablished)
		p.keepAlive()
		for _, o := range open.Body.(*gobgp.BGPOpen).OptParams {
			for _, c := range o.(*gobgp.OptionParameterCapability).Capability {
				if g, ok := c.(*gobgp.CapGracefulRestart); ok {
					return p, g
				}
			}
		}
		t.Fatal("no graceful restart in the OPEN")
		return nil, nil
	}
	check := func(name string, g *gobgp.CapGracefulRestart, restarted bool) {
		t.Helper()
		if r := g.Flags&8 != 0; r != restarted || g.Time != 600 || len(g.Tuples) != 2 || g.Tuples[0].Flags != 0x80 || g.Tuples[1].Flags != 0x80 {
			t.Errorf("%s was told %+v", name, g)
		}
	}
	b, g := session("b", 64513, "10.0.0.2", graceful(false, true, 60))
	check("b", g, true)
	b.endOfRIB()
	session("restarted", 64515, "10.0.0.4", graceful(true, true, 60)) // waits for this end itself
	session("plain", 64516, "10.0.0.5")                               // says nothing of it
	c, g := session("c", 64514, "10.0.0.3", graceful(false, true, 60))
	check("c", g, true)
	c.update(64514, prefixes("10.3.0.0/16"), nil)
	waitRoutes(t, s, "c", "10.3.0.0/16")
	for _, name := range []string{"b", "c", "plain"} {
		if st := statusOf(s, name); st.Announced != 0 {
			t.Errorf("%d prefixes are announced to %s", st.Announced, name)
		}
	}
	c.endOfRIB()
	<-s.Synced()
	if got := b.untilEndOfRIB(gobgp.RF_IPv4_UC); !got.announces("10.1.0.0/16") || !got.announces("10.3.0.0/16") {
		t.Errorf("before End-of-RIB came %v", got)
	}
	b.conn.Close()
	b, g = session("b", 64513, "10.0.0.2", graceful(false, true, 60))
	check("b", g, false)
	if got := b.untilEndOfRIB(gobgp.RF_IPv4_UC); !got.announces("10.1.0.0/16") || !got.announces("10.3.0.0/16") {
		t.Errorf("before End-of-RIB came %v", got)
	}
}

// TestRestartedSpeakerGoesOn: a peer that does not come back does not hold up the rest,
// and one that has nothing to be sent gets End-of-RIB too.
func TestRestartedSpeakerGoesOn(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1", func(c *Config) { c.RestartTime, c.Restarted = 4*time.Second, true })
	originate(t, s, "10.1.0.0/16")
	local, peer := testAddrs()
	local2, peer2 := testAddrs()
	_, never := testAddrs()
	s.edit(func(ns map[string]*Neighbor, _ *Wanted) {
		ns["b"] = &Neighbor{Name: "b", LocalAddr: local, PeerAddr: peer, ASN: 64513, Export: Policy{Own: true}}
		ns["nothing"] = &Neighbor{Name: "nothing", LocalAddr: local2, PeerAddr: peer2, ASN: 64514}
		ns["never"] = &Neighbor{Name: "never", LocalAddr: local, PeerAddr: never, ASN: 64515}
	})
	b := dialWhenActive(t, s, "b", peer, local)
	b.establishAs(openMessage(t, 64513, "10.0.0.2", graceful(false, true, 60)))
	b.keepAlive()
	b.endOfRIB()
	nothing := dialWhenActive(t, s, "nothing", peer2, local2)
	nothing.establishAs(openMessage(t, 64514, "10.0.0.3", graceful(false, true, 60)))
	nothing.keepAlive()
	if got := b.untilEndOfRIB(gobgp.RF_IPv4_UC); !got.announces("10.1.0.0/16") {
		t.Errorf("before End-of-RIB came %v", got)
	}
	nothing.untilEndOfRIB(gobgp.RF_IPv6_UC)
	<-s.Synced()
}

// TestFirstSessionSaysNothing: a speaker that was not restarted does not say that it has
// forwarded what it knows nothing of, and does once there was a session.
func TestFirstSessionSaysNothing(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1")
	local, peer := addRaw(t, s, "b", 64513, nil)
	for i, want := range []uint8{0, 0x80} {
		p := dialWhenActive(t, s, "b", peer, local)
		p.send(openMessage(t, 64513, "10.0.0.2"))
		p.send(gobgp.NewBGPKeepAliveMessage())
		open := p.read()
		waitState(t, s, "b", stateEstablished)
		for _, o := range open.Body.(*gobgp.BGPOpen).OptParams {
			for _, c := range o.(*gobgp.OptionParameterCapability).Capability {
				if g, ok := c.(*gobgp.CapGracefulRestart); ok && (g.Flags != 0 || g.Time != 60 || len(g.Tuples) != 2 || g.Tuples[0].Flags != want) {
					t.Errorf("session %d: %+v", i, g)
				}
			}
		}
		p.conn.Close()
	}
}

// TestRestartTime has the times that a Config may say.
func TestRestartTime(t *testing.T) {
	for in, want := range map[time.Duration]time.Duration{
		0: time.Minute, -1: 0, time.Millisecond: time.Second, 2500 * time.Millisecond: 2 * time.Second, longestRestartTime: longestRestartTime,
	} {
		if got := (&Config{RestartTime: in}).restartTime(); got != want {
			t.Errorf("%v: %v, want %v", in, got, want)
		}
	}
	if _, err := New(Config{ASN: 64512, RouterID: netip.MustParseAddr("10.0.0.1"), RestartTime: longestRestartTime + 1}); err == nil {
		t.Error("more than 4095 s are fine")
	}
}
