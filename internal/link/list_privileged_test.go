//go:build privileged

package link

import (
	"net/netip"
	"slices"
	"testing"

	"warren/internal/netns"
)

// TestLookAtAllAllocatesLittle: what a look at everything allocates is a few strings an interface, as one follows another
// while many tunnels come up.
func TestLookAtAllAllocatesLittle(t *testing.T) {
	const n, most = 200, 10 // allocations an interface, with its address
	netns.Test(t)
	crowd(t, n)
	s, err := newSource(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	each := testing.AllocsPerRun(5, func() {
		if snap, whole, err := s.read(); err != nil || !whole || len(snap.interfaces) <= n || len(snap.addresses) < n {
			t.Fatalf("%+v, %v, %v", snap, whole, err)
		}
	}) / n
	if each > most {
		t.Errorf("%.1f allocations an interface", each)
	}
}

// TestInventory: names, aliases and addresses; a point-to-point address is one alone.
func TestInventory(t *testing.T) {
	netns.Test(t)
	ip(t, "tuntap add mode tun name tun0")
	ip(t, "link set tun0 addrgenmode none alias warren:x")
	ip(t, "addr add 10.8.0.1 peer 10.9.0.0/24 dev tun0")
	ip(t, "addr add 10.7.0.1/24 dev tun0")
	ip(t, "addr add 2001:db8::1/64 dev tun0 nodad")
	all, err := Inventory()
	if err != nil {
		t.Fatal(err)
	}
	of := map[string]Present{}
	for _, p := range all {
		of[p.Name] = p
	}
	got := of["tun0"]
	slices.SortFunc(got.Addresses, netip.Prefix.Compare)
	if got.Alias != "warren:x" || got.Loopback || !slices.Equal(got.Addresses, prefixes("10.7.0.1/24 10.8.0.1/32 2001:db8::1/64")) {
		t.Errorf("%+v", got)
	}
	if lo := of["lo"]; !lo.Loopback || lo.Alias != "" {
		t.Errorf("%+v", lo)
	}
}
