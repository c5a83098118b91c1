package engine

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// A watched raw peer notes what the speaker sends it, and keeps its session.
type watchedPeer struct {
	*rawPeer
	got  chan *gobgp.BGPMessage
	kept []*gobgp.BGPUpdate // that nobody has asked for yet
}

// watchSession is an established session whose peer looks at all that it is
// sent.
func watchSession(t *testing.T, s *Speaker, name string, open *gobgp.BGPMessage, edit func(*Neighbor)) *watchedPeer {
	t.Helper()
	asn := uint32(open.Body.(*gobgp.BGPOpen).MyAS)
	local, peer := addRaw(t, s, name, asn, edit)
	p := dialWhenActive(t, s, name, peer, local)
	p.twoOctet = len(open.Body.(*gobgp.BGPOpen).OptParams[0].(*gobgp.OptionParameterCapability).Capability) == 2
	p.establishAs(open)
	waitState(t, s, name, stateEstablished)
	w := &watchedPeer{rawPeer: p, got: make(chan *gobgp.BGPMessage, 1000)}
	go func() {
		defer close(w.got)
		for {
			m := p.read()
			if m == nil {
				return
			}
			if m.Header.Type == gobgp.BGP_MSG_KEEPALIVE {
				p.send(gobgp.NewBGPKeepAliveMessage())
			}
			w.got <- m
		}
	}()
	return w
}

// wantUpdate waits for an UPDATE that announces the prefix, and returns it. What
// comes before it is kept: UPDATEs of two families may come in any order.
func (w *watchedPeer) wantUpdate(t *testing.T, prefix string) *gobgp.BGPUpdate {
	t.Helper()
	for i, u := range w.kept {
		if announces(u, prefix) {
			w.kept = slices.Delete(w.kept, i, i+1)
			return u
		}
	}
	timeout := time.After(time.Minute)
	for {
		select {
		case m, ok := <-w.got:
			if !ok {
				t.Fatal("the session ended")
			}
			u, ok := m.Body.(*gobgp.BGPUpdate)
			if ok && announces(u, prefix) {
				return u
			}
			if ok {
				w.kept = append(w.kept, u)
			}
		case <-timeout:
			t.Fatalf("%s was not announced", prefix)
		}
	}
}

func announces(u *gobgp.BGPUpdate, prefix string) bool {
	nlri := slices.Clone(u.NLRI)
	for _, a := range u.PathAttributes {
		if r, ok := a.(*gobgp.PathAttributeMpReachNLRI); ok {
			nlri = append(nlri, r.Value...)
		}
	}
	return slices.ContainsFunc(nlri, func(n gobgp.PathNLRI) bool { return n.NLRI.String() == prefix })
}

// TestNoUpdateEndsTheProcess sends what once exceeded the message size of
// another neighbor on its way out, for which GoBGP 4.8.0 panics
// (osrg/gobgp#2629): to a neighbor with 2-octet AS numbers, one of iBGP, one
// that is sent IPv4 prefixes with an IPv6 next hop. All sessions go on, and what
// fits is passed on.
func TestNoUpdateEndsTheProcess(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1")
	transit := func(n *Neighbor) { n.Export = Policy{Any: true} }
	listeners := []*watchedPeer{
		watchSession(t, s, "two-octet", openWithoutFourOctet(t, 64520, "10.0.0.20"), transit),
		watchSession(t, s, "ibgp", openMessage(t, 64512, "10.0.0.21"), transit),
		watchSession(t, s, "ebgp", openMessage(t, 64522, "10.0.0.22", extendedNextHop), transit),
	}
	four, two := rawSession(t, s, "four", 64666, "10.0.0.2", nil), watchSession(t, s, "two", openWithoutFourOctet(t, 64667, "10.0.0.3"), nil)
	prefix := "10.60.0.0/16"
	nlri := []byte{16, 10, 60}
	for _, tt := range []struct {
		what  string
		from  *rawPeer
		attrs []byte
	}{
		{"communities", four, attributes(64666, true, append([]byte{0xd0, 8, 0x0f, 0xa0}, bytes.Repeat([]byte{0, 1, 0, 2}, 1000)...))},
		{"a full message to iBGP", four, attributes(64666, true, append([]byte{0xd0, 8, 0x0f, 0xc8}, bytes.Repeat([]byte{0, 1, 0, 2}, 1010)...))},
		{"1,785 two-octet AS numbers", two.rawPeer, twoOctetPath(64667, 1785)},
		{"a first segment of 255", four, fourOctetPath(64666, 255)},
		{"three segments of 255", four, fourOctetPath(64666, 255, 255, 255)},
		{"sixteen segments of one", four, fourOctetPath(64666, slices.Repeat([]int{1}, 16)...)},
	} {
		t.Run(tt.what, func(t *testing.T) {
			body := append([]byte{0, 0, byte(len(tt.attrs) >> 8), byte(len(tt.attrs))}, tt.attrs...)
			body = append(body, nlri...)
			if len(body)+19 > 4096 {
				t.Fatalf("the test's message has %d bytes", len(body)+19)
			}
			tt.from.write(message(gobgp.BGP_MSG_UPDATE, 19+len(body), body))
			tt.from.update(map[*rawPeer]uint32{four: 64666, two.rawPeer: 64667}[tt.from], prefixes("10.61.0.0/16"), nil)
			for _, l := range listeners {
				l.wantUpdate(t, "10.61.0.0/16")
			}
			tt.from.update(0, nil, prefixes("10.61.0.0/16", prefix))
			waitRoutes(t, s, "")
		})
	}
	for _, name := range []string{"two-octet", "ibgp", "ebgp", "four", "two"} {
		if wrong := wantState(s, name, stateEstablished); wrong != "" {
			t.Error(wrong)
		}
	}
}

