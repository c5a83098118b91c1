package engine

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/osrg/gobgp/v4/api"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// offered is what the far end of the tests below announces.
var offered = []string{"10.2.0.0/16", "10.2.1.0/24", "10.2.1.128/25", "10.3.0.0/16", "0.0.0.0/0", "127.0.0.0/8", "169.254.1.0/24", "224.0.0.0/8"}

func TestImport(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1")
	p := rawSession(t, s, "b", 64513, "10.0.0.2", func(n *Neighbor) { n.Import = Policy{} })
	p.update(64513, prefixes(offered...), nil)
	eventually(t, 40*time.Second, func() string {
		if st := statusOf(s, "b"); st.Received != len(offered) || st.Accepted != 0 {
			return fmt.Sprintf("%+v", st)
		}
		return ""
	})
	waitRoutes(t, s, "b")
	since := statusOf(s, "b").Since
	for _, tt := range []struct {
		policy Policy
		want   string
	}{
		{Policy{Any: true}, "10.2.0.0/16 10.2.1.0/24 10.2.1.128/25 10.3.0.0/16"},
		{Policy{Default: true}, "0.0.0.0/0"},
		{Policy{Any: true, Default: true}, "10.2.0.0/16 10.2.1.0/24 10.2.1.128/25 10.3.0.0/16 0.0.0.0/0"},
		{Policy{Own: true}, ""},
		{Policy{Prefixes: []Filter{filter("10.2.0.0/16", 0, 24)}}, "10.2.0.0/16 10.2.1.0/24"},
		{Policy{Prefixes: []Filter{filter("10.2.0.0/16", 17, 0), filter("10.3.0.0/16", 0, 0)}}, "10.2.1.0/24 10.2.1.128/25 10.3.0.0/16"},
		{Policy{Prefixes: []Filter{filter("0.0.0.0/0", 0, 32)}}, "10.2.0.0/16 10.2.1.0/24 10.2.1.128/25 10.3.0.0/16 0.0.0.0/0"},
		{Policy{Prefixes: []Filter{filter("2001:db8::/32", 0, 0)}}, ""},
		{Policy{}, ""},
	} {
		if err := s.SetPolicy(t.Context(), "b", tt.policy, Policy{}, 0, 0); err != nil {
			t.Fatal(err)
		}
		t.Log(tt.policy)
		waitRoutes(t, s, "b", strings.Fields(tt.want)...)
		waitRIB(t, s, len(strings.Fields(tt.want)))
	}
	if st := statusOf(s, "b"); !st.Since.Equal(since) {
		t.Error("the session did not stay")
	}
}

// TestLoopReplacesRoute announces a route again with this AS in its path: that
// takes the place of the first, and cannot be used itself.
func TestLoopReplacesRoute(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1")
	p := rawSession(t, s, "b", 64513, "10.0.0.2", nil)
	p.update(64513, prefixes("10.2.0.0/16", "10.3.0.0/16"), nil)
	waitRoutes(t, s, "b", "10.2.0.0/16", "10.3.0.0/16")
	p.updatePath([]uint32{64513, 64512, 64599}, prefixes("10.2.0.0/16"), nil)
	waitRoutes(t, s, "b", "10.3.0.0/16")
	eventually(t, 40*time.Second, func() string {
		if n := ribSize(t, s); n != 1 {
			return fmt.Sprintf("GoBGP holds %d routes", n)
		}
		return ""
	})
	p.updatePath([]uint32{64513, 645121, 64599}, prefixes("10.2.0.0/16"), nil)
	waitRoutes(t, s, "b", "10.2.0.0/16", "10.3.0.0/16")
}

