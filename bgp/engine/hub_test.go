package engine

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"warren/bgp"
)

// Tests of hubs: what one spoke gets of another's where AS numbers would forbid it.

func asIs(*Neighbor) {}

// attach makes a session between a hub, where it has a name, and a spoke, where it is "hub".
// The hub passes on what it has.
func attach(t testing.TB, hub, spoke *Speaker, name string, editHub, editSpoke func(*Neighbor)) {
	t.Helper()
	here, there := testAddrs()
	nh := Neighbor{Name: name, LocalAddr: here, PeerAddr: there, ASN: spoke.cfg.ASN, Import: Policy{Any: true}, Export: Policy{Own: true, Any: true}}
	ns := Neighbor{Name: "hub", LocalAddr: there, PeerAddr: here, ASN: hub.cfg.ASN, Import: Policy{Any: true}, Export: Policy{Own: true}}
	editHub(&nh)
	editSpoke(&ns)
	if err := hub.AddNeighbor(t.Context(), nh); err != nil {
		t.Fatal(err)
	}
	if err := spoke.AddNeighbor(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	waitState(t, hub, name, "established")
	waitState(t, spoke, "hub", "established")
}

func asClient(n *Neighbor) { n.RouteReflectorClient = true }
func override(n *Neighbor) { n.ASOverride = true }

// A listener is a raw peer that keeps what it is sent.
type listener struct {
	*rawPeer
	mu     sync.Mutex
	routes map[string][]gobgp.PathAttributeInterface
}

// listen is a raw peer in an established session with s.
func listen(t testing.TB, s *Speaker, name string, asn uint32, id string, edit func(*Neighbor)) *listener {
	t.Helper()
	local, peer := addRaw(t, s, name, asn, func(n *Neighbor) {
		n.Export.Any = true
		edit(n)
	})
	p := dialWhenActive(t, s, name, peer, local)
	p.establish(asn, id)
	waitState(t, s, name, "established")
	l := &listener{rawPeer: p, routes: map[string][]gobgp.PathAttributeInterface{}}
	p.keepAlive()
	go func() {
		for m := p.read(); m != nil; m = p.read() {
			if u, ok := m.Body.(*gobgp.BGPUpdate); ok {
				l.take(u)
			}
		}
	}()
	return l
}

func (l *listener) take(u *gobgp.BGPUpdate) {
	l.mu.Lock()
	defer l.mu.Unlock()
	drop := func(gone []gobgp.PathNLRI) {
		for _, n := range gone {
			delete(l.routes, n.NLRI.String())
		}
	}
	drop(u.WithdrawnRoutes)
	announced := u.NLRI
	for _, a := range u.PathAttributes {
		switch a := a.(type) {
		case *gobgp.PathAttributeMpUnreachNLRI:
			drop(a.Value)
		case *gobgp.PathAttributeMpReachNLRI:
			announced = append(announced, a.Value...)
		}
	}
	for _, n := range announced {
		l.routes[n.NLRI.String()] = u.PathAttributes
	}
}

// wants waits until the peer was sent exactly these routes. A line is a prefix and what
// describePath makes of its attributes.
func (l *listener) wants(lines ...string) {
	l.t.Helper()
	eventually(l.t, 40*time.Second, func() string {
		l.mu.Lock()
		defer l.mu.Unlock()
		var got []string
		for p, attrs := range l.routes {
			got = append(got, p+describePath(attrs))
		}
		slices.Sort(got)
		slices.Sort(lines)
		if !slices.Equal(got, lines) {
			return fmt.Sprintf("it was sent %q, not %q", got, lines)
		}
		return ""
	})
}

// describePath has AS_PATH, NEXT_HOP, ORIGINATOR_ID and CLUSTER_LIST.
func describePath(attrs []gobgp.PathAttributeInterface) string {
	var path, hop, originator, cluster string
	for _, a := range attrs {
		switch a := a.(type) {
		case *gobgp.PathAttributeAsPath:
			for _, s := range a.Value {
				path += " " + strings.Trim(fmt.Sprint(s.GetAS()), "[]")
			}
		case *gobgp.PathAttributeNextHop:
			hop = " via " + a.Value.String()
		case *gobgp.PathAttributeMpReachNLRI:
			hop = " via " + a.Nexthop.String()
		case *gobgp.PathAttributeOriginatorId:
			originator = " of " + a.Value.String()
		case *gobgp.PathAttributeClusterList:
			cluster = " through"
			for _, id := range a.Value {
				cluster += " " + id.String()
			}
		}
	}
	return path + hop + originator + cluster
}

// hop is the next hop of IPv4 prefixes that s sends to a neighbor, and of IPv6 ones.
func hopsTo(s *Speaker, name string) (four, six string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.neighbors[name]
	return " via " + n.LocalAddr.String(), " via " + n.otherHop.String()
}

// waitCounts waits until s says that a neighbor is sent so many prefixes, and so many not.
func waitCounts(t testing.TB, s *Speaker, name string, announced, withheld int) {
	t.Helper()
	eventually(t, 40*time.Second, func() string {
		st := statusOf(s, name)
		if st.Announced != announced || st.Withheld != withheld {
			return fmt.Sprintf("status %+v", st)
		}
		var sum bgp.Counts
		for _, f := range st.Families {
			sum.Received, sum.Accepted = sum.Received+f.Received, sum.Accepted+f.Accepted
			sum.Refused, sum.Announced = sum.Refused+f.Refused, sum.Announced+f.Announced
		}
		if sum != (bgp.Counts{Received: st.Received, Accepted: st.Accepted, Refused: st.Refused, Announced: st.Announced}) {
			return fmt.Sprintf("the families are not the whole: %+v", st)
		}
		return ""
	})
}

func announce(t testing.TB, s *Speaker, networks ...string) {
	t.Helper()
	if err := s.SetAnnounced(t.Context(), prefixes(networks...)); err != nil {
		t.Fatal(err)
	}
}

// TestReflector: spokes that are iBGP get each other's prefixes from a hub of which they
// are clients, and lose them when they are withdrawn or a spoke is lost.
func TestReflector(t *testing.T) {
	hub, a, b := startSpeaker(t, 64512, "10.0.0.1"), startSpeaker(t, 64512, "10.0.0.2"), startSpeaker(t, 64512, "10.0.0.3")
	attach(t, hub, a, "a", asClient, asIs)
	attach(t, hub, b, "b", asClient, asIs)
	announce(t, hub, "10.1.0.0/16")
	announce(t, a, "10.2.0.0/16", "2001:db8:2::/48")
	announce(t, b, "10.3.0.0/16", "2001:db8:3::/48")
	waitRoutes(t, a, "hub", "10.1.0.0/16", "10.3.0.0/16", "2001:db8:3::/48")
	waitRoutes(t, b, "hub", "10.1.0.0/16", "10.2.0.0/16", "2001:db8:2::/48")
	waitCounts(t, hub, "b", 3, 0)
	announce(t, a, "2001:db8:2::/48")
	waitRoutes(t, b, "hub", "10.1.0.0/16", "2001:db8:2::/48")
	if err := hub.DeleteNeighbor(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	waitRoutes(t, b, "hub", "10.1.0.0/16")
}

// TestReflectedAttributes is what RFC 4456 section 8 asks for: ORIGINATOR_ID and CLUSTER_LIST
// with what came over iBGP and nothing else, to clients and to others; this end's address as
// the next hop, as the tunnel has no other; and nothing from one that is no client to another.
func TestReflectedAttributes(t *testing.T) {
	cluster := func(n *Neighbor) { n.ClusterID = netip.MustParseAddr("10.9.9.9") }
	hub, a, far := startSpeaker(t, 64512, "10.0.0.1"), startSpeaker(t, 64512, "10.0.0.2"), startSpeaker(t, 64513, "10.0.0.3")
	attach(t, hub, a, "a", func(n *Neighbor) { asClient(n); cluster(n) }, asIs)
	attach(t, hub, far, "far", asIs, asIs)
	announce(t, hub, "10.1.0.0/16")
	announce(t, a, "10.2.0.0/16", "2001:db8:2::/48")
	announce(t, far, "10.3.0.0/16")
	inside := listen(t, hub, "client", 64512, "10.0.0.4", func(n *Neighbor) { asClient(n); cluster(n) })
	other := listen(t, hub, "other", 64512, "10.0.0.5", cluster)
	outside := listen(t, hub, "outside", 64514, "10.0.0.6", asIs)
	another := listen(t, hub, "another", 64512, "10.0.0.7", cluster)
	for name, l := range map[string]*listener{"client": inside, "other": other, "another": another} {
		four, six := hopsTo(hub, name)
		l.wants("10.1.0.0/16"+four, "10.3.0.0/16 64513"+four,
			"10.2.0.0/16"+four+" of 10.0.0.2 through 10.9.9.9", "2001:db8:2::/48"+six+" of 10.0.0.2 through 10.9.9.9")
	}
	four, six := hopsTo(hub, "outside")
	outside.wants("10.1.0.0/16 64512"+four, "10.3.0.0/16 64512 64513"+four, "10.2.0.0/16 64512"+four, "2001:db8:2::/48 64512"+six)

	// What was reflected before goes on with the list that it has, and to clients alone.
	other.updateAttributes(prefixes("10.4.0.0/16"), nil, "10.0.0.8", "10.8.8.8")
	four, six = hopsTo(hub, "client")
	inside.wants("10.1.0.0/16"+four, "10.3.0.0/16 64513"+four, "10.4.0.0/16"+four+" of 10.0.0.8 through 10.9.9.9 10.8.8.8",
		"10.2.0.0/16"+four+" of 10.0.0.2 through 10.9.9.9", "2001:db8:2::/48"+six+" of 10.0.0.2 through 10.9.9.9")
	waitRoutes(t, a, "hub", "10.1.0.0/16", "10.3.0.0/16", "10.4.0.0/16")
	waitCounts(t, hub, "another", 4, 1)

	// A client's prefix that becomes another's is not reflected any more, and withdrawn.
	other.updateAttributes(prefixes("10.2.0.0/16"), nil, "10.0.0.1", "") // looped: no change
	other.updateAttributes(prefixes("10.2.0.0/16"), []uint32{}, "", "", gobgp.NewPathAttributeLocalPref(200))
	four, six = hopsTo(hub, "another")
	another.wants("10.1.0.0/16"+four, "10.3.0.0/16 64513"+four, "2001:db8:2::/48"+six+" of 10.0.0.2 through 10.9.9.9")
}

// updateAttributes announces IPv4 prefixes as an iBGP peer does, with an ORIGINATOR_ID and a
// CLUSTER_LIST if they are given.
func (p *rawPeer) updateAttributes(announce []netip.Prefix, asPath []uint32, originator, cluster string, more ...gobgp.PathAttributeInterface) {
	p.t.Helper()
	var nlri []gobgp.PathNLRI
	for _, x := range announce {
		nlri = append(nlri, p.nlri(x))
	}
	hop, _ := gobgp.NewPathAttributeNextHop(p.addr)
	var segments []gobgp.AsPathParamInterface
	if len(asPath) > 0 {
		segments = append(segments, p.segment(asPath))
	}
	attrs := []gobgp.PathAttributeInterface{gobgp.NewPathAttributeOrigin(0), gobgp.NewPathAttributeAsPath(segments), hop}
	attrs = append(attrs, more...)
	if originator != "" {
		a, _ := gobgp.NewPathAttributeOriginatorId(netip.MustParseAddr(originator))
		attrs = append(attrs, a)
	}
	if cluster != "" {
		a, _ := gobgp.NewPathAttributeClusterList([]netip.Addr{netip.MustParseAddr(cluster)})
		attrs = append(attrs, a)
	}
	p.send(gobgp.NewBGPUpdateMessage(nil, attrs, nlri))
}

// TestReflectionIsNoBetterWay: what a client says itself is better than what another
// reflector says of it, whatever the router IDs (RFC 4456 section 9): two reflectors would
// each go by the other otherwise.
func TestReflectionIsNoBetterWay(t *testing.T) {
	hub, a := startSpeaker(t, 64512, "10.0.0.9"), startSpeaker(t, 64512, "10.0.0.8")
	attach(t, hub, a, "a", asClient, asIs)
	other := listen(t, hub, "other", 64512, "10.0.0.1", asIs)
	announce(t, a, "10.2.0.0/16")
	waitRoutes(t, hub, "a", "10.2.0.0/16")
	other.updateAttributes(prefixes("10.2.0.0/16", "10.4.0.0/16"), nil, "10.0.0.8", "10.0.0.1")
	eventually(t, 40*time.Second, func() string {
		if r := hub.Routes(); r[prefixes("10.4.0.0/16")[0]].Best() != "other" || r[prefixes("10.2.0.0/16")[0]].Best() != "a" {
			return "routes are " + describe(r)
		}
		return ""
	})
	if err := hub.DeleteNeighbor(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	waitRoutes(t, hub, "other", "10.2.0.0/16", "10.4.0.0/16")
}

// TestASOverride: spokes of one AS number get each other's prefixes from a hub that puts its
// own number in the place of theirs, and lose them when they are withdrawn or a spoke is lost.
func TestASOverride(t *testing.T) {
	hub, a, b := startSpeaker(t, 64512, "10.0.0.1"), startSpeaker(t, 65000, "10.0.0.2"), startSpeaker(t, 65000, "10.0.0.3")
	attach(t, hub, a, "a", override, asIs)
	attach(t, hub, b, "b", override, asIs)
	announce(t, hub, "10.1.0.0/16")
	announce(t, a, "10.2.0.0/16", "2001:db8:2::/48")
	announce(t, b, "10.3.0.0/16", "2001:db8:3::/48")
	waitRoutes(t, a, "hub", "10.1.0.0/16", "10.3.0.0/16", "2001:db8:3::/48")
	waitRoutes(t, b, "hub", "10.1.0.0/16", "10.2.0.0/16", "2001:db8:2::/48")

	raw := listen(t, hub, "raw", 65000, "10.0.0.4", override)
	plain := listen(t, hub, "plain", 64513, "10.0.0.5", asIs)
	four, six := hopsTo(hub, "raw")
	raw.wants("10.1.0.0/16 64512"+four, "10.2.0.0/16 64512 64512"+four, "2001:db8:2::/48 64512 64512"+six,
		"10.3.0.0/16 64512 64512"+four, "2001:db8:3::/48 64512 64512"+six)
	plain4, plain6 := hopsTo(hub, "plain")
	plain.wants("10.1.0.0/16 64512"+plain4, "10.2.0.0/16 64512 65000"+plain4, "2001:db8:2::/48 64512 65000"+plain6,
		"10.3.0.0/16 64512 65000"+plain4, "2001:db8:3::/48 64512 65000"+plain6)
	waitCounts(t, hub, "raw", 5, 0)

	announce(t, a, "2001:db8:2::/48")
	waitRoutes(t, b, "hub", "10.1.0.0/16", "2001:db8:2::/48")
	if err := hub.DeleteNeighbor(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	waitRoutes(t, b, "hub", "10.1.0.0/16")
	raw.wants("10.1.0.0/16 64512"+four, "10.3.0.0/16 64512 64512"+four, "2001:db8:3::/48 64512 64512"+six)

	// What b announces better itself it is not told any more.
	raw.updatePath([]uint32{65000, 7}, prefixes("10.6.0.0/16"), nil)
	waitRoutes(t, b, "hub", "10.1.0.0/16", "10.6.0.0/16")
	announce(t, b, "10.6.0.0/16")
	waitRoutes(t, hub, "b", "10.6.0.0/16")
	waitRoutes(t, b, "hub", "10.1.0.0/16")
}

// TestAllowOwnAS: a path with this router's own AS as often as is allowed is taken.
func TestAllowOwnAS(t *testing.T) {
	s := startSpeaker(t, 65000, "10.0.0.1")
	p := rawSession(t, s, "hub", 64512, "10.0.0.2", func(n *Neighbor) { n.AllowOwnAS = 1 })
	p.updatePath([]uint32{64512, 65000}, prefixes("10.2.0.0/16"), nil)
	p.updatePath([]uint32{64512, 65000, 65000}, prefixes("10.3.0.0/16"), nil)
	waitRoutes(t, s, "hub", "10.2.0.0/16")
	eventually(t, 40*time.Second, func() string {
		if l := statusOf(s, "hub").Looped; l.Prefixes != 1 || l.ByAS != 1 || !strings.Contains(l.Last, "AS 65000 2 times") {
			return fmt.Sprintf("looped %+v", l)
		}
		return ""
	})
}

// TestLoopsAreTold: what is dropped because it has been here before is counted and named;
// what is this router's own, known from elsewhere or of no interest is not missed.
func TestLoopsAreTold(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1")
	announce(t, s, "10.1.0.0/16")
	other := rawSession(t, s, "other", 64513, "10.0.0.3", nil)
	other.update(64513, prefixes("10.2.0.0/16"), nil)
	waitRoutes(t, s, "other", "10.2.0.0/16")
	p := rawSession(t, s, "hub", 64514, "10.0.0.2", func(n *Neighbor) { n.Import = Policy{Prefixes: []Filter{filter("10.0.0.0/8", 0, 24)}} })
	p.updatePath([]uint32{64514, 64512, 7}, prefixes("10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16", "10.4.0.0/16", "11.0.0.0/16"), nil)
	told := func(want Looped) {
		t.Helper()
		eventually(t, 40*time.Second, func() string {
			if got := statusOf(s, "hub").Looped; got != want {
				return fmt.Sprintf("looped %+v, not %+v", got, want)
			}
			return ""
		})
	}
	last := "10.1.0.0/16 and 4 more: AS_PATH has this router's AS 64512 (RFC 4271 section 9.1.2)"
	told(Looped{Prefixes: 5, Total: 5, Last: last, ByAS: 2})
	if st := statusOf(s, "hub"); st.Received != 5 || st.Accepted != 0 || st.Malformed != (Malformed{}) {
		t.Errorf("status %+v", st)
	}
	p.update(64514, nil, prefixes("10.3.0.0/16"))
	other.update(64513, nil, prefixes("10.2.0.0/16"))
	told(Looped{Prefixes: 4, Total: 5, Last: last, ByAS: 2})
	p.conn.Close()
	told(Looped{Total: 5, Last: last})

	q := rawSession(t, s, "inside", 64512, "10.0.0.4", nil)
	q.updateAttributes(prefixes("10.5.0.0/16"), nil, "10.0.0.1", "")
	q.updateAttributes(prefixes("10.6.0.0/16", "10.7.0.0/16"), nil, "10.0.0.7", "10.0.0.1")
	eventually(t, 40*time.Second, func() string {
		if l := statusOf(s, "inside").Looped; l.ByOriginator != 1 || l.ByCluster != 2 || l.Prefixes != 3 || l.ByAS != 0 {
			return fmt.Sprintf("looped %+v", l)
		}
		return ""
	})
}

// TestWithheld: what a spoke is not sent because it comes from the spoke's own AS is counted
// at the hub, and sent with as_override or as a client, which other sessions do not notice.
func TestWithheld(t *testing.T) {
	for _, tt := range []struct {
		name string
		asn  uint32
		mend func(*Neighbor)
	}{{"eBGP", 65000, override}, {"iBGP", 64512, asClient}} {
		t.Run(tt.name, func(t *testing.T) {
			hub, a, b := startSpeaker(t, 64512, "10.0.0.1"), startSpeaker(t, tt.asn, "10.0.0.2"), startSpeaker(t, tt.asn, "10.0.0.3")
			attach(t, hub, a, "a", asIs, asIs)
			attach(t, hub, b, "b", asIs, asIs)
			announce(t, hub, "10.1.0.0/16")
			announce(t, a, "10.2.0.0/16", "2001:db8:2::/48")
			waitRoutes(t, b, "hub", "10.1.0.0/16")
			waitCounts(t, hub, "a", 1, 0)
			waitCounts(t, hub, "b", 1, 2)
			since := statusOf(hub, "a").Since
			hub.edit(func(all map[string]*Neighbor, _ *Wanted) {
				changed := *all["b"]
				tt.mend(&changed)
				all["b"] = &changed
			})
			waitRoutes(t, b, "hub", "10.1.0.0/16", "10.2.0.0/16", "2001:db8:2::/48")
			if st := statusOf(hub, "a"); !st.Since.Equal(since) || st.State != "established" {
				t.Errorf("the other session: %+v", st)
			}
		})
	}
}

// TestSuits: what cannot be is refused with words that tell what to change.
func TestSuits(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1")
	for want, edit := range map[string]func(*Neighbor){
		"route_reflector_client: is for iBGP":         func(n *Neighbor) { n.RouteReflectorClient = true },
		"as_override: is for eBGP":                    func(n *Neighbor) { n.ASOverride, n.ASN = true, 64512 },
		"allow_own_as 11: must be from 0 to 10":       func(n *Neighbor) { n.AllowOwnAS = 11 },
		"cluster_id 2001:db8::1: must be an IPv4":     func(n *Neighbor) { n.ClusterID = netip.MustParseAddr("2001:db8::1") },
		"allow_own_as -1: must be from 0 to 10":       func(n *Neighbor) { n.AllowOwnAS = -1 },
		"cluster_id 0.0.0.0: must be an IPv4 address": func(n *Neighbor) { n.ClusterID = netip.IPv4Unspecified() },
	} {
		local, peer := testAddrs()
		n := Neighbor{Name: "b", LocalAddr: local, PeerAddr: peer, ASN: 64513}
		edit(&n)
		if err := s.AddNeighbor(t.Context(), n); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
