package engine

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// TestNothingIsMissed has sessions come up while what is announced changes: in
// the end each peer has what is announced, and nothing else.
func TestNothingIsMissed(t *testing.T) {
	a, b := startSpeaker(t, 64512, "10.0.0.1"), startSpeaker(t, 64513, "10.0.0.2")
	for round := range 15 {
		addrA, addrB := testAddrs()
		connectAt(t, a, b, addrA, addrB, nil, nil)
		var last []netip.Prefix
		began := time.Now()
		for i := 0; wantState(b, "a", stateEstablished) != "" || i < 20; i++ {
			last = manyPrefixes(1000*round+i, 20)
			a.edit(func(_ map[string]*Neighbor, w *Wanted) { w.Announced = last })
			if time.Since(began) > time.Minute {
				t.Fatal("no session")
			}
		}
		eventually(t, time.Minute, func() string {
			routes := b.Routes()
			if len(routes) != len(last) {
				return fmt.Sprintf("round %d: %d routes, not %d", round, len(routes), len(last))
			}
			for _, p := range last {
				if _, ok := routes[p]; !ok {
					return "no route to " + p.String()
				}
			}
			return ""
		})
		for _, err := range []error{a.DeleteNeighbor(t.Context(), "b"), b.DeleteNeighbor(t.Context(), "a")} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestLookForMissed plays events around the time in which GoBGP loses changes.
func TestLookForMissed(t *testing.T) {
	up := time.Now()
	path, err := localPath(netip.MustParsePrefix("10.1.0.0/16"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		what      string
		at        time.Duration // after the OPEN
		confirmed time.Duration // zero: not yet
		export    Policy
		want      bool
	}{
		{"before the OPEN", -time.Second, 0, Policy{Own: true}, false},
		{"before the session is confirmed", time.Second, 0, Policy{Own: true}, true},
		{"before the session was confirmed", time.Second, 2 * time.Second, Policy{Own: true}, true},
		{"after that", 3 * time.Second, 2 * time.Second, Policy{Own: true}, false},
		{"what the neighbor is not sent", time.Second, 0, policyOf("10.2.0.0/16"), false},
	} {
		n := &neighbor{Neighbor: Neighbor{Export: tt.export}}
		c := &confirmation{from: up}
		if tt.confirmed > 0 {
			c.to = up.Add(tt.confirmed)
		}
		s := &Speaker{confirming: map[*neighbor]*confirmation{n: c}, rib: newRIB(), kick: make(chan struct{}, 1)}
		s.lookForMissedLocked([]*apiutil.Path{path}, up.Add(tt.at))
		if n.applied.resetting != tt.want || len(s.kick) == 1 != tt.want || len(n.session.missed) == 1 != tt.want {
			t.Errorf("%s: %v, %v", tt.what, n.applied.resetting, n.session.missed)
		}
	}
}

// TestMissedWithdrawal has routes withdrawn in the time in which GoBGP loses that: the peer
// is told nevertheless, and before it gets what there is.
func TestMissedWithdrawal(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1")
	s.edit(func(_ map[string]*Neighbor, w *Wanted) { w.Announced = prefixes("10.1.0.0/16", "2001:db8:1::/48") })
	local, peer := addRaw(t, s, "b", 64513, func(n *Neighbor) { n.Export = Policy{Own: true} })
	waitState(t, s, "b", stateActive)
	p := dialRaw(t, peer, local)
	p.establish(64513, "10.0.0.2")
	waitState(t, s, "b", stateEstablished)
	gone := append(manyPrefixes(0, withdrawnAtOnce+1), prefixes("2001:db8:2::/48")...)
	s.mu.Lock()
	n := s.neighbors["b"]
	for _, g := range append(gone, prefixes("10.1.0.0/16")...) {
		n.session.miss(g)
	}
	n.applied.resetting = true
	s.mu.Unlock()
	s.wake()
	withdrawn := map[netip.Prefix]bool{}
	for len(withdrawn) < len(gone) {
		u, ok := p.read().Body.(*gobgp.BGPUpdate)
		if !ok {
			continue
		}
		for _, w := range u.WithdrawnRoutes {
			withdrawn[netip.MustParsePrefix(w.NLRI.String())] = true
		}
		for _, a := range u.PathAttributes {
			if m, ok := a.(*gobgp.PathAttributeMpUnreachNLRI); ok {
				for _, w := range m.Value {
					withdrawn[netip.MustParsePrefix(w.NLRI.String())] = true
				}
			}
		}
	}
	for _, g := range gone {
		if !withdrawn[g] {
			t.Errorf("%v is not withdrawn, but %v", g, withdrawn)
		}
	}
}

func TestWithdrawalIsOneMessage(t *testing.T) {
	six := make([]netip.Prefix, withdrawnAtOnce)
	for i := range six {
		six[i] = netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: byte(i)}), 128)
	}
	for _, all := range [][]netip.Prefix{six, manyPrefixes(0, withdrawnAtOnce)} {
		b, err := withdrawal(all)
		if err != nil || len(b) > 4096 {
			t.Fatalf("%d octets, %v", len(b), err)
		}
		m, err := gobgp.ParseBGPMessage(b)
		if err != nil {
			t.Fatal(err)
		}
		u := m.Body.(*gobgp.BGPUpdate)
		n := len(u.WithdrawnRoutes)
		for _, a := range u.PathAttributes {
			n += len(a.(*gobgp.PathAttributeMpUnreachNLRI).Value)
		}
		if n != len(all) {
			t.Errorf("%d prefixes of %d", n, len(all))
		}
	}
}
