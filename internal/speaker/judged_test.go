package speaker

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"warren/bgp"
	"warren/bgp/judge"
	"warren/internal/speaker/wire"
)

// bgpMessage is a BGP message of a type (RFC 4271 section 4.1).
func bgpMessage(typ byte, body ...[]byte) []byte {
	m := make([]byte, 19)
	for i := range 16 {
		m[i] = 0xff
	}
	for _, b := range body {
		m = append(m, b...)
	}
	binary.BigEndian.PutUint16(m[16:], uint16(len(m)))
	m[18] = typ
	return m
}

// field is a prefix in an NLRI field.
func field(p netip.Prefix) []byte {
	return append([]byte{byte(p.Bits())}, p.Addr().AsSlice()[:(p.Bits()+7)/8]...)
}

// announcement is an UPDATE that announces p: in the NLRI field if the next hop is an IPv4 one and so is p.
func announcement(p netip.Prefix, hop []byte) []byte {
	attrs := []byte{0x40, 1, 1, 0, 0x40, 2, 6, 2, 1, 0, 0, 0xfc, 0x01} // ORIGIN, AS_PATH 64513
	var nlri []byte
	if p.Addr().Is4() && len(hop) == 4 {
		attrs = append(append(attrs, 0x40, 3, 4), hop...)
		nlri = field(p)
	} else {
		family := byte(2)
		if p.Addr().Is4() {
			family = 1
		}
		value := append([]byte{0, family, 1, byte(len(hop))}, hop...)
		value = append(append(value, 0), field(p)...)
		attrs = append(append(attrs, 0x80, 14, byte(len(value))), value...)
	}
	return bgpMessage(2, []byte{0, 0, 0, byte(len(attrs))}, attrs, nlri)
}

// judged has a judge of n's session hear an announcement, and returns the prefixes that it hands on, with their next
// hops.
func judged(t *testing.T, n *bgp.Neighbor, update []byte) map[netip.Prefix]netip.Addr {
	t.Helper()
	handed := map[netip.Prefix]netip.Addr{}
	var s *judge.Session
	cfg := judge.Config{
		LocalASN: 64512, PeerASN: 64513, RouterID: netip.MustParseAddr("10.0.0.1"), Choose: true,
		Policy: judge.Policy{Accept: func(p netip.Prefix) bool { ok, _ := n.Import.Accepts(p, nil); return ok }},
		Moved: func(p netip.Prefix, announced bool) {
			hop, ok := s.NextHop(p)
			if !announced || !ok {
				t.Errorf("%v was handed on, and is not there", p)
			}
			handed[p] = hop
		},
	}
	if n.LAN() {
		cfg.OnLink = n.OnLink
	}
	s = judge.New(cfg)
	// Both families, IPv6 next hops for IPv4 (RFC 8950), AS numbers of four octets.
	open := bgpMessage(1, []byte{4, 0xfc, 0x01, 0, 90, 10, 0, 0, 2, 28, 2, 26,
		1, 4, 0, 1, 0, 1, 1, 4, 0, 2, 0, 1, 5, 6, 0, 1, 0, 1, 0, 2, 65, 4, 0, 0, 0xfc, 0x01})
	s.ToPeer(nil, open)
	for _, m := range [][]byte{open, bgpMessage(4), update} {
		if _, err := s.FromPeer(nil, m); err != nil {
			t.Fatalf("%x: %v", m, err)
		}
	}
	return handed
}

// TestWhatIsJudgedIsTaken: whatever a peer says, the daemon takes what the judge hands on of it, for it would end the
// process otherwise, and all sessions.
func TestWhatIsJudgedIsTaken(t *testing.T) {
	lan4, lan6 := neighbor("lan4", 1), neighbor("lan6", 1)
	lan4.Interface, lan4.LocalAddr, lan4.PeerAddr = "eth0", netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	lan4.Network = []netip.Prefix{prefix("192.0.2.1/24"), prefix("2001:db8:5::1/64")}
	lan6.Interface, lan6.LocalAddr, lan6.PeerAddr = "eth0", netip.MustParseAddr("fe80::1%eth0"), netip.MustParseAddr("fe80::2%eth0")
	lan6.Network = lan4.Network
	neighbors := []bgp.Neighbor{lan4, lan6, neighbor("tunnel", 1)}
	for i := range neighbors {
		neighbors[i].Import = bgp.Policy{Any: true, Default: true, Prefixes: []bgp.Filter{
			{Prefix: prefix("0.0.0.0/0"), Le: 32}, {Prefix: prefix("::/0"), Le: 128},
		}}
		neighbors[i].MaxPrefixes = 0
	}
	var hops [][]byte
	addrs := []string{"::", "::1", "fe80::1", "fe80::2", "ff02::1", "2001:db8:5::1", "2001:db8:5::2", "2001:db8:6::2", "::ffff:192.0.2.2", "::ffff:192.0.2.1",
		"::ffff:198.51.100.1", "::ffff:0.0.0.0", "::192.0.2.2", "64:ff9b::192.0.2.2"}
	for _, a := range addrs {
		hop := netip.MustParseAddr(a).AsSlice()
		hops = append(hops, hop)
		for _, b := range addrs {
			hops = append(hops, append(hop[:16:16], netip.MustParseAddr(b).AsSlice()...))
		}
	}
	for _, a := range []string{"192.0.2.2", "192.0.2.1", "192.0.2.0", "192.0.2.255", "198.51.100.1", "0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255"} {
		hops = append(hops, netip.MustParseAddr(a).AsSlice())
	}
	taken := map[string]int{}
	for _, p := range []string{
		"0.0.0.0/0", "10.0.0.0/8", "192.0.2.2/32", "0.0.0.0/8", "255.255.255.255/32", "::/0", "2001:db8::/32", "2001:db8:5::2/128", "::ffff:0:0/96",
		"::ffff:10.0.0.0/104", "::ffff:192.0.2.2/128", "::/96", "fe80::/64", "ff00::/8", "::fffe:0:0/95",
	} {
		for _, hop := range hops {
			for i := range neighbors {
				n := &neighbors[i]
				tab := newTable()
				tab.want(neighbors, nil)
				for p, gateway := range judged(t, n, announcement(prefix(p), hop)) {
					if !n.LAN() {
						gateway = netip.Addr{} // as engine.neighbor.gateway
					}
					if err := tell(tab, []wire.Way{{ID: tab.wanted[n.Name].id, Gateway: gateway}}, p); err != nil {
						t.Errorf("%s: %v with next hop %x: %v", n.Name, p, hop, err)
					}
					taken[n.Name]++
				}
			}
		}
	}
	for _, n := range neighbors {
		if taken[n.Name] < 20 {
			t.Errorf("%s: no more than %d are handed on", n.Name, taken[n.Name])
		}
	}
}

// tell takes what the process says of a prefix by way of a frame.
func tell(tab *table, ways []wire.Way, p netip.Prefix) error {
	var w wire.RouteWriter
	w.Add(ways, p)
	_, payload, err := wire.NewReader(bytes.NewReader(w.Take()), wire.MaxFromSpeaker).Read()
	if err != nil {
		return err
	}
	r := wire.ReadRoutes(payload)
	set, p, err := r.Next()
	if err != nil {
		return err
	}
	is, err := tab.resolve(r.Ways(set))
	if err != nil {
		return err
	}
	defer tab.forget(is)
	return tab.set(is, p, time.Now())
}
