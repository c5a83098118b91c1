package engine

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/osrg/gobgp/v4/api"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// graceful is the capability of graceful restart with both families.
func graceful(restarted, forwarding bool, seconds uint16) *gobgp.CapGracefulRestart {
	return gobgp.NewCapGracefulRestart(restarted, false, seconds, []*gobgp.CapGracefulRestartTuple{
		gobgp.NewCapGracefulRestartTuple(gobgp.RF_IPv4_UC, forwarding), gobgp.NewCapGracefulRestartTuple(gobgp.RF_IPv6_UC, forwarding),
	})
}

func (p *rawPeer) endOfRIB() {
	p.t.Helper()
	p.send(gobgp.NewEndOfRib(gobgp.RF_IPv4_UC))
	p.send(gobgp.NewEndOfRib(gobgp.RF_IPv6_UC))
}

// A gracefulPeer is a raw peer that may lose its connection and come back.
type gracefulPeer struct {
	*rawPeer
	t           *testing.T
	s           *Speaker
	local, peer netip.Addr
	name, id    string
	asn         uint32
}

func newGracefulPeer(t *testing.T, s *Speaker, edit func(*Neighbor)) *gracefulPeer {
	t.Helper()
	g := &gracefulPeer{t: t, s: s, name: "b", asn: 64513, id: "10.0.0.2"}
	g.local, g.peer = addRaw(t, s, g.name, g.asn, edit)
	return g
}

// connect begins a session with these capabilities, with announce in it.
func (g *gracefulPeer) connect(caps []gobgp.ParameterCapabilityInterface, announce ...string) {
	g.t.Helper()
	g.rawPeer = dialWhenActive(g.t, g.s, g.name, g.peer, g.local)
	g.establishAs(openMessage(g.t, g.asn, g.id, append(caps, extendedNextHop)...))
	waitState(g.t, g.s, g.name, "established")
	g.serve()
	g.update(g.asn, prefixes(announce...), nil)
}

// lose closes the connection, and waits for the speaker to notice.
func (g *gracefulPeer) lose() {
	g.t.Helper()
	g.conn.Close()
	eventually(g.t, 40*time.Second, func() string {
		if st := statusOf(g.s, g.name); st.State == stateEstablished {
			return fmt.Sprintf("%+v", st)
		}
		return ""
	})
}

// wantStale waits until so many routes are stale.
func (g *gracefulPeer) wantStale(n int) {
	g.t.Helper()
	eventually(g.t, 40*time.Second, func() string {
		if st := statusOf(g.s, g.name); st.Stale != n || st.RestartUntil.IsZero() != (n == 0) {
			return fmt.Sprintf("%d stale until %v, not %d", st.Stale, st.RestartUntil, n)
		}
		return ""
	})
}

// A routeWatch notes each prefix that TakeChanges says is gone.
type routeWatch struct {
	s    *Speaker
	lost []netip.Prefix
}

func (w *routeWatch) look() {
	for p, r := range w.s.TakeChanges() {
		if r.Best() == "" {
			w.lost = append(w.lost, p)
		}
	}
}

// wantLost waits until exactly these prefixes have gone.
func (w *routeWatch) wantLost(t *testing.T, want ...string) {
	t.Helper()
	eventually(t, 40*time.Second, func() string {
		w.look()
		for _, p := range prefixes(want...) {
			if !slices.Contains(w.lost, p) {
				return fmt.Sprintf("%s is not gone: %v", p, w.lost)
			}
		}
		return ""
	})
	for _, p := range w.lost {
		if !slices.Contains(prefixes(want...), p) {
			t.Errorf("%s was lost", p)
		}
	}
}

// originate has s announce prefixes of its own.
func originate(t *testing.T, s *Speaker, own ...string) {
	t.Helper()
	if err := s.SetAnnounced(t.Context(), prefixes(own...)); err != nil {
		t.Fatal(err)
	}
}

func caps(c ...gobgp.ParameterCapabilityInterface) []gobgp.ParameterCapabilityInterface { return c }

