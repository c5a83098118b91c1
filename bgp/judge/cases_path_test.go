package judge

import (
	"fmt"
	"strings"
	"testing"
)

// asns writes n AS numbers from first on, of width octets.
func asns(first, n, width int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%0*x", 2*width, first+i)
	}
	return b.String()
}

// seg is a path segment of n AS numbers from first on.
func seg(typ, first, n, width int) string {
	return fmt.Sprintf("%02x%02x%s", typ, n, asns(first, n, width))
}

// TestPaths has the rules of AS_PATH and AS4_PATH.
func TestPaths(t *testing.T) {
	ibgp, two := setup{internal: true}, setup{two: true}
	with := func(segments string) string { return origin + attr(0x40, attrASPath, segments) + hop }
	with4 := func(segments, four string) string { return with(segments) + attr(0xc0, attrAS4Path, four) }
	bad := func(rule string, u setup, segments, last string) ruleCase {
		return ruleCase{rule: rule, setup: u, attrs: with(segments), nlri: v4, want: gone4, counts: oneGone, last: "AS_PATH " + last}
	}
	good := func(rule string, u setup, segments, written string) ruleCase {
		return ruleCase{rule: rule, setup: u, attrs: with(segments), nlri: v4, want: taken4 + " 2=" + written}
	}
	// merged is an AS4_PATH that makes, with AS_PATH, a path of four, handed on in
	// both attributes.
	merged := func(rule, segments, four, written, written4 string) ruleCase {
		c := ruleCase{rule: rule, setup: two, attrs: with4(segments, four), nlri: v4, want: taken4 + " 2=" + written}
		if written4 != "" {
			c.want += " 17=" + written4
		}
		return c
	}
	badFour := func(rule, four, last string) ruleCase {
		return ruleCase{rule: rule, setup: two, attrs: with4("0202fc9a5ba0", four), nlri: v4, want: taken4 + " 2=0202fc9a5ba0", counts: oneLess, last: "AS4_PATH discarded: it " + last}
	}
	runCases(t, []ruleCase{
		bad("empty from eBGP (4271 5.1.2)", setup{}, "", "is empty"),
		good("empty from iBGP", ibgp, "", ""),
		bad("AS 0 (7607 2)", setup{}, "02020000fc9a00000000", "has AS 0"),
		bad("AS 0 in a set", setup{}, "02010000fc9a010100000000", "has AS 0"),
		bad("AS 0, two octets", two, "0202fc9a0000", "has AS 0"),
		bad("segment of type 0 (7606 7.2)", setup{}, "00010000fc9a", "has a segment of unknown type"),
		bad("segment of type 5", setup{}, "02010000fc9a05010000fc9a", "has a segment of unknown type"),
		bad("empty segment (7606 7.2)", setup{}, "02010000fc9a0200", "has an empty segment"),
		bad("empty set", setup{}, "0100"+"02010000fc9a", "has an empty segment"),
		bad("one octet left (7606 7.2)", setup{}, "02010000fc9a02", "ends within a segment"),
		bad("segment longer than the path (7606 7.2)", setup{}, "02020000fc9a", "has a segment longer"),
		bad("two-octet numbers from a 4-octet peer", setup{}, "0201fc9a", "has a segment longer"),
		bad("four-octet numbers from a 2-octet peer", two, "02010000fc9a", "has AS 0"),
		bad("confederation sequence from eBGP (5065 5)", setup{}, "03010000fde8"+"02010000fc9a", "has a confederation segment"),
		bad("confederation set from iBGP (5065 5)", ibgp, "04010000fde8", "has a confederation segment"),
		bad("malformed from iBGP", ibgp, "0201", "has a segment longer"),
		{rule: "flags of AS_PATH", attrs: origin + "c002060201" + "0000fc9a" + hop, nlri: v4, want: gone4, counts: oneGone, last: "AS_PATH has the wrong flags"},

		good("first AS is not the peer's: a route server's", setup{}, "020100000007", "020100000007"),
		good("set", setup{}, "02010000fc9a0102000000070000000a", "02010000fc9a0102000000070000000a"),
		good("set first", setup{}, "0102000000070000000a", "0102000000070000000a"),
		good("sequences in a row are one", setup{}, "02010000fc9a02010000000702010000000a", "02030000fc9a000000070000000a"),
		good("sets in a row stay", setup{}, "01010000fc9a010100000007", "01010000fc9a010100000007"),
		good("sequence of 255 has no room for one more", setup{}, seg(2, 1000, 255, 4), seg(2, 1000, 128, 4)+seg(2, 1128, 127, 4)),
		good("sequence of 128", setup{}, seg(2, 1000, 128, 4), seg(2, 1000, 128, 4)),
		good("sequence of 129", setup{}, seg(2, 1000, 129, 4), seg(2, 1000, 128, 4)+seg(2, 1128, 1, 4)),
		good("set of 255", setup{}, "02010000fc9a"+seg(1, 1000, 255, 4), "02010000fc9a"+seg(1, 1000, 255, 4)),
		good("two sequences of 255", two, seg(2, 1000, 255, 2)+seg(2, 1255, 255, 2), seg(2, 1000, 128, 2)+seg(2, 1128, 128, 2)+seg(2, 1256, 128, 2)+seg(2, 1384, 126, 2)),

		{rule: "own AS in the path (4271 9.1.2)", attrs: origin + pathOwn + hop, nlri: v4, want: gone4},
		{rule: "own AS in the path of a new route", attrs: origin + pathOwn + hop, nlri: "080a"},
		{rule: "own AS in the path, IPv6", attrs: origin + pathOwn + reach6, want: gone6},
		{rule: "own AS in a set", attrs: with("02010000fc9a01010000fc00"), nlri: v4, want: gone4},
		{rule: "own AS once, allowed once", setup: setup{ownAS: 1}, attrs: origin + pathOwn + hop, nlri: v4, want: taken4 + " 2=02020000fc9a0000fc00"},
		{rule: "own AS twice, allowed once", setup: setup{ownAS: 1}, attrs: with("02030000fc9a0000fc000000fc00"), nlri: v4, want: gone4},
		{rule: "own AS in the path, and malformed: malformed counts", attrs: "40010103" + pathOwn + hop, nlri: v4, want: gone4, counts: oneGone, last: "ORIGIN"},

		merged("all of the path in AS4_PATH (6793 4.2.3)", "0202fc9a5ba0", "02020000fc9a00010001", "0202fc9a5ba0", "02020000fc9a00010001"),
		merged("AS_PATH has one more in front", "0203fc9afc015ba0", "02020000fc0100010001", "0203fc9afc015ba0", "02030000fc9a0000fc0100010001"),
		merged("AS4_PATH without a large AS says nothing more", "0202fc9afc01", "02010000fc01", "0202fc9afc01", ""),
		{rule: "AS4_PATH has more than AS_PATH: ignored (6793 4.2.3)", setup: two, attrs: with4("0201fc9a", "02020000fc9a00010001"), nlri: v4, want: taken4},
		merged("a set counts as one", "0201fc9a01025ba05ba0", "02010000fc9a01020001000100010002", "0201fc9a01025ba05ba0", "02010000fc9a01020001000100010002"),
		merged("set in front: only what is behind it in AS4_PATH", "010100070201"+"5ba0", "0101000000070201"+"00010001", "0101000702015ba0", "020100010001"),
		merged("set in front of AS_PATH alone", "0101000702015ba0", "020100010001", "0101000702015ba0", "020100010001"),
		merged("nothing but a set: AS_TRANS stays", "0201"+"5ba0", "010100010001", "01015ba0", ""),
		merged("confederation segments of AS4_PATH are left out (6793 6)", "0202fc9a5ba0", "03010000fde8"+"02020000fc9a00010001", "0202fc9a5ba0", "02020000fc9a00010001"),
		merged("AS 65536", "0201"+"5ba0", "020100010000", "02015ba0", "020100010000"),
		merged("AS 65535", "0202"+"fc9a5ba0", "02020000fc9a0000ffff", "0202fc9affff", ""),
		merged("long ones", seg(2, 1000, 200, 2)+"02015ba0", seg(2, 1000, 200, 4)+"020100010001", seg(2, 1000, 128, 2)+"0249"+asns(1128, 72, 2)+"5ba0", seg(2, 1000, 128, 4)+"0249"+asns(1128, 72, 4)+"00010001"),
		badFour("malformed AS4_PATH (6793 6)", "02030000fc9a00010001", "has a segment longer"),
		badFour("empty AS4_PATH", "", "is too short"),
		badFour("AS4_PATH of two octets", "0200", "is too short"),
		badFour("AS4_PATH with AS 0 (7607 2)", "02020000fc9a00000000", "has AS 0"),
		badFour("AS4_PATH with a segment of unknown type", "09010000fc9a", "has a segment of unknown type"),
		badFour("AS4_PATH with an empty segment", "0200"+"02010000fc9a", "has an empty segment"),
		{rule: "own AS in AS4_PATH", setup: setup{two: true}, attrs: with4("0202fc9a5ba0", "02020000fc9a0000fc00"), nlri: v4, want: gone4},

		{rule: "1,785 AS numbers of two octets: 6 octets each on the way to a 2-octet peer", setup: two, attrs: with(strings.Repeat(seg(2, 1000, 255, 2), 7)), nlri: v4, want: gone4, counts: oneGone, last: "may need"},
		{rule: "635 AS numbers fit", setup: two, attrs: with(seg(2, 1000, 255, 2) + seg(2, 1255, 255, 2) + seg(2, 1510, 125, 2)), nlri: v4, want: taken4 + " 2=" + seg(2, 1000, 128, 2) + seg(2, 1128, 128, 2) + seg(2, 1256, 128, 2) + seg(2, 1384, 128, 2) + seg(2, 1512, 123, 2)},
	})
}
