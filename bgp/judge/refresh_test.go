package judge

import (
	"bytes"
	"encoding/hex"
	"testing"
)

// TestRefresh has ROUTE-REFRESH (RFC 2918, RFC 7313).
func TestRefresh(t *testing.T) {
	for _, c := range []struct {
		name, body string
		setup      setup
		passes     bool
		ends       string
	}{
		{"IPv4", "00010001", setup{}, true, ""},
		{"IPv6", "00020001", setup{}, true, ""},
		{"begin of refresh (7313 3.2)", "00010101", setup{}, false, ""},
		{"end of refresh", "00010201", setup{}, false, ""},
		{"unknown subtype (7313 5)", "00010301", setup{}, false, ""},
		{"IPv6, not negotiated", "00020001", setup{noIPv6: true}, false, ""},
		{"SAFI 2", "00010002", setup{}, false, ""},
		{"AFI 25", "00190041", setup{}, false, ""},
		{"AFI 0", "00000001", setup{}, false, ""},
		{"no capability in the peer's OPEN (2918 2)", "00010001", setup{noRefresh: true}, false, ""},
		{"short", "0001", setup{}, false, ""},
		{"with filters (5291)", "0001000101400000", setup{}, false, ""},
		{"begin of refresh, long (7313 5)", "0001010100", setup{}, false, "7/1 " + hex.EncodeToString(frame(typeRefresh, unhex("0001010100")))},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := c.setup.establish(t)
			msg := frame(typeRefresh, unhex(c.body))
			out, err := s.FromPeer(nil, msg)
			if ended(err) != c.ends {
				t.Fatalf("%q, want %q", ended(err), c.ends)
			}
			if err != nil {
				return
			}
			want, discarded := frame(typeKeepalive, nil), uint64(1)
			if c.passes {
				want, discarded = msg, 0
			}
			if counts := s.Counts(); !bytes.Equal(out, want) || counts.Discarded != discarded || (counts.Last != "") == c.passes {
				t.Errorf("%x, %+v", out, counts)
			}
		})
	}
}

// TestRefreshes: of a flood of ROUTE-REFRESHes one is handed on, and one more each time that the speaker has
// answered. The other family does not wait for it.
func TestRefreshes(t *testing.T) {
	s := setup{}.establish(t)
	refresh := [2][]byte{frame(typeRefresh, unhex("00010001")), frame(typeRefresh, unhex("00020001"))}
	want := func(what string, got []byte, err error, want ...[]byte) {
		t.Helper()
		if got = withoutKeepalives(t, got); err != nil || !bytes.Equal(got, bytes.Join(want, nil)) {
			t.Errorf("%s: %x, %v, want %x", what, got, err, want)
		}
	}
	flood := func(f int) ([]byte, error) { return s.FromPeer(nil, bytes.Repeat(refresh[f], 1000)) }
	refreshing := func(v4, v6 bool) {
		t.Helper()
		if got := s.Refreshing(); got != [2]bool{v4, v6} {
			t.Errorf("refreshing: %v", got)
		}
	}
	refreshing(false, false)
	out, err := flood(IPv4)
	want("a flood", out, err, refresh[IPv4])
	out, err = flood(IPv4)
	want("the flood goes on", out, err)
	out, err = s.FromPeer(nil, refresh[IPv6])
	want("the other family", out, err, refresh[IPv6])
	refreshing(true, true)
	want("answered, the other family", s.Refreshed(nil, IPv6), nil)
	refreshing(true, false)
	want("answered, and asked again meanwhile", s.Refreshed(nil, IPv4), nil, refresh[IPv4])
	refreshing(true, false)
	want("answered, and not asked again", s.Refreshed(nil, IPv4), nil)
	refreshing(false, false)
	out, err = s.FromPeer(nil, refresh[IPv4])
	want("once more", out, err, refresh[IPv4])
	if _, err := flood(IPv4); err != nil {
		t.Fatal(err)
	}
	if _, err := s.FromPeer(nil, frame(typeNotification, []byte{6, 2})); err != nil {
		t.Fatal(err)
	}
	want("answered after the session's end", s.Refreshed(nil, IPv4), nil)
	if c := s.Counts(); c.Discarded != 0 {
		t.Errorf("%+v", c)
	}
}
