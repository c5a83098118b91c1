package engine

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"warren/bgp/sockets"
)

// pooled opens sockets as the daemon does it for the speaker's process.
type pooled struct {
	sockets.Opener
	pool *sockets.Pool
}

func (p pooled) Listen(ctx context.Context, n *Neighbor) (net.Listener, error) {
	if !n.LAN() {
		return p.Opener.Listen(ctx, n)
	}
	l, err := p.pool.Listen(ctx, n)
	if err != nil {
		return nil, err
	}
	return l, nil
}

func withPool(t testing.TB) func(*Config) {
	o := sockets.On(testPort)
	pool := sockets.NewPool(o)
	t.Cleanup(func() { pool.Close() })
	return func(c *Config) { c.Connections = pooled{o, pool} }
}

// host is an address of the network that a is in.
func host(a netip.Addr, n byte) netip.Addr {
	b := a.As4()
	b[3] = n
	return netip.AddrFrom4(b)
}

// TestLANNeighbors: two neighbors on one network come to one address of this router's. Each
// has its session, wherever its connection is accepted, and the other does not notice when
// one is removed. The next hops that they announce are the gateways of their routes, a third
// router's too, and one from another network, or this router itself, is none.
func TestLANNeighbors(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1", withPool(t))
	local, first := testAddrs()
	peers := map[string]*rawPeer{}
	for i, name := range []string{"a", "b", "c"} {
		n := Neighbor{
			Name: name, LocalAddr: local, PeerAddr: host(first, byte(2+i)), ASN: 64513 + uint32(i),
			Network: []netip.Prefix{netip.PrefixFrom(local, 24)}, Import: Policy{Any: true}, Export: Policy{Own: true},
		}
		if err := s.AddNeighbor(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		p := dialWhenActive(t, s, name, n.PeerAddr, local)
		p.establish(n.ASN, fmt.Sprintf("10.0.0.%d", 2+i))
		waitState(t, s, name, "established")
		p.serve()
		peers[name] = p
	}
	peers["a"].updateVia(64513, peers["a"].addr, "10.2.0.0/16")
	peers["a"].updateVia(64513, host(local, 77), "10.3.0.0/16")
	peers["b"].updateVia(64514, peers["b"].addr, "10.4.0.0/16")
	peers["b"].updateVia(64514, netip.MustParseAddr("127.99.0.1"), "10.5.0.0/16")
	peers["b"].updateVia(64514, local, "10.6.0.0/16")
	eventually(t, 40*time.Second, func() string {
		r := s.Routes()
		if st := statusOf(s, "b"); len(r) != 3 || st.Malformed.Withdrawn != 2 || !strings.Contains(st.Malformed.Last, "not on the network of the session") {
			return fmt.Sprintf("routes are %s, b %+v", describe(r), st)
		}
		return ""
	})
	gateways := func(want map[string][]Way) {
		t.Helper()
		eventually(t, 40*time.Second, func() string {
			routes := s.Routes()
			for p, ways := range want {
				if got := routes[netip.MustParsePrefix(p)].Ways; !slices.Equal(got, ways) {
					return fmt.Sprintf("the ways to %s are %v, not %v", p, got, ways)
				}
			}
			return ""
		})
	}
	gateways(map[string][]Way{
		"10.2.0.0/16": {{Neighbor: "a", Gateway: peers["a"].addr}},
		"10.3.0.0/16": {{Neighbor: "a", Gateway: host(local, 77)}},
		"10.4.0.0/16": {{Neighbor: "b", Gateway: peers["b"].addr}},
		"10.6.0.0/16": nil,
	})
	// Another next hop is another way, beside another neighbor's too.
	s.TakeChanges()
	peers["a"].updateVia(64513, host(local, 78), "10.3.0.0/16")
	gateways(map[string][]Way{"10.3.0.0/16": {{Neighbor: "a", Gateway: host(local, 78)}}})
	eventually(t, 40*time.Second, func() string {
		if c, ok := s.TakeChanges()[netip.MustParsePrefix("10.3.0.0/16")]; !ok || len(c.Ways) != 1 || c.Ways[0].Gateway != host(local, 78) {
			return fmt.Sprintf("told is %v", c)
		}
		return ""
	})
	peers["b"].updateVia(64514, host(local, 79), "10.2.0.0/16")
	gateways(map[string][]Way{"10.2.0.0/16": {{Neighbor: "a", Gateway: peers["a"].addr}, {Neighbor: "b", Gateway: host(local, 79), Reserve: true}}})
	peers["b"].send(gobgp.NewBGPUpdateMessage([]gobgp.PathNLRI{peers["b"].nlri(netip.MustParsePrefix("10.2.0.0/16"))}, nil, nil))
	gateways(map[string][]Way{"10.2.0.0/16": {{Neighbor: "a", Gateway: peers["a"].addr}}})
	since := statusOf(s, "b").Since
	if err := s.DeleteNeighbor(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	waitRoutes(t, s, "b", "10.4.0.0/16")
	if st := statusOf(s, "b"); !st.Since.Equal(since) {
		t.Errorf("the other session began again: %+v", st)
	}
	// Nor does it need the other's listener.
	peers["b"].conn.Close()
	waitState(t, s, "b", "active")
	p := dialRaw(t, peers["b"].addr, local)
	p.establish(64514, "10.0.0.3")
	waitState(t, s, "b", "established")
}

// updateVia announces an IPv4 prefix with a next hop.
func (p *rawPeer) updateVia(asn uint32, hop netip.Addr, prefix string) {
	p.t.Helper()
	nextHop, err := gobgp.NewPathAttributeNextHop(hop)
	if err != nil {
		p.t.Fatal(err)
	}
	p.send(gobgp.NewBGPUpdateMessage(nil, []gobgp.PathAttributeInterface{
		gobgp.NewPathAttributeOrigin(0), gobgp.NewPathAttributeAsPath([]gobgp.AsPathParamInterface{p.segment([]uint32{asn})}), nextHop,
	}, []gobgp.PathNLRI{p.nlri(netip.MustParsePrefix(prefix))}))
}

// TestNoNextHopOfAnotherFamily: where the next hop is asked for who it is, none is made up.
func TestNoNextHopOfAnotherFamily(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1", withPool(t))
	announce(t, s, "10.1.0.0/16", "2001:db8:1::/48")
	l := listen(t, s, "lan", 64513, "10.0.0.2", func(n *Neighbor) { n.Network = []netip.Prefix{netip.PrefixFrom(n.LocalAddr, 24)} })
	four, _ := hopsTo(s, "lan")
	l.wants("10.1.0.0/16 64512" + four)
	waitCounts(t, s, "lan", 1, 0)
}

// TestTTLSecurity: two ends in two ASes that take nothing with a lower TTL than 255 (RFC 5082)
// hear one another, also when the session is established.
func TestTTLSecurity(t *testing.T) {
	a, b := startSpeaker(t, 64512, "10.0.0.1"), startSpeaker(t, 64513, "10.0.0.2")
	secure := func(n *Neighbor) { n.TTLSecurity = true }
	connect(t, a, b, secure, secure)
	announce(t, a, "10.1.0.0/16")
	announce(t, b, "10.2.0.0/16")
	waitRoutes(t, b, "a", "10.1.0.0/16")
	waitRoutes(t, a, "b", "10.2.0.0/16")
}

// TestStrangersOnTheLAN: a host of the network that belongs to nobody connects again and again. It keeps no neighbor's
// connections from being taken, not even those of one that cannot be dialed and of those that come to the same listener.
func TestStrangersOnTheLAN(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1", withPool(t))
	local, first := testAddrs()
	for i, name := range []string{"a", "b"} {
		n := Neighbor{
			Name: name, LocalAddr: local, PeerAddr: host(first, byte(2+i)), ASN: 64513 + uint32(i),
			Network: []netip.Prefix{netip.PrefixFrom(local, 24)}, Import: Policy{Any: true}, Export: Policy{Own: true},
		}
		if err := s.AddNeighbor(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	strangers := make(chan struct{})
	go func() {
		defer close(strangers)
		d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(host(first, 99), 0)), Timeout: 30 * time.Second}
		for tick := time.Tick(time.Second / 50); t.Context().Err() == nil; <-tick {
			if conn, err := d.Dial("tcp", netip.AddrPortFrom(local, testPort).String()); err == nil {
				defer conn.Close()
			}
		}
	}()
	t.Cleanup(func() { <-strangers })
	waitState(t, s, "a", stateActive)
	// This one says nothing, and occupies nobody else.
	dialRaw(t, host(first, 2), local)
	waitState(t, s, "a", stateOpenSent)
	dialRaw(t, host(first, 2), local)
	for i, name := range []string{"b", "a"} {
		p := dialRaw(t, host(first, byte(3-i)), local)
		p.establish(64514-uint32(i), fmt.Sprintf("10.0.0.%d", 3-i))
		waitState(t, s, name, stateEstablished)
		p.serve()
	}
}