func TestExport(t *testing.T) {
	hub, leaf := startSpeaker(t, 64512, "10.0.0.1"), startSpeaker(t, 64514, "10.0.0.3")
	p := rawSession(t, hub, "source", 64513, "10.0.0.2", func(n *Neighbor) { n.Import = Policy{Any: true, Default: true} })
	p.update(64513, prefixes(offered...), nil)
	if err := hub.SetAnnounced(t.Context(), prefixes("10.1.0.0/16", "2001:db8:1::/48", "127.5.0.0/16")); err != nil {
		t.Fatal(err)
	}
	connect(t, hub, leaf, func(n *Neighbor) { n.Export = Policy{} }, func(n *Neighbor) {
		n.Import = Policy{Any: true, Default: true}
	})
	since := statusOf(leaf, "a").Since
	own, transit := "10.1.0.0/16 2001:db8:1::/48", "10.2.0.0/16 10.2.1.0/24 10.2.1.128/25 10.3.0.0/16"
	for _, tt := range []struct {
		policy Policy
		want   string
	}{
		{Policy{Own: true}, own},
		{Policy{Any: true}, own + " " + transit},
		{Policy{Default: true}, "0.0.0.0/0"},
		{Policy{Own: true, Default: true}, own + " 0.0.0.0/0"},
		{Policy{Prefixes: []Filter{filter("10.2.0.0/16", 0, 24), filter("10.1.0.0/16", 0, 0)}}, "10.1.0.0/16 10.2.0.0/16 10.2.1.0/24"},
		{Policy{}, ""},
	} {
		if err := hub.SetPolicy(t.Context(), "b", Policy{}, tt.policy, 0, 0); err != nil {
			t.Fatal(err)
		}
		t.Log(tt.policy)
		want := strings.Fields(tt.want)
		waitRoutes(t, leaf, "a", want...)
		if st := statusOf(hub, "b"); st.Announced != len(want) {
			t.Errorf("export %s: announced %d, not %d", tt.policy, st.Announced, len(want))
		}
	}
	if st := statusOf(leaf, "a"); !st.Since.Equal(since) {
		t.Error("the session did not stay")
	}
}

// TestNextHops reads what a neighbor is sent: next hops are this end's address
// of the session, for iBGP, for routes of others, and across families.
func TestNextHops(t *testing.T) {
	for _, asn := range []uint32{64513, 64512} {
		s := startSpeaker(t, 64512, "10.0.0.1")
		source := rawSession(t, s, "source", 64599, "10.0.0.9", nil)
		source.update(64599, prefixes("10.9.0.0/16"), nil)
		if err := s.SetAnnounced(t.Context(), prefixes("10.1.0.0/16", "2001:db8:1::/48")); err != nil {
			t.Fatal(err)
		}
		waitRoutes(t, s, "source", "10.9.0.0/16")
		local, peer := addRaw(t, s, "b", asn, func(n *Neighbor) { n.Export = Policy{Any: true} })
		waitState(t, s, "b", "active")
		p := dialRaw(t, peer, local)
		p.establish(asn, "10.0.0.2")
		got := p.nextHops(3)
		madeUp := netip.MustParseAddr("fe80::5efe:10.0.0.1")
		want := map[string]netip.Addr{"10.1.0.0/16": local, "10.9.0.0/16": local, "2001:db8:1::/48": madeUp}
		for prefix, hop := range want {
			if got[prefix] != hop {
				t.Errorf("AS %d: next hop of %s is %s, not %s", asn, prefix, got[prefix], hop)
			}
		}
	}
}

// nextHops reads UPDATEs until n prefixes have been announced.
func (p *rawPeer) nextHops(n int) map[string]netip.Addr {
	hops := make(map[string]netip.Addr)
	for len(hops) < n {
		m := p.read()
		if m == nil {
			p.t.Fatalf("the session ended; next hops so far: %v", hops)
		}
		update, ok := m.Body.(*gobgp.BGPUpdate)
		if !ok {
			continue
		}
		for _, attr := range update.PathAttributes {
			switch a := attr.(type) {
			case *gobgp.PathAttributeNextHop:
				for _, nlri := range update.NLRI {
					hops[nlri.NLRI.String()] = a.Value
				}
			case *gobgp.PathAttributeMpReachNLRI:
				for _, nlri := range a.Value {
					hops[nlri.NLRI.String()] = a.Nexthop
				}
			}
		}
	}
	return hops
}

// objects counts all that GoBGP keeps of policies.
func objects(t *testing.T, s *Speaker) string {
	t.Helper()
	var sets, entries, statements, policies, assigned int
	ctx := context.Background()
	for _, typ := range []api.DefinedType{api.DefinedType_DEFINED_TYPE_PREFIX, api.DefinedType_DEFINED_TYPE_NEIGHBOR} {
		s.server.ListDefinedSet(ctx, &api.ListDefinedSetRequest{DefinedType: typ}, func(d *api.DefinedSet) {
			sets++
			entries += len(d.List) + len(d.Prefixes)
		})
	}
	s.server.ListStatement(ctx, &api.ListStatementRequest{}, func(*api.Statement) { statements++ })
	s.server.ListPolicy(ctx, &api.ListPolicyRequest{}, func(*api.Policy) { policies++ })
	s.server.ListPolicyAssignment(ctx, &api.ListPolicyAssignmentRequest{Name: "global"}, func(a *api.PolicyAssignment) { assigned += len(a.Policies) })
	return fmt.Sprintf("%d sets, %d entries, %d statements, %d policies, %d assigned", sets, entries, statements, policies, assigned)
}

