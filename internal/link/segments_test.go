package link

import (
	"net"
	"net/netip"
	"testing"
)

// TestSegmentsBetween counts those of one connection among others, at both ends.
func TestSegmentsBetween(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	port := uint16(l.Addr().(*net.TCPAddr).Port)
	local := netip.MustParseAddr("127.0.0.1")
	count := func() Segments {
		all, err := SegmentsBetween([][2]netip.Addr{{netip.MustParseAddr("192.0.2.1"), local}, {local, local}}, port)
		if err != nil {
			t.Fatal(err)
		}
		if all[0] != (Segments{}) {
			t.Errorf("a connection that there is not has %+v", all[0])
		}
		return all[1]
	}
	before := count()
	if before.In == 0 || before.Out == 0 {
		t.Fatalf("the handshake: %+v", before)
	}
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if after := count(); after.Out <= before.Out {
		t.Errorf("%+v, and before a segment more %+v", after, before)
	}
}
