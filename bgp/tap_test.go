package bgp

import (
	"net/netip"
	"testing"

	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// FuzzTap feeds the tap what a peer may send, in chunks of any size: it must
// see the same messages however they are cut, and never more than it may keep.
func FuzzTap(f *testing.F) {
	open, err := openMessage(f, 4200000001, "10.0.0.9").Serialize()
	if err != nil {
		f.Fatal(err)
	}
	bad := message(gobgp.BGP_MSG_NOTIFICATION, 21, []byte{2, 2})
	f.Add(open, uint8(1))
	f.Add(append(open[:len(open):len(open)], bad...), uint8(7))
	f.Add(message(99, 19, nil), uint8(19))
	f.Add(message(gobgp.BGP_MSG_OPEN, 4096, []byte{4}), uint8(3))
	f.Fuzz(func(t *testing.T, b []byte, chunk uint8) {
		whole, cut := tapSees(t, b, len(b)), tapSees(t, b, int(chunk)+1)
		if len(whole) != len(cut) {
			t.Fatalf("saw %d messages at once, %d in chunks of %d", len(whole), len(cut), int(chunk)+1)
		}
		for i := range whole {
			if string(whole[i]) != string(cut[i]) {
				t.Errorf("message %d differs", i)
			}
		}
	})
}

func tapSees(t *testing.T, b []byte, chunk int) (bodies [][]byte) {
	c := &tapConn{see: func(msgType uint8, body []byte) {
		bodies = append(bodies, append([]byte{msgType}, body...))
		parseOpen(body)
	}}
	for len(b) > 0 && !c.done.Load() {
		n := min(chunk, len(b))
		c.feed(b[:n])
		b = b[n:]
		if len(c.buf) > tapLimit+chunk {
			t.Fatalf("keeps %d bytes", len(c.buf))
		}
	}
	return bodies
}

func TestTapReadsOpen(t *testing.T) {
	b, err := openMessage(t, 4200000001, "10.0.0.9").Serialize()
	if err != nil {
		t.Fatal(err)
	}
	seen, ok := parseOpen(b[gobgp.BGP_HEADER_LENGTH:])
	if want := (openSeen{4200000001, netip.MustParseAddr("10.0.0.9")}); !ok || seen != want {
		t.Errorf("%+v, %v", seen, ok)
	}
}
