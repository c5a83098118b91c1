package rtnl

import (
	"encoding/binary"
	"net/netip"
	"reflect"
	"testing"

	"golang.org/x/sys/unix"
)

func TestRouteRoundTrip(t *testing.T) {
	for _, want := range []Route{
		{Prefix: netip.MustParsePrefix("10.1.2.0/24"), Table: 254, Metric: 20, Index: 7, Protocol: 186, Type: unix.RTN_UNICAST},
		{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Table: 100000, Index: 1, Protocol: 186, Type: unix.RTN_UNICAST,
			Source: netip.MustParseAddr("192.0.2.1")},
		{Prefix: netip.MustParsePrefix("2001:db8::/33"), Table: 255, Metric: 1<<32 - 1, Index: 1 << 31, Protocol: 255,
			Type: unix.RTN_BLACKHOLE, TOS: 4, Source: netip.MustParseAddr("2001:db8::1")},
		{Prefix: netip.MustParsePrefix("10.1.2.0/24"), Table: 254, NextHop: 827900001, Protocol: 186, Type: unix.RTN_UNICAST},
		{Prefix: netip.MustParsePrefix("::/0"), Table: 256, Protocol: 5, Type: unix.RTN_UNICAST},
		{Prefix: netip.MustParsePrefix("10.1.2.0/24"), Table: 254, Index: 7, Gateway: netip.MustParseAddr("192.0.2.1"), Protocol: 186, Type: unix.RTN_UNICAST},
		{Prefix: netip.MustParsePrefix("10.1.2.0/24"), Table: 254, Index: 7, Gateway: netip.MustParseAddr("fe80::1"), Protocol: 186, Type: unix.RTN_UNICAST},
		{Prefix: netip.MustParsePrefix("2001:db8::/33"), Table: 254, Index: 7, Gateway: netip.MustParseAddr("2001:db8::1"), Protocol: 186, Type: unix.RTN_UNICAST},
	} {
		b := AppendRoute([]byte("befo"), unix.RTM_NEWROUTE, unix.NLM_F_CREATE, 9, want)
		n := 0
		for h, payload := range Messages(b[4:]) {
			n++
			if h.Type != unix.RTM_NEWROUTE || h.Flags != unix.NLM_F_CREATE|unix.NLM_F_REQUEST || h.Seq != 9 {
				t.Errorf("header %+v", h)
			}
			if got, ok := ParseRoute(payload); !ok || got != want {
				t.Errorf("ParseRoute = %+v, %v; want %+v", got, ok, want)
			}
		}
		if n != 1 || len(b)%4 != 0 {
			t.Errorf("%d messages in %d bytes; want 1, padded to 4", n, len(b)-4)
		}
	}
}

func TestParseRouteMarksForeignShapes(t *testing.T) {
	plain := Route{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Table: 254, Type: unix.RTN_UNICAST}
	for _, attr := range []uint16{unix.RTA_GATEWAY, unix.RTA_MULTIPATH, unix.RTA_VIA, unix.RTA_ENCAP} {
		b := AppendRoute(nil, unix.RTM_NEWROUTE, 0, 1, plain)
		b = AppendAttr(b, attr, []byte{1, 2, 3, 4, 5, 6, 7}) // an address of no family
		if r, ok := ParseRoute(b[HeaderLen:]); !ok || !r.Odd {
			t.Errorf("attribute %d: %+v, %v; want an odd route", attr, r, ok)
		}
	}
	// What describes an object's ways beside its number is the kernel's rendering.
	object := AppendUint32(AppendRoute(nil, unix.RTM_NEWROUTE, 0, 1, plain), rtaNHID, 7)
	object = AppendUint32(AppendAttr(object, unix.RTA_MULTIPATH, []byte{1, 2, 3, 4}), unix.RTA_OIF, 9)
	object = AppendAttr(object, unix.RTA_GATEWAY, []byte{192, 0, 2, 1})
	if r, ok := ParseRoute(object[HeaderLen:]); !ok || r.Odd || r.Gateway.IsValid() || r.NextHop != 7 || r.Index != 0 {
		t.Errorf("%+v, %v; want a route by object 7", r, ok)
	}
	b := AppendRoute(nil, unix.RTM_NEWROUTE, 0, 1, plain)
	binary.NativeEndian.PutUint32(b[HeaderLen+8:], unix.RTM_F_CLONED)
	if _, ok := ParseRoute(b[HeaderLen:]); ok {
		t.Error("a cloned route counts")
	}
}

