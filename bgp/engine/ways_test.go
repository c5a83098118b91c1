package engine

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"warren/bgp/judge"
)

// text is the ways of a route: those in use, a bar, and those in reserve.
func (v wayView) text(p netip.Prefix) string {
	var use, reserve []string
	for _, w := range v[p] {
		if w.Reserve {
			reserve = append(reserve, w.Neighbor)
		} else {
			use = append(use, w.Neighbor)
		}
	}
	return strings.Trim(strings.Join(use, " ")+" | "+strings.Join(reserve, " "), " ")
}

// A wayView is what a consumer of TakeChanges knows.
type wayView map[netip.Prefix][]Way

func (v wayView) take(s *Speaker) {
	for p, r := range s.TakeChanges() {
		if len(r.Ways) == 0 {
			delete(v, p)
		} else {
			v[p] = r.Ways
		}
	}
}

// want waits until the ways to a prefix are as in text, to whoever asks and to whoever is told
// changes.
func (v wayView) want(t *testing.T, s *Speaker, prefix, ways string) {
	t.Helper()
	p := netip.MustParsePrefix(prefix)
	eventually(t, 40*time.Second, func() string {
		v.take(s)
		asked := wayView{p: s.Routes()[p].Ways}
		if told, is := v.text(p), asked.text(p); told != ways || is != ways {
			return fmt.Sprintf("%s: %q, as told %q, want %q", prefix, is, told, ways)
		}
		return ""
	})
}

// announcePath announces prefixes with given attributes.
func (p *rawPeer) announcePath(asPath []uint32, med int, localPref uint32, announce ...netip.Prefix) {
	p.t.Helper()
	var four, six []gobgp.PathNLRI
	for _, x := range announce {
		if x.Addr().Is4() {
			four = append(four, p.nlri(x))
		} else {
			six = append(six, p.nlri(x))
		}
	}
	var params []gobgp.AsPathParamInterface
	if len(asPath) > 0 {
		params = append(params, p.segment(asPath))
	}
	attrs := []gobgp.PathAttributeInterface{gobgp.NewPathAttributeOrigin(0), gobgp.NewPathAttributeAsPath(params)}
	if med > 0 {
		attrs = append(attrs, gobgp.NewPathAttributeMultiExitDisc(uint32(med)))
	}
	if localPref > 0 {
		attrs = append(attrs, gobgp.NewPathAttributeLocalPref(localPref))
	}
	hop, _ := gobgp.NewPathAttributeNextHop(p.addr)
	if len(four) > 0 {
		p.send(gobgp.NewBGPUpdateMessage(nil, slices.Insert(slices.Clone(attrs), 2, gobgp.PathAttributeInterface(hop)), four))
	}
	if len(six) > 0 {
		reach, err := gobgp.NewPathAttributeMpReachNLRI(gobgp.RF_IPv6_UC, six, netip.MustParseAddr("2001:db8::1"))
		if err != nil {
			p.t.Fatal(err)
		}
		p.send(gobgp.NewBGPUpdateMessage(nil, append(attrs, reach), nil))
	}
}

const (
	both4 = "10.9.0.0/16"
	both6 = "2001:db8:9::/48"
)

