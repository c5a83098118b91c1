package speaker

import (
	"maps"
	"net/netip"
	"testing"
	"time"

	"warren/bgp"
)

// lanNeighbor is one on the network 192.0.2.0/24.
func lanNeighbor(name string, generation uint64) bgp.Neighbor {
	n := neighbor(name, generation)
	n.LocalAddr, n.PeerAddr = netip.MustParseAddr("192.0.2.100"), netip.MustParseAddr("192.0.2.1")
	n.Network = []netip.Prefix{netip.MustParsePrefix("192.0.2.100/24")}
	return n
}

// Gateways are told and kept with the ways, also when their process has died, and another
// gateway is another way.
func TestGateways(t *testing.T) {
	start := time.Now()
	tab, v := newTable(), view{}
	tab.want([]bgp.Neighbor{lanNeighbor("a", 1), lanNeighbor("b", 1), neighbor("tunnel", 1)}, nil)
	set(t, tab, "a@192.0.2.1 tunnel", "10.1.0.0/16", start)
	set(t, tab, "b@192.0.2.7 a@192.0.2.1 | tunnel", "10.2.0.0/16", start)
	set(t, tab, "a@fe80::1", "2001:db8:1::/48", start)
	v.take(tab)
	v.check(t, "at first", view{
		prefix("10.1.0.0/16"): "a@192.0.2.1 tunnel", prefix("10.2.0.0/16"): "a@192.0.2.1 b@192.0.2.7 | tunnel", prefix("2001:db8:1::/48"): "a@fe80::1",
	})
	set(t, tab, "a@192.0.2.2 tunnel", "10.1.0.0/16", start)
	v.take(tab)
	if got := v[prefix("10.1.0.0/16")]; got != "a@192.0.2.2 tunnel" {
		t.Errorf("with another gateway: %s", got)
	}
	before := maps.Clone(v)
	tab.orphan(start.Add(time.Minute))
	set(t, tab, "a@192.0.2.3", "10.1.0.0/16", start)
	tab.orphan(start.Add(time.Minute))
	v.take(tab)
	before[prefix("10.1.0.0/16")] = "a@192.0.2.3 tunnel"
	v.check(t, "after two deaths", before)
	tab.expire(start.Add(2 * time.Minute))
	v.take(tab)
	v.check(t, "at the end", view{})
	if len(tab.sets.ids)+len(tab.sets.names) > 0 {
		t.Errorf("sets are left: %v %v", tab.sets.ids, tab.sets.names)
	}
}

// What the process says of gateways is held against where the neighbor is.
func TestTellsNoGatewayThatCannotBe(t *testing.T) {
	tab, now := newTable(), time.Now()
	tab.want([]bgp.Neighbor{lanNeighbor("a", 1), neighbor("tunnel", 1)}, nil)
	for _, ways := range []string{"a", "a@198.51.100.1", "a@192.0.2.100", "tunnel@192.0.2.1", "tunnel | a"} {
		if err := trySet(tab, ways, "10.1.0.0/16", now); err == nil {
			t.Errorf("%s is taken", ways)
		}
	}
	if err := trySet(tab, "a@192.0.2.1", "2001:db8::/32", now); err == nil {
		t.Error("an IPv4 gateway is taken for an IPv6 prefix")
	}
	if err := trySet(tab, "a@fe80::1", "10.1.0.0/16", now); err != nil {
		t.Error(err)
	}
}
