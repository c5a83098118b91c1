package engine

import (
	"bytes"
	"testing"

	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// TestNonTransitiveStays: of a route from iBGP a neighbor in another AS gets those extended communities alone that may
// leave the AS (RFC 4360 section 6), and one in the same AS gets all.
func TestNonTransitiveStays(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1")
	inside := watchSession(t, s, "inside", openMessage(t, 64512, "10.0.0.2", extendedNextHop), func(n *Neighbor) { n.Export = Policy{Any: true}; n.RouteReflectorClient = true })
	outside := watchSession(t, s, "outside", openMessage(t, 64520, "10.0.0.3", extendedNextHop), func(n *Neighbor) { n.Export = Policy{Any: true} })
	from := rawSession(t, s, "from", 64512, "10.0.0.4", nil)
	six := func(first byte) []byte { return append([]byte{first, 2}, make([]byte, 18)...) }
	large := []byte{0xc0, 32, 12, 0, 0, 0xfc, 0, 0, 0, 0, 1, 0, 0, 0, 2}
	for _, tt := range []struct {
		prefix string
		nlri   []byte
		attrs  [][]byte
		ext    int // how many of EXTENDED COMMUNITIES may leave the AS
		ext6   int // and of IPv6 ones
	}{
		{"10.2.0.0/16", []byte{16, 10, 2}, [][]byte{{0xc0, 16, 24, 0x43, 0, 0, 0, 0, 0, 0, 1, 0, 2, 0xfc, 0, 0, 0, 0, 1, 0x40, 4, 0xfc, 0, 1, 2, 3, 4}}, 1, 0},
		{"10.3.0.0/16", []byte{16, 10, 3}, [][]byte{{0xc0, 16, 8, 0x43, 0, 0, 0, 0, 0, 0, 1}}, 0, 0},
		{"10.4.0.0/16", []byte{16, 10, 4}, [][]byte{append(append([]byte{0xc0, 25, 40}, six(0x40)...), six(0)...)}, 0, 1},
		{"10.5.0.0/16", []byte{16, 10, 5}, [][]byte{append([]byte{0xd0, 16, 1, 64}, bytes.Repeat([]byte{0x43, 0, 0, 0, 0, 0, 0, 1, 0, 2, 0xfc, 0, 0, 0, 0, 1}, 20)...)}, 20, 0},
	} {
		attrs := attributes(64700, true, append(bytes.Join(tt.attrs, nil), large...))
		body := append([]byte{0, 0, byte(len(attrs) >> 8), byte(len(attrs))}, attrs...)
		body = append(body, tt.nlri...)
		from.write(message(gobgp.BGP_MSG_UPDATE, 19+len(body), body))
		sent, sent6, _ := extended(readUpdate(t, message(gobgp.BGP_MSG_UPDATE, 19+len(body), body)))
		for who, want := range map[*watchedPeer][2]int{inside: {sent, sent6}, outside: {tt.ext, tt.ext6}} {
			got, got6, others := extended(who.wantUpdate(t, tt.prefix))
			if got != want[0] || got6 != want[1] || others != 1 {
				t.Errorf("%s: %d and %d of IPv6, and %d large ones, not %v", tt.prefix, got, got6, others, want)
			}
		}
	}
}

func readUpdate(t *testing.T, b []byte) *gobgp.BGPUpdate {
	t.Helper()
	m, err := gobgp.ParseBGPMessage(b)
	if err != nil {
		t.Fatal(err)
	}
	return m.Body.(*gobgp.BGPUpdate)
}

// extended counts extended communities, those of IPv6, and large ones.
func extended(u *gobgp.BGPUpdate) (ext, six, large int) {
	for _, a := range u.PathAttributes {
		switch a := a.(type) {
		case *gobgp.PathAttributeExtendedCommunities:
			ext += len(a.Value)
		case *gobgp.PathAttributeIP6ExtendedCommunities:
			six += len(a.Value)
		case *gobgp.PathAttributeLargeCommunities:
			large += len(a.Values)
		}
	}
	return ext, six, large
}

// FuzzWithoutNonTransitive: what is not an UPDATE with such communities stays as it is, and what is made of one is one.
func FuzzWithoutNonTransitive(f *testing.F) {
	f.Add([]byte{0, 0, 0, 11, 0xc0, 16, 8, 0x43, 0, 0, 0, 0, 0, 0, 1, 16, 10, 2})
	f.Add([]byte{0, 0, 0, 12, 0xd0, 16, 0, 8, 0x43, 0, 0, 0, 0, 0, 0, 1, 16, 10, 2})
	f.Add([]byte{0, 2, 8, 10, 0, 3, 0xc0, 25, 20})
	f.Add([]byte{0xff, 0xff, 0, 0})
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) > 4096-19 {
			return
		}
		m := message(gobgp.BGP_MSG_UPDATE, 19+len(body), body)
		before := bytes.Clone(m)
		out := withoutNonTransitive(m)
		if !bytes.Equal(m, before) {
			t.Fatal("the message was written to")
		}
		if len(out) > len(m) || int(out[16])<<8|int(out[17]) != len(out) {
			t.Fatalf("%x became %x", m, out)
		}
		if again := withoutNonTransitive(out); !bytes.Equal(again, out) {
			t.Fatalf("%x became %x, and that %x", m, out, again)
		}
	})
}