// TestPeerRestarts has a peer lose its connection and come back: what it announces
// again is never gone, neither here nor at another neighbor, and the rest goes at
// End-of-RIB.
func TestPeerRestarts(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1")
	originate(t, s, "10.1.0.0/16")
	g := newGracefulPeer(t, s, nil)
	g.connect(caps(graceful(false, true, 60)), "10.2.0.0/16", "10.3.0.0/16", "10.4.0.0/16")
	g.endOfRIB()
	waitRoutes(t, s, "b", "10.2.0.0/16", "10.3.0.0/16", "10.4.0.0/16")
	other := watchSession(t, s, "c", openMessage(t, 64514, "10.0.0.3", extendedNextHop), func(n *Neighbor) { n.Export = Policy{Any: true} })
	other.wantUpdate(t, "10.4.0.0/16") // and the others in it
	w := &routeWatch{s: s}
	w.look()
	since := statusOf(s, "b").Since

	g.lose()
	g.wantStale(3)
	if st := statusOf(s, "b"); st.State != stateActive || st.LastError == "" || !st.Since.After(since) || st.Announced != 0 {
		t.Errorf("%+v", st)
	}
	seen := gobgpState(t, s, g.peer)
	if seen == api.PeerState_SESSION_STATE_ESTABLISHED {
		t.Error("the gobgp command shows an established session")
	}
	waitRoutes(t, s, "b", "10.2.0.0/16", "10.3.0.0/16", "10.4.0.0/16")

	back := dialRaw(t, g.peer, g.local)
	back.establishAs(openMessage(t, g.asn, g.id, graceful(true, true, 60), extendedNextHop))
	waitState(t, s, "b", "established")
	g.rawPeer = back
	back.keepAlive()
	if seen := gobgpState(t, s, g.peer); seen != api.PeerState_SESSION_STATE_ESTABLISHED {
		t.Errorf("the gobgp command shows %v", seen)
	}
	// It gets everything once more, and End-of-RIB behind it.
	if got := back.untilEndOfRIB(gobgp.RF_IPv4_UC); !got.announces("10.1.0.0/16") {
		t.Errorf("before End-of-RIB came %v", got)
	}
	w.look()
	back.update(g.asn, prefixes("10.2.0.0/16", "10.5.0.0/16"), nil)
	g.wantStale(2)
	w.wantLost(t)
	back.endOfRIB()
	waitRoutes(t, s, "b", "10.2.0.0/16", "10.5.0.0/16")
	w.wantLost(t, "10.3.0.0/16", "10.4.0.0/16")
	g.wantStale(0)
	other.wantUpdate(t, "10.5.0.0/16")
	for _, u := range other.kept {
		for _, x := range u.WithdrawnRoutes {
			if p := x.NLRI.String(); p != "10.3.0.0/16" && p != "10.4.0.0/16" {
				t.Errorf("%s was withdrawn from the other neighbor", p)
			}
		}
	}
	if st := statusOf(s, "b"); st.LastError != "" || st.Received != 2 || st.Accepted != 2 {
		t.Errorf("%+v", st)
	}
}

// gobgpState is what the gobgp command is told.
func gobgpState(t *testing.T, s *Speaker, peer netip.Addr) (state api.PeerState_SessionState) {
	t.Helper()
	err := s.server.ListPeer(t.Context(), &api.ListPeerRequest{Address: peer.String()}, func(p *api.Peer) {
		s.inspection.correct(p)
		state = p.GetState().GetSessionState()
	})
	if err != nil {
		t.Fatal(err)
	}
	return state
}

type updates []*gobgp.BGPUpdate

func (us updates) announces(prefix string) bool {
	return slices.ContainsFunc(us, func(u *gobgp.BGPUpdate) bool { return announces(u, prefix) })
}

// untilEndOfRIB reads until the End-of-RIB marker of a family, and returns what came
// before it.
func (p *rawPeer) untilEndOfRIB(family gobgp.Family) (all updates) {
	p.t.Helper()
	for {
		m := p.read()
		if m == nil {
			p.t.Fatal("the connection ended before End-of-RIB")
		}
		u, ok := m.Body.(*gobgp.BGPUpdate)
		if !ok {
			continue
		}
		if end, f := u.IsEndOfRib(); end && f == family {
			return all
		}
		all = append(all, u)
	}
}