func TestNothingLeaks(t *testing.T) {
	a, b := startSpeaker(t, 64512, "10.0.0.1"), startSpeaker(t, 64513, "10.0.0.2")
	if err := b.SetAnnounced(t.Context(), prefixes("10.2.0.0/16", "10.3.0.0/16")); err != nil {
		t.Fatal(err)
	}
	before := objects(t, a)
	addrA, addrB := testAddrs()
	var goroutines int
	for i := range 12 {
		connectAt(t, a, b, addrA, addrB, func(n *Neighbor) {
			n.Import = Policy{Any: i%3 == 0, Default: i%2 == 0, Prefixes: []Filter{filter("10.2.0.0/16", 0, 24), filter("2001:db8::/32", 0, 48)}}
			n.Export = Policy{Own: true, Any: i%2 == 0, Prefixes: n.Import.Prefixes}
			n.MaxPrefixes = 1
		}, nil)
		waitState(t, a, "b", "established")
		if objects(t, a) == before {
			t.Fatal("no policy objects while there is a neighbor")
		}
		eventually(t, 40*time.Second, func() string {
			if len(a.Routes()) != 1 {
				return describe(a.Routes())
			}
			return ""
		})
		for s, name := range map[*Speaker]string{a: "b", b: "a"} {
			if err := s.DeleteNeighbor(t.Context(), name); err != nil {
				t.Fatal(err)
			}
		}
		if routes := a.Routes(); len(routes) != 0 {
			t.Errorf("right after DeleteNeighbor: %s", describe(routes))
		}
		a.waitClosed(t.Context())
		b.waitClosed(t.Context())
		if i == 1 {
			goroutines = settledGoroutines()
		}
	}
	if after := objects(t, a); after != before {
		t.Errorf("before: %s; after: %s", before, after)
	}
	eventually(t, 40*time.Second, func() string {
		if n := settledGoroutines(); n > goroutines+3 {
			return fmt.Sprintf("%d goroutines after 2 rounds, %d after 12", goroutines, n)
		}
		return ""
	})
	if n := ribSize(t, a); n != 0 {
		t.Errorf("%d routes are left in GoBGP", n)
	}
}

// settledGoroutines counts goroutines once the number no longer falls.
func settledGoroutines() int {
	n := runtime.NumGoroutine()
	for range 50 {
		time.Sleep(10 * time.Millisecond)
		if m := runtime.NumGoroutine(); m < n {
			n = m
		}
	}
	return n
}

// TestExportPolicyCanBeAskedBefore: GoBGP asks the export policy before it makes the attributes that a
// neighbor is to be sent (tools/amend), so the policy may look at nothing that this changes: attributes
// but for communities. There is a neighbor of each kind that has statements of its own.
func TestExportPolicyCanBeAskedBefore(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1")
	addRaw(t, s, "external", 64513, func(n *Neighbor) {
		n.Preference = 10
		n.Export.Prefixes = []Filter{filter("10.2.0.0/16", 0, 24), filter("2001:db8::/32", 0, 48)}
	})
	addRaw(t, s, "internal", 64512, func(n *Neighbor) { n.Drained, n.RouteReflectorClient = true, amended })
	addRaw(t, s, "drained", 64514, func(n *Neighbor) { n.Drained, n.ASOverride = true, amended })
	if err := s.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	own, seen := 0, map[string]bool{}
	err := s.server.ListPolicyAssignment(t.Context(), &api.ListPolicyAssignmentRequest{Direction: dirExport.api()}, func(a *api.PolicyAssignment) {
		for _, p := range a.Policies {
			for _, st := range p.Statements {
				own++
				st.Conditions.ProtoReflect().Range(func(f protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
					switch f.Name() {
					case "prefix_set", "neighbor_set", "community_set", "route_type", "afi_safi_in":
						seen[string(f.Name())] = true
					default:
						t.Errorf("statement %s looks at %s", st.Name, f.Name())
					}
					return true
				})
			}
		}
	})
	if err != nil || own < 10 || len(seen) < 4 {
		t.Errorf("%d statements, with conditions %v: this shows nothing (%v)", own, seen, err)
	}
}
