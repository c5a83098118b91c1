package fib

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

func TestRouteRoundTrip(t *testing.T) {
	for _, want := range []route{
		{prefix: netip.MustParsePrefix("10.1.2.0/24"), table: 254, metric: 20, index: 7, protocol: 186, typ: unix.RTN_UNICAST},
		{prefix: netip.MustParsePrefix("0.0.0.0/0"), table: 100000, index: 1, protocol: 186, typ: unix.RTN_UNICAST,
			src: netip.MustParseAddr("192.0.2.1")},
		{prefix: netip.MustParsePrefix("2001:db8::/33"), table: 255, metric: 1<<32 - 1, index: 1 << 31, protocol: 255,
			typ: unix.RTN_BLACKHOLE, tos: 4, src: netip.MustParseAddr("2001:db8::1")},
		{prefix: netip.MustParsePrefix("::/0"), table: 256, protocol: 5, typ: unix.RTN_UNICAST},
	} {
		b := appendRoute([]byte("befo"), unix.RTM_NEWROUTE, unix.NLM_F_CREATE, 9, want)
		n := 0
		for h, payload := range messages(b[4:]) {
			n++
			if h.typ != unix.RTM_NEWROUTE || h.flags != unix.NLM_F_CREATE|unix.NLM_F_REQUEST || h.seq != 9 {
				t.Errorf("header %+v", h)
			}
			if got, ok := parseRoute(payload); !ok || got != want {
				t.Errorf("parseRoute = %+v, %v; want %+v", got, ok, want)
			}
		}
		if n != 1 || len(b)%4 != 0 {
			t.Errorf("%d messages in %d bytes; want 1, padded to 4", n, len(b)-4)
		}
	}
}

func TestParseRouteMarksForeignShapes(t *testing.T) {
	plain := route{prefix: netip.MustParsePrefix("10.0.0.0/8"), table: 254, typ: unix.RTN_UNICAST}
	for _, attr := range []uint16{unix.RTA_GATEWAY, unix.RTA_MULTIPATH, unix.RTA_VIA, rtaNHID, unix.RTA_ENCAP} {
		b := appendRoute(nil, unix.RTM_NEWROUTE, 0, 1, plain)
		b = appendAttr(b, attr, []byte{1, 2, 3, 4})
		if r, ok := parseRoute(b[headerLen:]); !ok || !r.odd {
			t.Errorf("attribute %d: %+v, %v; want an odd route", attr, r, ok)
		}
	}
	b := appendRoute(nil, unix.RTM_NEWROUTE, 0, 1, plain)
	binary.NativeEndian.PutUint32(b[headerLen+8:], unix.RTM_F_CLONED)
	if _, ok := parseRoute(b[headerLen:]); ok {
		t.Error("a cloned route counts")
	}
}

// FuzzMessages shows that no bytes make the parsers panic or read on for ever.
func FuzzMessages(f *testing.F) {
	b := appendRoute(nil, unix.RTM_NEWROUTE, 0, 1, route{prefix: netip.MustParsePrefix("10.0.0.0/8"), table: 1000, metric: 3, index: 2})
	f.Add(b)
	f.Add(b[:len(b)-3])
	f.Add([]byte{16, 0, 0, 0, 2, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		for h, payload := range messages(b) {
			if r, ok := parseRoute(payload); ok && !r.prefix.IsValid() {
				t.Errorf("a route with prefix %v", r.prefix)
			}
			parseLink(payload)
			parseAddr(payload)
			parseAnswer(h, payload)
		}
	})
}
