package judge

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// TestLook: it is known of each prefix what became of it, with what is said of it or what is wrong
// with it, until it is withdrawn or announced otherwise.
func TestLook(t *testing.T) {
	accept := func(p netip.Prefix) bool { return p.Addr() != netip.MustParseAddr("12.0.0.0") }
	u := setup{plain: true, policy: &Policy{Accept: accept, MaxPrefixes: 1}}
	s := u.establish(t)
	send := func(m []byte) {
		t.Helper()
		if _, err := s.FromPeer(nil, m); err != nil {
			t.Fatal(err)
		}
	}
	want := func(p string, seen Seen, text string) {
		t.Helper()
		is := s.Look(netip.MustParsePrefix(p))
		if is.Seen != seen || !strings.HasPrefix(is.Text, text) {
			t.Errorf("%s: %+v, want %d %q", p, is, seen, text)
		}
	}
	bad := origin + attr(0x40, attrASPath, "0201") + hop
	communities := attr(0xc0, attrCommunities, "fc9a0007"+"ffffff01") + attr(0xc0, attrLargeCommunity, "0000fc9a0000000100000002")
	send(updateMessage(nil, unhex(usual+communities), unhex("080a")))
	send(updateMessage(nil, unhex(usual), unhex("080b080c")))
	send(updateMessage(nil, unhex(origin+pathOwn+hop), unhex("080d")))
	send(updateMessage(nil, unhex(bad), unhex("080e081e"))) // RFC 7606: treat as withdraw
	want("10.0.0.0/8", SeenAccepted, "")
	want("11.0.0.0/8", SeenWaiting, "")
	want("12.0.0.0/8", SeenFiltered, "")
	want("13.0.0.0/8", SeenLooped, "")
	want("14.0.0.0/8", SeenInvalid, "AS_PATH has a segment longer than itself (RFC 7606 section 7.2)")
	want("30.0.0.0/8", SeenInvalid, "AS_PATH ")
	want("15.0.0.0/8", SeenNot, "")
	is := s.Look(netip.MustParsePrefix("10.0.0.0/8"))
	if got := fmt.Sprint(is.Attributes.PathText(), " ", is.NextHop, is.Communities); got != "64666 10.9.1.2 [64666:7 NO_EXPORT 64666:1:2]" {
		t.Errorf("attributes are %s", got)
	}

	var covering []string
	s.EachCovering(netip.MustParseAddr("14.1.2.3"), func(p netip.Prefix, is Seen) { covering = append(covering, fmt.Sprint(p, is)) })
	if fmt.Sprint(covering) != fmt.Sprintf("[14.0.0.0/8 %d]", SeenInvalid) {
		t.Errorf("covering are %v", covering)
	}
	send(updateMessage(unhex("080e"), nil, nil))
	want("14.0.0.0/8", SeenNot, "")
	send(updateMessage(nil, unhex(usual), unhex("081e")))
	want("30.0.0.0/8", SeenWaiting, "")
	send(updateMessage(nil, unhex(bad), unhex("080a"))) // 11.0.0.0/8 gets the room
	want("10.0.0.0/8", SeenInvalid, "AS_PATH ")
	want("11.0.0.0/8", SeenAccepted, "")
	s.Retain(nil)
	want("10.0.0.0/8", SeenNot, "")
}

// TestInvalidIsBounded: however many malformed prefixes a peer sends, so many are remembered and no more, the
// last one among them; and they do not count as announced.
func TestInvalidIsBounded(t *testing.T) {
	u := setup{plain: true, policy: &Policy{Accept: acceptAll, HardMaxPrefixes: 10}}
	s := u.establish(t)
	bad := unhex(origin + attr(0x40, attrASPath, "0201") + hop)
	var last netip.Prefix
	for i := range uint32(3 * maxInvalid) {
		nlri := append([]byte{32}, binary.BigEndian.AppendUint32(nil, 0x0a000000+i)...)
		if _, err := s.FromPeer(nil, updateMessage(nil, bad, nlri)); err != nil {
			t.Fatal(err)
		}
		last = netip.PrefixFrom(netip.AddrFrom4([4]byte(nlri[1:])), 32)
		if n := len(s.invalid[IPv4]); n > maxInvalid {
			t.Fatalf("%d are remembered", n)
		}
		if s.Look(last).Seen != SeenInvalid {
			t.Fatalf("%v is not remembered", last)
		}
	}
	if c := s.Counts().Families[IPv4]; c.Received != 0 {
		t.Errorf("counts are %+v", c)
	}
}

// TestPathText: sets are in braces, and a long path has an end.
func TestPathText(t *testing.T) {
	for path, want := range map[string]string{
		"":                                      "",
		"02020000fc9a0000fc00":                  "64666 64512",
		"02010000fc9a0101000000ff":              "64666 { 255 }",
		"0228" + strings.Repeat("00000001", 40): strings.TrimSuffix(strings.Repeat("1 ", maxShown), " ") + " ...",
	} {
		a := Attributes{Path: string(unhex(path))}
		if got := a.PathText(); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}
