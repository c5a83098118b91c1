package judge

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// unhex reads octets in hex, with spaces where they please.
func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

func frame(typ uint8, body []byte) []byte { return append(appendHeader(nil, typ, len(body)), body...) }

// updateMessage frames an UPDATE of three fields.
func updateMessage(withdrawn, attrs, nlri []byte) []byte {
	body := binary.BigEndian.AppendUint16(nil, uint16(len(withdrawn)))
	body = append(body, withdrawn...)
	body = binary.BigEndian.AppendUint16(body, uint16(len(attrs)))
	body = append(body, attrs...)
	return frame(typeUpdate, append(body, nlri...))
}

// attr is an attribute in hex. A value of more than 255 octets gets the extended
// length whatever flags say.
func attr(flags, typ int, value string) string {
	n := len(unhex(value))
	if n > 255 || flags&flagExtended != 0 {
		return fmt.Sprintf("%02x%02x%04x%s", flags|flagExtended, typ, n, value)
	}
	return fmt.Sprintf("%02x%02x%02x%s", flags, typ, n, value)
}

// What most UPDATEs here have in common: the peer is in AS 64666.
const (
	origin  = "40010100"
	path    = "40020602010000fc9a"
	hop     = "4003040a090102"
	usual   = origin + path + hop
	hop6    = "20010db8000000000000000000000001"
	v4      = "180a3c00"       // 10.60.0.0/24
	v6      = "3020010db80060" // 2001:db8:60::/48
	reach6  = "800e1c" + "000201" + "10" + hop6 + "00" + v6
	usual6  = origin + path + reach6
	path2   = "4002040201fc9a" // the path of a peer with AS numbers of two octets
	usual2  = origin + path2 + hop
	pathOwn = "40020a02020000fc9a0000fc00" // with AS 64512, which is this router's
)

// A setup is a session that a test begins with.
type setup struct {
	internal  bool // iBGP: the peer is in AS 64512 too
	two       bool // the peer has no 4-octet AS numbers
	noIPv4    bool // it offers IPv6 alone
	noIPv6    bool // it offers IPv4 alone
	noNextHop bool // it does not offer IPv6 next hops for IPv4
	noRefresh bool // it does not offer route refresh
	loopback  bool
	ownAS     int
	policy    *Policy // nil accepts everything
	plain     bool    // no route is there yet
}

func acceptAll(netip.Prefix) bool { return true }

// opens returns the OPENs of both ends.
func (u setup) opens() (ours, peers Open) {
	ours = Open{ASN: 64512, RouterID: netip.MustParseAddr("10.0.0.1"), HoldTime: 90, IPv4: true, IPv6: true, NextHopIPv6: true, FourOctetAS: true, Refresh: true}
	peers = Open{ASN: 64666, RouterID: netip.MustParseAddr("10.0.0.2"), HoldTime: 90, IPv4: !u.noIPv4, IPv6: !u.noIPv6, NextHopIPv6: !u.noNextHop, FourOctetAS: !u.two, Refresh: !u.noRefresh, enhancedRefresh: true}
	if u.internal {
		peers.ASN = 64512
	}
	return ours, peers
}

func (u setup) config() Config {
	c := Config{LocalASN: 64512, PeerASN: 64666, RouterID: netip.MustParseAddr("10.0.0.1"), ClusterID: netip.MustParseAddr("10.0.0.9"), AllowOwnAS: u.ownAS, AllowLoopback: u.loopback, Policy: Policy{Accept: acceptAll}}
	if u.internal {
		c.PeerASN = 64512
	}
	if u.policy != nil {
		c.Policy = *u.policy
	}
	return c
}

// establish returns a session that is established, with the two prefixes of the
// constants above announced unless u is plain.
func (u setup) establish(t testing.TB) *Session {
	t.Helper()
	s := New(u.config())
	ours, peers := u.opens()
	s.ToPeer(nil, appendOpen(nil, &ours))
	stream := append(appendOpen(nil, &peers), frame(typeKeepalive, nil)...)
	if !u.plain {
		p := path
		if u.two {
			p = path2
		}
		stream = append(stream, updateMessage(nil, unhex(origin+p+hop+attr(0x80, attrMED, "00000007")), unhex(v4))...)
		stream = append(stream, updateMessage(nil, unhex(origin+p+reach6+attr(0x80, attrMED, "00000007")), nil)...)
	}
	if _, err := s.FromPeer(nil, stream); err != nil {
		t.Fatal(err)
	}
	s.counts, s.last = Counts{}, note{}
	return s
}

// messages splits a stream into whole messages.
func messages(t testing.TB, b []byte) [][]byte {
	t.Helper()
	var all [][]byte
	for len(b) > 0 {
		if len(b) < headerLen || checkHeader(b) != nil || len(b) < messageLen(b) {
			t.Fatalf("not whole messages: %x", b)
		}
		all = append(all, b[:messageLen(b)])
		b = b[messageLen(b):]
	}
	return all
}

