package judge

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// TestLongestFit grows the longest attributes of each kind that are handed on,
// as a speaker does that hands them on: they always fit into a message.
func TestLongestFit(t *testing.T) {
	longest := 0
	for _, two := range []bool{false, true} {
		for _, internal := range []bool{false, true} {
			for kind := range 6 {
				u := setup{two: two, internal: internal, plain: true}
				// n is the largest number of items that is handed on.
				n := 0
				for step := 512; step > 0; step /= 2 {
					if _, ok := u.tryLong(t, kind, n+step); ok {
						n += step
					}
				}
				s, _ := u.tryLong(t, kind, n)
				size := s.grown(t)
				longest = max(longest, size)
				if size > maxMessage {
					t.Errorf("%+v, kind %d: %d items become a message of %d octets", u, kind, n, size)
				}
				if size < 3500 {
					t.Errorf("%+v, kind %d: not more than %d items, which make %d octets, is too careful", u, kind, n, size)
				}
			}
		}
	}
	if longest < maxMessage-150 {
		t.Errorf("the longest message has %d octets: the bound is too careful", longest)
	}
}

// tryLong announces 10.1.2.3/32 with n items of some attribute, and reports
// whether it is handed on.
func (u setup) tryLong(t *testing.T, kind, n int) (*Session, bool) {
	width := 4
	if u.two {
		width = 2
	}
	asPath := seg(2, 1, 1, width)
	attrs := attr(0x80, attrMED, "00000001") + "400600" + attr(0xc0, attrAggregator, "0000fc9a0a000001"[8-2*width:])
	switch kind {
	case 0, 1: // a path of small or large AS numbers
		item, four := fmt.Sprintf("%0*x", 2*width, 1000), ""
		if kind == 1 {
			item = "00010005"
			if u.two {
				item = "5ba0"
			}
		}
		asPath = ""
		for left := n; left > 0; left -= 255 {
			k := min(left, 255)
			asPath += fmt.Sprintf("02%02x", k) + strings.Repeat(item, k)
			four += fmt.Sprintf("02%02x", k) + strings.Repeat("00010005", k)
		}
		if kind == 1 && u.two {
			attrs += attr(0xc0, attrAS4Path, four)
		}
	case 2:
		attrs += attr(0xc0, attrCommunities, strings.Repeat("00010002", n))
	case 3:
		attrs += attr(0xc0, attrExtCommunities, strings.Repeat("0002000100020003", n))
	case 4:
		if !u.internal {
			attrs += attr(0xc0, attrIPv6Communities, strings.Repeat("0002"+hop6+"0001", n))
		} else {
			attrs += attr(0x80, attrClusterList, strings.Repeat("0a000005", n)) + attr(0x40, attrLocalPref, "00000064") + attr(0x80, attrOriginatorID, "0a000006")
		}
	case 5: // sets of one
		asPath += strings.Repeat(seg(1, 1000, 1, width), n)
	}
	s := u.establish(t)
	raw := unhex(origin + attr(0x40, attrASPath, asPath) + hop + attrs)
	if len(raw) > 60000 {
		return s, false
	}
	// A longer message than 4096 octets is judged too, to find the bound.
	s.judgeUpdate(nil, updateMessage(nil, raw, unhex("200a010203"))[headerLen:])
	if s.err != nil {
		t.Fatal(s.err)
	}
	return s, s.Counts().Families[IPv4].Accepted == 1
}

// grown is the length of the message in which the route that was judged last
// reaches a peer that takes all that can be added.
func (s *Session) grown(t *testing.T) int {
	r := &s.update.route
	var wide []gobgp.AsPathParamInterface
	as := r.path.as
	for _, sg := range r.path.segments {
		wide = append(wide, gobgp.NewAs4PathParam(sg.typ, as[:sg.n]))
		as = as[sg.n:]
	}
	own := gobgp.NewAs4PathParam(asSequence, []uint32{s.cfg.LocalASN})
	all := []gobgp.PathAttributeInterface{gobgp.NewPathAttributeLocalPref(100)}
	list := []netip.Addr{s.cfg.RouterID}
	m := s.handedOn(t)
	for _, a := range m.PathAttributes {
		switch a := a.(type) {
		case *gobgp.PathAttributeClusterList:
			list = append(list, a.Value...)
		case *gobgp.PathAttributeAsPath:
			small, four := narrow(append([]gobgp.AsPathParamInterface{own}, wide...))
			all = append(all, gobgp.NewPathAttributeAsPath(small), gobgp.NewPathAttributeAs4Path(four))
		case *gobgp.PathAttributeAs4Path, *gobgp.PathAttributeNextHop, *gobgp.PathAttributeLocalPref, *gobgp.PathAttributeOriginatorId:
		default:
			all = append(all, a)
		}
	}
	origin, _ := gobgp.NewPathAttributeOriginatorId(s.cfg.RouterID)
	clusters, _ := gobgp.NewPathAttributeClusterList(list)
	four, _ := gobgp.NewPathAttributeAs4Aggregator(70000, s.cfg.RouterID)
	nlri, _ := gobgp.NewIPAddrPrefix(netip.MustParsePrefix("2001:db8::1/128"))
	reach, _ := gobgp.NewPathAttributeMpReachNLRI(gobgp.RF_IPv6_UC, []gobgp.PathNLRI{{NLRI: nlri}}, netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("fe80::1"))
	b, err := gobgp.NewBGPUpdateMessage(nil, append(all, origin, clusters, four, reach), nil).Body.Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return headerLen + len(b)
}

// handedOn reads the route that was judged last back.
func (s *Session) handedOn(t *testing.T) *gobgp.BGPUpdate {
	e, _ := s.tables[IPv4].get(s.update.nlri.prefixes[0])
	b := appendAnnouncements(nil, []announcement{{s.update.nlri.prefixes[0], e.attrs, IPv4}}, s.attrs.blob(e.attrs))
	m, err := gobgp.ParseBGPMessage(b, &gobgp.MarshallingOption{Use2ByteAS: s.asWidth() == 2})
	if err != nil {
		t.Fatal(err)
	}
	return m.Body.(*gobgp.BGPUpdate)
}

// narrow splits segments so that none is too long and writes them as AS_PATH and
// AS4_PATH for a peer of two octets.
func narrow(path []gobgp.AsPathParamInterface) (small []gobgp.AsPathParamInterface, four []*gobgp.As4PathParam) {
	for _, p := range path {
		for as := range slices.Chunk(p.GetAS(), 255) {
			var two []uint16
			for _, x := range as {
				two = append(two, uint16(x))
			}
			small = append(small, gobgp.NewAsPathParam(p.GetType(), two))
			four = append(four, gobgp.NewAs4PathParam(p.GetType(), as))
		}
	}
	return small, four
}