// TestNotKept has sessions end in ways that take the routes along at once.
func TestNotKept(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1")
	off := startSpeaker(t, 64512, "10.0.0.1", func(c *Config) { c.RestartTime = -1 })
	long := caps(graceful(false, true, 4095))
	for _, c := range []struct {
		name string
		s    *Speaker
		caps []gobgp.ParameterCapabilityInterface
		end  func(*gracefulPeer)
	}{
		{"without the capability", s, nil, (*gracefulPeer).lose},
		{"no family in it", s, caps(gobgp.NewCapGracefulRestart(false, false, 4095, nil)), (*gracefulPeer).lose},
		{"other families in it", s, caps(gobgp.NewCapGracefulRestart(false, false, 4095, []*gobgp.CapGracefulRestartTuple{gobgp.NewCapGracefulRestartTuple(gobgp.RF_IPv4_VPN, true)})), (*gracefulPeer).lose},
		{"restart time 0", s, caps(graceful(false, true, 0)), (*gracefulPeer).lose},
		{"malformed", s, caps(gobgp.NewCapUnknown(gobgp.BGP_CAP_GRACEFUL_RESTART, []byte{0x0f, 0xff, 0, 1, 1})), (*gracefulPeer).lose},
		{"turned off here", off, long, (*gracefulPeer).lose},
		{"a Cease", s, long, func(g *gracefulPeer) {
			g.send(gobgp.NewBGPNotificationMessage(gobgp.BGP_ERROR_CEASE, gobgp.BGP_ERROR_SUB_ADMINISTRATIVE_SHUTDOWN, nil))
			g.lose()
		}},
		{"a hold timer that has expired there", s, long, func(g *gracefulPeer) {
			g.send(gobgp.NewBGPNotificationMessage(gobgp.BGP_ERROR_HOLD_TIMER_EXPIRED, 0, nil))
			g.lose()
		}},
		{"nonsense", s, long, func(g *gracefulPeer) { g.write(make([]byte, 40)); g.lose() }},
		{"a tunnel that goes down", s, long, func(g *gracefulPeer) {
			if err := g.s.DeleteNeighbor(g.t.Context(), "b"); err != nil {
				g.t.Error(err)
			}
		}},
		{"a tunnel that goes down while the peer is away", s, long, func(g *gracefulPeer) {
			g.lose()
			g.wantStale(1)
			if err := g.s.DeleteNeighbor(g.t.Context(), "b"); err != nil {
				g.t.Error(err)
			}
			if routes := g.s.Routes(); len(routes) > 0 {
				g.t.Errorf("there is still %s", describe(routes))
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newGracefulPeer(t, c.s, nil)
			g.connect(c.caps, "10.2.0.0/16")
			g.endOfRIB()
			waitRoutes(t, c.s, "b", "10.2.0.0/16")
			c.end(g)
			waitRoutes(t, c.s, "")
			if st := statusOf(c.s, "b"); st.Stale != 0 || !st.RestartUntil.IsZero() {
				t.Errorf("%+v", st)
			}
			if statusOf(c.s, "b").Name != "" {
				if err := c.s.DeleteNeighbor(t.Context(), "b"); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// TestKeptOnlySoLong has peers that do not keep to what they ask for.
func TestKeptOnlySoLong(t *testing.T) {
	short := startSpeaker(t, 64512, "10.0.0.1", func(c *Config) { c.RestartTime = 2 * time.Second })
	long := startSpeaker(t, 64512, "10.0.0.1", func(c *Config) { c.RestartTime = time.Hour })
	for _, c := range []struct {
		name string
		s    *Speaker
		time uint16
		end  func(*gracefulPeer)
	}{
		{"not back in its time", long, 1, (*gracefulPeer).lose},
		{"not back in this end's time", short, 4095, (*gracefulPeer).lose},
		{"back without forwarding", long, 4095, func(g *gracefulPeer) { g.lose(); g.connect(caps(graceful(true, false, 60))) }},
		{"back without the capability", long, 4095, func(g *gracefulPeer) { g.lose(); g.connect(nil) }},
		{"back without End-of-RIB", short, 4095, func(g *gracefulPeer) { g.lose(); g.connect(caps(graceful(true, true, 60))) }},
		{"gone again and again", long, 4095, func(g *gracefulPeer) {
			for range maxRestarts {
				g.lose()
				g.wantStale(1)
				g.connect(caps(graceful(true, true, 4095)))
			}
			g.lose()
		}},
		{"another router", long, 4095, func(g *gracefulPeer) {
			g.lose()
			g.wantStale(1)
			p := dialWhenActive(g.t, g.s, "b", g.peer, g.local)
			p.send(openMessage(g.t, g.asn, "10.0.0.9", graceful(true, true, 60), extendedNextHop))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newGracefulPeer(t, c.s, nil)
			g.connect(caps(graceful(false, true, c.time)), "10.2.0.0/16")
			g.endOfRIB()
			waitRoutes(t, c.s, "b", "10.2.0.0/16")
			c.end(g)
			waitRoutes(t, c.s, "")
			g.wantStale(0)
			// And then things go on as they should.
			if g.id = "10.0.0.9"; statusOf(c.s, "b").State != stateEstablished {
				g.connect(caps(graceful(false, true, c.time)))
			}
			g.update(g.asn, prefixes("10.3.0.0/16"), nil)
			waitRoutes(t, c.s, "b", "10.3.0.0/16")
			if err := c.s.DeleteNeighbor(t.Context(), "b"); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestSilentPeerIsNotKept: an expired hold timer ends all, and GoBGP does not keep the
// routes for others either.
func TestSilentPeerIsNotKept(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1")
	other := watchSession(t, s, "c", openMessage(t, 64514, "10.0.0.3", extendedNextHop), func(n *Neighbor) { n.Export = Policy{Any: true} })
	g := newGracefulPeer(t, s, nil)
	g.rawPeer = dialWhenActive(t, s, "b", g.peer, g.local)
	open := openMessage(t, g.asn, g.id, graceful(false, true, 4095), extendedNextHop)
	open.Body.(*gobgp.BGPOpen).HoldTime = 3
	g.establishAs(open)
	g.update(g.asn, prefixes("10.2.0.0/16"), nil)
	g.endOfRIB()
	other.wantUpdate(t, "10.2.0.0/16")
	wantNotification(t, g.rawPeer, gobgp.BGP_ERROR_HOLD_TIMER_EXPIRED, 0)
	waitRoutes(t, s, "")
	other.wantWithdrawal(t, "10.2.0.0/16")
	eventually(t, 40*time.Second, func() string {
		if st := statusOf(s, "b"); st.Stale != 0 || st.State == stateEstablished || st.LastError == "" {
			return fmt.Sprintf("%+v", st)
		}
		return ""
	})
}

// wantWithdrawal waits for an UPDATE that withdraws the IPv4 prefix.
func (w *watchedPeer) wantWithdrawal(t *testing.T, prefix string) {
	t.Helper()
	timeout := time.After(time.Minute)
	for {
		select {
		case m, ok := <-w.got:
			if !ok {
				t.Fatal("the session ended")
			}
			if u, ok := m.Body.(*gobgp.BGPUpdate); ok && slices.ContainsFunc(u.WithdrawnRoutes, func(x gobgp.PathNLRI) bool { return x.NLRI.String() == prefix }) {
				return
			}
		case <-timeout:
			t.Fatalf("%s was not withdrawn", prefix)
		}
	}
}

// TestNewConnectionKeeps: a peer that opens a session while another one is up here has
// restarted, and its routes stay (RFC 4724 section 4.2).
func TestNewConnectionKeeps(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1")
	g := newGracefulPeer(t, s, nil)
	g.connect(caps(graceful(false, true, 60)), "10.2.0.0/16")
	g.endOfRIB()
	waitRoutes(t, s, "b", "10.2.0.0/16")
	w := &routeWatch{s: s}
	w.look()
	g.vanish()
	old := g.rawPeer
	p := takeOver(t, g.peer, g.local, openMessage(t, g.asn, g.id, graceful(true, true, 60), extendedNextHop))
	p.keepAlive()
	g.rawPeer = p
	waitState(t, s, "b", "established")
	g.wantStale(1)
	p.update(g.asn, prefixes("10.2.0.0/16"), nil)
	p.endOfRIB()
	g.wantStale(0)
	waitRoutes(t, s, "b", "10.2.0.0/16")
	w.wantLost(t)
	old.reappear()
	eventually(t, 40*time.Second, func() string {
		if _, err := old.conn.Write(make([]byte, 1)); err == nil {
			return "the old connection is still there"
		}
		return ""
	})
}