// FuzzMessages shows that no bytes make the parsers panic or read on for ever.
func FuzzMessages(f *testing.F) {
	b := AppendRoute(nil, unix.RTM_NEWROUTE, 0, 1, Route{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Table: 1000, Metric: 3, Index: 2})
	f.Add(b)
	f.Add(b[:len(b)-3])
	f.Add([]byte{16, 0, 0, 0, 2, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		for h, payload := range Messages(b) {
			if r, ok := ParseRoute(payload); ok && !r.Prefix.IsValid() {
				t.Errorf("a route with prefix %v", r.Prefix)
			}
			ParseLink(payload)
			ParseAddress(payload)
			ParseNextHop(payload)
			parseAnswer(h, payload)
		}
	})
}

func TestNextHopRoundTrip(t *testing.T) {
	for _, want := range []NextHop{
		{ID: 1, Family: unix.AF_INET, Protocol: 186, Index: 7},
		{ID: 1 << 31, Family: unix.AF_INET6, Protocol: 186, Index: 1 << 30},
		{ID: 2, Family: unix.AF_INET, Protocol: 186, Index: 7, Gateway: netip.MustParseAddr("192.0.2.1")},
		{ID: 3, Family: unix.AF_INET6, Protocol: 186, Index: 7, Gateway: netip.MustParseAddr("fe80::1")},
		{ID: 9, Protocol: 186, Group: []Member{{1, 1}, {2, 256}}},
	} {
		b := AppendNextHop(nil, unix.RTM_NEWNEXTHOP, unix.NLM_F_CREATE, 3, want)
		for _, payload := range Messages(b) {
			if got, ok := ParseNextHop(payload); !ok || !reflect.DeepEqual(got, want) {
				t.Errorf("ParseNextHop = %+v, %v; want %+v", got, ok, want)
			}
		}
		b = AppendAttr(b, 8, []byte{1, 2, 3, 4}) // NHA_ENCAP
		if got, _ := ParseNextHop(b[HeaderLen:]); !got.Odd {
			t.Errorf("%+v; want an odd object", got)
		}
	}
}

// TestParseAddress reads addresses as the kernel tells them: of IPv4 IFA_LOCAL is this end's and IFA_ADDRESS
// the subnet's or the far end's, of IPv6 there is IFA_ADDRESS alone where there is no far end.
func TestParseAddress(t *testing.T) {
	v4, far4, v6 := netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("10.1.0.2"), netip.MustParseAddr("2001:db8::1")
	head := func(family, bits, flags byte) []byte {
		return []byte{family, bits, flags, unix.RT_SCOPE_HOST, 7, 0, 0, 0}
	}
	with := func(b []byte, typ uint16, v []byte) []byte { return AppendAttr(b, typ, v) }
	for _, c := range []struct {
		b    []byte
		want Address
	}{
		{with(with(head(unix.AF_INET, 24, 0x80), unix.IFA_ADDRESS, v4.AsSlice()), unix.IFA_LOCAL, v4.AsSlice()),
			Address{Index: 7, Prefix: netip.PrefixFrom(v4, 24), Flags: 0x80, Scope: unix.RT_SCOPE_HOST}},
		{with(with(head(unix.AF_INET, 32, 0), unix.IFA_ADDRESS, far4.AsSlice()), unix.IFA_LOCAL, v4.AsSlice()),
			Address{Index: 7, Prefix: netip.PrefixFrom(v4, 32), Peer: far4, Scope: unix.RT_SCOPE_HOST}},
		{with(AppendUint32(head(unix.AF_INET6, 64, 0x80), unix.IFA_FLAGS, unix.IFA_F_STABLE_PRIVACY|0x80), unix.IFA_ADDRESS, v6.AsSlice()),
			Address{Index: 7, Prefix: netip.PrefixFrom(v6, 64), Flags: unix.IFA_F_STABLE_PRIVACY | 0x80, Scope: unix.RT_SCOPE_HOST}},
		{head(unix.AF_INET, 24, 0), Address{Index: 7}},
		{with(head(unix.AF_INET, 33, 0), unix.IFA_LOCAL, v4.AsSlice()), Address{Index: 7}},
		{with(head(unix.AF_INET, 24, 0), unix.IFA_LOCAL, []byte{10}), Address{Index: 7}},
	} {
		got, ok := ParseAddress(c.b)
		if ok != c.want.Prefix.IsValid() || ok && got != c.want {
			t.Errorf("%x: %+v, %v; want %+v", c.b, got, ok, c.want)
		}
	}
	if _, ok := ParseAddress(head(unix.AF_INET, 24, 0)[:7]); ok {
		t.Error("a message that is cut off is read")
	}
}