// TestWays has two and three neighbors announce the same prefixes: with equal attributes the
// traffic is shared, a longer path is in reserve, and one that goes leaves its place to the
// others.
func TestWays(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1")
	v := wayView{}
	c := rawSession(t, s, "c", 64513, "10.0.0.3", nil)
	b := rawSession(t, s, "b", 64513, "10.0.0.2", nil)
	d := rawSession(t, s, "d", 64514, "10.0.0.4", nil)
	all := prefixes(both4, both6)
	want := func(ways string) {
		t.Helper()
		v.want(t, s, both4, ways)
		v.want(t, s, both6, ways)
	}
	c.announcePath([]uint32{64513, 64999}, 0, 0, all...)
	want("c |")
	b.announcePath([]uint32{64513, 64999}, 0, 0, all...)
	want("b c |")
	d.announcePath([]uint32{64514, 64999}, 0, 0, all...) // as long, and not the same
	want("b c | d")
	b.announcePath([]uint32{64513, 64513, 64999}, 0, 0, all...)
	want("c | d b")
	d.announcePath([]uint32{64514}, 0, 0, all...)
	want("d | c b")
	d.announcePath([]uint32{64514, 64514, 64514, 64514}, 0, 0, all...)
	want("c | b d")
	b.announcePath([]uint32{64513, 64999}, 7, 0, all...) // another MED
	want("c | b d")
	b.announcePath([]uint32{64513, 64999}, 0, 0, all...)
	want("b c | d")
	b.update(64513, nil, prefixes(both4))
	v.want(t, s, both4, "c | d")
	v.want(t, s, both6, "b c | d")
	c.conn.Close()
	v.want(t, s, both4, "d |")
	v.want(t, s, both6, "b | d")
	if err := s.DeleteNeighbor(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	want("d |")
	if err := s.SetAnnounced(t.Context(), all); err != nil { // this router's own is better
		t.Fatal(err)
	}
	want("|")
	if err := s.SetAnnounced(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	want("d |")
}

// standIn makes a neighbor with an established session that GoBGP knows nothing of, whose
// peer has announced a prefix with a path.
func standIn(t *testing.T, s *Speaker, name string, asn uint32, path ...uint32) (*neighbor, *peerConn) {
	t.Helper()
	s.mu.Lock()
	n := s.newNeighbor(Neighbor{Name: name, ASN: asn, LocalAddr: netip.MustParseAddr("127.0.0.1"), Import: Policy{Any: true}})
	c := &peerConn{wake: make(chan struct{}, 1)}
	c.judge = judge.New(s.judgeConfigLocked(n, c))
	s.setConnLocked(n, c)
	s.neighbors[name] = n
	s.mu.Unlock()
	c.mu.Lock()
	raw := &rawPeer{t: t, addr: netip.MustParseAddr("127.0.0.2")}
	hop, _ := gobgp.NewPathAttributeNextHop(raw.addr)
	for _, m := range []*gobgp.BGPMessage{
		openMessage(t, asn, "10.0.3."+fmt.Sprint(n.number)), gobgp.NewBGPKeepAliveMessage(),
		gobgp.NewBGPUpdateMessage(nil, []gobgp.PathAttributeInterface{
			gobgp.NewPathAttributeOrigin(0), gobgp.NewPathAttributeAsPath([]gobgp.AsPathParamInterface{raw.segment(path)}), hop,
		}, []gobgp.PathNLRI{raw.nlri(netip.MustParsePrefix(both4))}),
	} {
		b, err := m.Serialize()
		if err != nil {
			t.Fatal(err)
		}
		if m.Header.Type == gobgp.BGP_MSG_OPEN {
			ours, err := openMessage(t, s.cfg.ASN, "10.0.0.1").Serialize()
			if err != nil {
				t.Fatal(err)
			}
			c.judge.ToPeer(nil, ours)
		}
		if _, err := c.judge.FromPeer(nil, b); err != nil {
			t.Fatal(err)
		}
	}
	c.mu.Unlock()
	s.onMoved(n, c)
	t.Cleanup(func() {
		s.mu.Lock()
		delete(s.neighbors, name)
		s.mu.Unlock()
	})
	return n, c
}

// TestWaysNeedNoDecision loses neighbors before GoBGP has said anything of it: the others take
// their place, and it is told at once.
func TestWaysNeedNoDecision(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1")
	a, _ := standIn(t, s, "a", 64513, 64513, 64999)
	b, inB := standIn(t, s, "b", 64514, 64514, 64999, 64999)
	standIn(t, s, "c", 64515, 64515)
	p, v := netip.MustParsePrefix(both4), wayView{}
	want := func(ways string) {
		t.Helper()
		if v.take(s); v.text(p) != ways {
			t.Errorf("%q, want %q", v.text(p), ways)
		}
	}
	if v.take(s); len(v) > 0 {
		t.Errorf("told before GoBGP has a path: %v", v)
	}
	s.mu.Lock()
	s.rib.set(p, a, toAll) // as GoBGP may find: whom it prefers of those that compare alike only it knows
	s.mu.Unlock()
	want("a | c b")
	s.mu.Lock()
	s.setConnLocked(a, nil)
	s.mu.Unlock()
	want("c | b")
	s.mu.Lock()
	s.rib.dropBest(a)
	s.mu.Unlock()
	want("c | b")
	s.mu.Lock()
	s.rib.set(p, b, toAll)
	s.mu.Unlock()
	want("b | c")
	inB.giveUp()
	s.mu.Lock()
	s.rib.dropBest(b)
	s.mu.Unlock()
	want("c |")
}

// TestWaysFollowPolicies has ways come and go by import policy, by limits and by what is protected.
func TestWaysFollowPolicies(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1")
	v := wayView{}
	b := rawSession(t, s, "b", 64513, "10.0.0.2", nil)
	c := rawSession(t, s, "c", 64513, "10.0.0.3", func(n *Neighbor) { n.MaxPrefixes = 1 })
	set := func(name string, imp Policy, limit int) {
		t.Helper()
		if err := s.SetPolicy(t.Context(), name, imp, Policy{}, limit, 0); err != nil {
			t.Fatal(err)
		}
	}
	b.update(64513, prefixes("10.1.0.0/16", "10.2.0.0/16"), nil)
	c.update(64513, prefixes("10.1.0.0/16"), nil)
	v.want(t, s, "10.1.0.0/16", "b c |")
	c.update(64513, prefixes("10.2.0.0/16"), nil) // waits for room
	v.want(t, s, "10.2.0.0/16", "b |")
	set("c", Policy{Any: true}, 2)
	v.want(t, s, "10.2.0.0/16", "b c |")
	set("b", policyOf("10.2.0.0/16"), 0)
	v.want(t, s, "10.1.0.0/16", "c |")
	v.want(t, s, "10.2.0.0/16", "b c |")
	set("c", policyOf("10.1.0.0/16"), 2)
	v.want(t, s, "10.1.0.0/16", "c |")
	v.want(t, s, "10.2.0.0/16", "b |")
	set("b", Policy{Any: true}, 0)
	set("c", Policy{Any: true}, 0)
	v.want(t, s, "10.1.0.0/16", "b c |")
	v.want(t, s, "10.2.0.0/16", "b c |")
}

// TestWaysOfStaleRoutes has a peer restart whose routes are in use, and in reserve: they stay
// ways, and go when they are not announced again.
func TestWaysOfStaleRoutes(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1")
	v := wayView{}
	c := rawSession(t, s, "c", 64513, "10.0.0.3", nil)
	c.update(64513, prefixes("10.1.0.0/16", "10.2.0.0/16"), nil)
	c.updatePath([]uint32{64513, 64513}, prefixes("10.3.0.0/16"), nil)
	g := newGracefulPeer(t, s, nil)
	g.connect(caps(graceful(false, true, 4095)), "10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16")
	g.endOfRIB()
	v.want(t, s, "10.2.0.0/16", "b c |")
	v.want(t, s, "10.3.0.0/16", "b | c")
	g.lose()
	g.wantStale(3)
	v.want(t, s, "10.2.0.0/16", "b c |")
	v.want(t, s, "10.3.0.0/16", "b | c")
	g.connect(caps(graceful(true, true, 4095)), "10.1.0.0/16")
	v.want(t, s, "10.2.0.0/16", "b c |")
	g.endOfRIB()
	v.want(t, s, "10.1.0.0/16", "b c |")
	v.want(t, s, "10.2.0.0/16", "c |")
	v.want(t, s, "10.3.0.0/16", "c |")
}

// A modelPeer is what a raw peer has announced.
type modelPeer struct {
	name  string
	asn   uint32
	conn  *rawPeer
	paths map[netip.Prefix][]uint32

	local, peer netip.Addr
}

// TestWaysAgainstAModel has three peers announce, withdraw, go and come at random: in the end
// the ways are those that the model says, however it came about.
func TestWaysAgainstAModel(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1")
	v := wayView{}
	r := rand.New(rand.NewPCG(7, 13))
	names := []string{"a", "b", "c"}
	peers := map[string]*modelPeer{}
	up := func(p *modelPeer) {
		p.conn = dialWhenActive(t, s, p.name, p.peer, p.local)
		p.conn.establish(p.asn, fmt.Sprintf("10.0.2.%d", 1+slices.Index(names, p.name)))
		p.conn.serve()
		waitState(t, s, p.name, "established")
	}
	for i, name := range names {
		p := &modelPeer{name: name, asn: 64513 + uint32(i)/2, paths: map[netip.Prefix][]uint32{}}
		p.local, p.peer = addRaw(t, s, name, p.asn, nil)
		up(p)
		peers[name] = p
	}
	universe := manyPrefixes(0, 12)
	for round := range 40 {
		for range 1 + r.IntN(20) {
			p := peers[names[r.IntN(len(names))]]
			x := universe[r.IntN(len(universe))]
			if r.IntN(3) == 0 {
				p.conn.update(p.asn, nil, []netip.Prefix{x})
				delete(p.paths, x)
				continue
			}
			path := slices.Repeat([]uint32{p.asn}, 1+r.IntN(3))
			p.conn.updatePath(path, []netip.Prefix{x}, nil)
			p.paths[x] = path
		}
		if round%8 == 7 { // not so often that the speaker makes them wait
			p := peers[names[r.IntN(len(names))]]
			p.conn.conn.Close()
			clear(p.paths)
			eventually(t, 40*time.Second, func() string {
				if st := statusOf(s, p.name); st.Received > 0 {
					return fmt.Sprintf("%+v", st)
				}
				return ""
			})
			up(p)
		}
		eventually(t, 40*time.Second, func() string {
			for _, p := range peers {
				if statusOf(s, p.name).State != stateEstablished { // on a machine that stands still for a while
					up(p)
					for x, path := range p.paths {
						p.conn.updatePath(path, []netip.Prefix{x}, nil)
					}
				}
			}
			v.take(s)
			for _, x := range universe {
				if wrong := modelWrong(v, x, peers); wrong != "" {
					return fmt.Sprintf("round %d: %s; asked, it is %v; %+v", round, wrong, s.Routes()[x], s.Neighbors())
				}
			}
			if asked := s.Routes(); !maps.EqualFunc(asked, v, func(r Route, ways []Way) bool { return slices.Equal(r.Ways, ways) }) {
				return fmt.Sprintf("round %d: there is %s, told was %v", round, describe(asked), v) // a session has changed since
			}
			return ""
		})
	}
	for _, p := range peers {
		if err := s.DeleteNeighbor(t.Context(), p.name); err != nil {
			t.Fatal(err)
		}
	}
	if v.take(s); len(v) > 0 {
		t.Errorf("left: %v", v)
	}
	s.waitClosed(t.Context())
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := &s.rib; r.known.Len() > 0 || len(r.ids) > 0 || len(r.free) != len(r.sets)-1 {
		t.Errorf("left: %d prefixes, %d sets, %d of %d free", r.known.Len(), len(r.ids), len(r.free), len(r.sets)-1)
	}
}

// modelWrong compares the ways to x with what the peers have announced. Which of some equally long
// paths GoBGP prefers the model does not say.
func modelWrong(v wayView, x netip.Prefix, peers map[string]*modelPeer) string {
	shortest := 0
	have := map[string]bool{}
	for name, p := range peers {
		if path := p.paths[x]; len(path) > 0 {
			have[name] = true
			if shortest == 0 || len(path) < shortest {
				shortest = len(path)
			}
		}
	}
	ways := v[x]
	if len(ways) != len(have) {
		return fmt.Sprintf("%s: %v, want those of %v", x, ways, have)
	}
	if len(ways) == 0 {
		return ""
	}
	first := peers[ways[0].Neighbor].paths[x]
	if len(first) != shortest {
		return fmt.Sprintf("%s: %v, the first is longer than %d", x, ways, shortest)
	}
	for _, w := range ways {
		path := peers[w.Neighbor].paths[x]
		if !have[w.Neighbor] || w.Reserve == slices.Equal(path, first) {
			return fmt.Sprintf("%s: %v, and %s has %v", x, ways, w.Neighbor, path)
		}
		delete(have, w.Neighbor)
	}
	return ""
}