// A reader reads what is handed on, as GoBGP does, and keeps what GoBGP would
// have.
type reader struct {
	two    bool
	ebgp   bool
	loop   bool // loopback next hops are fine
	routes map[netip.Prefix]string
}

func (u setup) reader() *reader {
	return &reader{two: u.two, ebgp: !u.internal, loop: u.loopback, routes: map[netip.Prefix]string{}}
}

var bothFamilies = map[gobgp.Family]gobgp.BGPAddPathMode{gobgp.RF_IPv4_UC: 0, gobgp.RF_IPv6_UC: 0}

// read returns a message as lines: "-PREFIX", "+PREFIX", with what differs from
// the usual attributes behind it, "end IPv4", or the name of its type.
func (r *reader) read(t testing.TB, msg []byte) []string {
	t.Helper()
	option := &gobgp.MarshallingOption{Use2ByteAS: r.two}
	m, err := gobgp.ParseBGPMessage(msg, option)
	if err != nil {
		t.Fatalf("GoBGP does not read %x: %v", msg, err)
	}
	u, ok := m.Body.(*gobgp.BGPUpdate)
	if !ok {
		return []string{[...]string{"?", "OPEN", "UPDATE", "NOTIFICATION", "KEEPALIVE", "ROUTE-REFRESH"}[m.Header.Type]}
	}
	if ok, err := gobgp.ValidateUpdateMsg(u, bothFamilies, r.ebgp, false, r.loop); !ok {
		t.Fatalf("GoBGP does not take %x: %v", msg, err)
	}
	if end, f := u.IsEndOfRib(); end {
		return []string{map[gobgp.Family]string{gobgp.RF_IPv4_UC: "end IPv4", gobgp.RF_IPv6_UC: "end IPv6"}[f]}
	}
	if _, err := m.Serialize(option); err != nil {
		t.Fatalf("GoBGP does not write %x again: %v", msg, err)
	}
	return r.apply(t, u)
}

// apply keeps the routes of an UPDATE, and returns it as lines.
func (r *reader) apply(t testing.TB, u *gobgp.BGPUpdate) []string {
	t.Helper()
	var lines []string
	var via, differs string
	drop := func(ns []gobgp.PathNLRI) {
		for _, n := range ns {
			p := n.NLRI.(*gobgp.IPAddrPrefix).Prefix
			if _, ok := r.routes[p]; !ok {
				t.Fatalf("%v is withdrawn that was not announced", p)
			}
			delete(r.routes, p)
			lines = append(lines, "-"+p.String())
		}
	}
	drop(u.WithdrawnRoutes)
	announced := u.NLRI
	last := gobgp.BGPAttrType(0)
	for _, a := range u.PathAttributes {
		if a.GetType() <= last {
			t.Fatalf("attributes are not in order: %v", u.PathAttributes)
		}
		last = a.GetType()
		switch a := a.(type) {
		case *gobgp.PathAttributeMpUnreachNLRI:
			drop(a.Value)
		case *gobgp.PathAttributeMpReachNLRI:
			announced, via = append(announced, a.Value...), " via "+a.Nexthop.String()
		default:
			differs += unusual(t, a, r.two)
		}
	}
	for _, n := range announced {
		p := n.NLRI.(*gobgp.IPAddrPrefix).Prefix
		if r.routes[p] == "+"+via+differs {
			t.Fatalf("%v is announced again as it was", p)
		}
		r.routes[p] = "+" + via + differs
		lines = append(lines, "+"+p.String()+via+differs)
	}
	return lines
}

// unusual returns an attribute as " TYPE=VALUE", or "" if it is as usual.
func unusual(t testing.TB, a gobgp.PathAttributeInterface, two bool) string {
	b, err := a.Serialize(&gobgp.MarshallingOption{Use2ByteAS: two})
	if err != nil {
		t.Fatal(err)
	}
	x, typ, ok := attributeAt(b, 0)
	if !ok {
		t.Fatalf("bad attribute %x", b)
	}
	h := hex.EncodeToString(b)
	if slices.Contains([]string{origin, path, path2, hop}, h) {
		return ""
	}
	part := ""
	if x.flags&flagPartial != 0 {
		part = "p"
	}
	return fmt.Sprintf(" %d%s=%x", typ, part, b[x.value:])
}

// readAll reads a stream of whole messages.
func (r *reader) readAll(t testing.TB, b []byte) []string {
	t.Helper()
	var lines []string
	for _, m := range messages(t, b) {
		lines = append(lines, r.read(t, m)...)
	}
	return lines
}