// TestMalformedIsNotRelayed sends what receivers would end their sessions for,
// with IPv6 and IPv4 prefixes: nothing of it arrives there.
func TestMalformedIsNotRelayed(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1")
	listener := watchSession(t, s, "c", openMessage(t, 64520, "10.0.0.20", extendedNextHop), func(n *Neighbor) { n.Export = Policy{Any: true} })
	from := rawSession(t, s, "b", 64666, "10.0.0.2", nil)
	for i, tt := range []struct {
		what, attrs string // beside ORIGIN and AS_PATH
		arrives     bool
		lacks       gobgp.BGPAttrType // in what arrives
	}{
		{"NEXT_HOP beside MP_REACH", "4003040a090102", true, gobgp.BGP_ATTR_TYPE_NEXT_HOP},
		{"PREFIX_SID that is malformed", "c02803010203", true, gobgp.BGP_ATTR_TYPE_PREFIX_SID},
		{"OTC of length 3", "c023030000fc", false, 0},
		{"COMMUNITIES of length 0", "c00800", false, 0},
		{"EXTENDED COMMUNITIES of length 0", "c01000", false, 0},
		{"LARGE_COMMUNITY of length 0", "c02000", false, 0},
		{"an attribute that nobody knows", "c0f0021234", true, 0xf0},
		{"LOCAL_PREF from eBGP", "40050400000001", true, gobgp.BGP_ATTR_TYPE_LOCAL_PREF},
		{"AS4_AGGREGATOR alone", "c012080000fc9a0a090102", true, gobgp.BGP_ATTR_TYPE_AS4_AGGREGATOR},
	} {
		t.Run(tt.what, func(t *testing.T) {
			extra, err := hex.DecodeString(tt.attrs)
			if err != nil {
				t.Fatal(err)
			}
			prefix := netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, byte(i)}), 48)
			reach := append([]byte{0x80, 14, 28, 0, 2, 1, 16, 0x20, 1, 0xd, 0xb8, 15: 0, 16: 0, 17: 0, 18: 0, 19: 0, 20: 0, 21: 0, 22: 1, 23: 0, 24: 48}, prefix.Addr().AsSlice()[:6]...)
			attrs := append(attributes(64666, false, extra), reach...)
			body := append([]byte{0, 0, byte(len(attrs) >> 8), byte(len(attrs))}, attrs...)
			from.write(message(gobgp.BGP_MSG_UPDATE, 19+len(body), body))
			after := fmt.Sprintf("10.62.%d.0/24", i)
			from.update(64666, prefixes(after), nil)
			if tt.arrives {
				u := listener.wantUpdate(t, prefix.String())
				if slices.ContainsFunc(u.PathAttributes, func(a gobgp.PathAttributeInterface) bool { return a.GetType() == tt.lacks }) {
					t.Errorf("it arrives with the attribute: %v", u.PathAttributes)
				}
			}
			listener.wantUpdate(t, after)
			eventually(t, time.Minute, func() string {
				routes := s.Routes()
				if routes[netip.MustParsePrefix(after)].Best() == "" {
					return after + " is no route"
				}
				if _, there := routes[prefix]; there != tt.arrives {
					return fmt.Sprintf("it is a route: %v", there)
				}
				return ""
			})
		})
	}
	st := statusOf(s, "b")
	if st.State != stateEstablished || st.Malformed.Withdrawn != 4 || st.Malformed.Discarded == 0 || st.Malformed.Last == "" {
		t.Errorf("%+v", st)
	}
}

// attributes are ORIGIN, an AS_PATH of one AS, NEXT_HOP if wanted, and more.
func attributes(asn uint32, nextHop bool, more []byte) []byte {
	b := []byte{0x40, 1, 1, 0, 0x40, 2, 6, 2, 1, byte(asn >> 24), byte(asn >> 16), byte(asn >> 8), byte(asn)}
	if nextHop {
		b = append(b, 0x40, 3, 4, 127, 9, 1, 2)
	}
	return append(b, more...)
}

// twoOctetPath has n AS numbers, as a peer without 4-octet ones sends them.
func twoOctetPath(asn uint16, n int) []byte {
	var path []byte
	for n > 0 {
		k := min(n, 255)
		path = append(path, 2, byte(k))
		for range k {
			path = append(path, byte(asn>>8), byte(asn))
		}
		n -= k
	}
	return pathAttributes(path)
}

// fourOctetPath has segments of the given sizes.
func fourOctetPath(asn uint32, sizes ...int) []byte {
	var path []byte
	for _, k := range sizes {
		path = append(path, 2, byte(k))
		for range k {
			path = append(path, byte(asn>>24), byte(asn>>16), byte(asn>>8), byte(asn))
		}
	}
	return pathAttributes(path)
}

func pathAttributes(path []byte) []byte {
	b := append([]byte{0x40, 1, 1, 0, 0x50, 2, byte(len(path) >> 8), byte(len(path))}, path...)
	return append(b, 0x40, 3, 4, 127, 9, 1, 2)
}

// openWithoutFourOctet is the OPEN of a peer that knows 2-octet AS numbers only.
func openWithoutFourOctet(t *testing.T, asn uint16, id string) *gobgp.BGPMessage {
	t.Helper()
	m, err := gobgp.NewBGPOpenMessage(asn, 90, netip.MustParseAddr(id), []gobgp.OptionParameterInterface{
		gobgp.NewOptionParameterCapability([]gobgp.ParameterCapabilityInterface{
			gobgp.NewCapMultiProtocol(gobgp.RF_IPv4_UC), gobgp.NewCapMultiProtocol(gobgp.RF_IPv6_UC)})})
	if err != nil {
		t.Fatal(err)
	}
	return m
}
