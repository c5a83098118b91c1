package judge

import "testing"

// TestPrefixes has the rules of fields with prefixes, and of next hops in
// MP_REACH_NLRI.
func TestPrefixes(t *testing.T) {
	const (
		toV4   = "0001" + "01"
		toV6   = "0002" + "01"
		global = "20010db8000000000000000000000001"
		local  = "fe800000000000000000000000000001"
		none   = "00000000000000000000000000000000"
	)
	reach := func(family, hopLen, hop, nlri string) string {
		return attr(0x80, attrMPReach, family+hopLen+hop+"00"+nlri)
	}
	unreach := func(family, nlri string) string { return attr(0x80, attrMPUnreach, family+nlri) }
	v6with := func(hopLen, hop string) string { return origin + path + reach(toV6, hopLen, hop, v6) }
	v4with := func(hopLen, hop string) string { return origin + path + reach(toV4, hopLen, hop, v4) }
	noHop := setup{noNextHop: true}
	runCases(t, []ruleCase{
		{rule: "several", attrs: usual, nlri: "00" + v4 + "200a3c0001", want: "+0.0.0.0/0;" + taken4 + ";+10.60.0.1/32"},
		{rule: "several, IPv6", attrs: origin + path + reach(toV6, "10", hop6, "00"+v6+"80"+global), want: "+::/0 via 2001:db8::1;" + taken6 + ";+2001:db8::1/128 via 2001:db8::1"},
		{rule: "a prefix twice", attrs: usual, nlri: v4 + v4, want: taken4},
		{rule: "host bits (4271 4.3)", attrs: usual, nlri: "17" + "0a3dff" + "0fac11", want: "+10.61.254.0/23;+172.16.0.0/15", counts: oneFixed, last: "host bits"},
		{rule: "host bits of what is withdrawn", withdrawn: "190a3c0001", counts: oneFixed, last: "host bits"},
		{rule: "host bits, IPv6", attrs: origin + path + reach(toV6, "10", hop6, "2f20010db80061"), want: "+2001:db8:60::/47 via 2001:db8::1", counts: oneFixed, last: "host bits"},
		{rule: "length 33 (7606 5.3)", attrs: usual, nlri: "210a3c000000", ends: "3/10", last: "NLRI has a prefix length of 33"},
		{rule: "length 255", attrs: usual, nlri: v4 + "ff", ends: "3/10", last: "NLRI has a prefix length of 255"},
		{rule: "prefix cut off (7606 5.3)", attrs: usual, nlri: v4 + "180a3c", ends: "3/10", last: "NLRI ends within a prefix of length 24"},
		{rule: "length 33, withdrawn", withdrawn: "210a3c000000", ends: "3/10", last: "Withdrawn Routes has a prefix length of 33"},
		{rule: "cut off, withdrawn", withdrawn: "180a", attrs: usual, nlri: v4, ends: "3/10", last: "Withdrawn Routes ends"},
		{rule: "length 129 in MP_REACH_NLRI (7606 5.3)", attrs: origin + path + reach(toV6, "10", hop6, "81"+global+"00"), ends: "3/9", last: "MP_REACH_NLRI"},
		{rule: "cut off in MP_REACH_NLRI", attrs: origin + path + reach(toV6, "10", hop6, "3020"), ends: "3/9", last: "MP_REACH_NLRI"},
		{rule: "length 33 of IPv4 in MP_REACH_NLRI", attrs: origin + path + reach(toV4, "10", hop6, "210a3c000000"), ends: "3/9"},
		{rule: "length 129 in MP_UNREACH_NLRI", attrs: unreach(toV6, "81"+global+"00"), ends: "3/9", last: "MP_UNREACH_NLRI"},
		{rule: "MP_REACH_NLRI of length 4 (7606 5.3)", attrs: origin + path + attr(0x80, 14, toV6+"00"), ends: "3/9", last: "length 4"},
		{rule: "MP_UNREACH_NLRI of length 2 (7606 5.3)", attrs: attr(0x80, 15, "0002"), ends: "3/9", last: "length 2"},
		{rule: "flags of MP_REACH_NLRI (7606 5.3)", attrs: origin + path + "c0" + reach6[2:], ends: "3/4", last: "MP_REACH_NLRI has the wrong flags"},
		{rule: "flags of MP_UNREACH_NLRI", attrs: "40" + unreach(toV6, v6)[2:], ends: "3/4", last: "MP_UNREACH_NLRI has the wrong flags"},

		{rule: "withdrawn", withdrawn: v4, want: gone4},
		{rule: "withdrawn, not there", withdrawn: "0a0a40"},
		{rule: "withdrawn twice", withdrawn: v4 + v4, want: gone4},
		{rule: "withdrawn, IPv6", attrs: unreach(toV6, v6), want: gone6},
		{rule: "withdrawn, IPv4 in MP_UNREACH_NLRI", attrs: unreach(toV4, v4), want: gone4},
		{rule: "withdrawn, both families", withdrawn: v4, attrs: unreach(toV6, v6), want: gone4 + ";" + gone6},
		{rule: "withdrawn and announced: announced (4271 4.3)", withdrawn: v4, attrs: usual, nlri: v4, want: taken4, counts: oneFixed, last: "10.60.0.0/24: withdrawn and announced"},
		{rule: "withdrawn and announced, a new one", withdrawn: "180a3d00", attrs: usual, nlri: "180a3d00", want: "+10.61.0.0/24", counts: oneFixed, last: "10.61.0.0/24: withdrawn and announced"},
		{rule: "withdrawn and announced, as it is", withdrawn: v4, attrs: usual + attr(0x80, 4, "00000007"), nlri: v4, counts: oneFixed, last: "10.60.0.0/24"},
		{rule: "withdrawn and announced, IPv6", attrs: usual6 + unreach(toV6, v6), want: taken6, counts: oneFixed, last: "2001:db8:60::/48: withdrawn"},
		{rule: "withdrawn and announced by MP_REACH_NLRI, IPv4", withdrawn: v4, attrs: v4with("10", hop6), want: taken4 + " via 2001:db8::1", counts: oneFixed, last: "10.60.0.0/24"},
		{rule: "one withdrawn, another announced", withdrawn: v4, attrs: usual, nlri: "180a3d00", want: gone4 + ";+10.61.0.0/24"},
		{rule: "one family withdrawn, the other announced", withdrawn: v4, attrs: usual6, want: gone4 + ";" + taken6},
		{rule: "withdrawn and announced, malformed", withdrawn: v4, attrs: path + hop, nlri: v4, want: gone4, counts: oneGone, last: "ORIGIN"},
		{rule: "announced as it is: nothing new", attrs: usual + attr(0x80, 4, "00000007"), nlri: v4},

		{rule: "both families in one UPDATE", attrs: usual + reach6, nlri: v4, want: taken6 + ";" + taken4},
		{rule: "both families, malformed", attrs: "40010103" + path + hop + reach6, nlri: v4, want: gone4 + ";" + gone6, counts: "0 2 0", last: "2001:db8:60::/48 and 1 more treated as withdrawn"},
		{rule: "IPv4 in both fields: the last counts", attrs: usual + reach(toV4, "10", hop6, v4), nlri: v4, want: taken4 + " via 2001:db8::1;" + taken4},
		{rule: "NEXT_HOP beside MP_REACH_NLRI alone is ignored (4760 3)", attrs: usual + reach6, want: taken6, counts: oneFixed, last: "NEXT_HOP ignored"},
		{rule: "NEXT_HOP malformed beside MP_REACH_NLRI alone", attrs: origin + path + attr(0x40, 3, "7f") + reach6, want: taken6, counts: oneFixed, last: "NEXT_HOP ignored"},
		{rule: "NEXT_HOP with wrong flags beside MP_REACH_NLRI alone", attrs: origin + path + attr(0xc0, 3, "0a090102") + reach6, want: taken6, counts: oneFixed, last: "NEXT_HOP ignored"},
		{rule: "NEXT_HOP with wrong flags, both families", attrs: origin + path + attr(0xc0, 3, "0a090102") + reach6, nlri: v4, want: gone4 + ";" + gone6, counts: "0 2 0", last: "NEXT_HOP has the wrong flags"},
		{rule: "NEXT_HOP bad, both families", attrs: origin + path + attr(0x40, 3, "7f000001") + reach6, nlri: v4, want: gone4 + ";" + gone6, counts: "0 2 0", last: "NEXT_HOP"},

		{rule: "global and link-local next hop (2545 3)", attrs: v6with("20", global+local), want: taken6},
		{rule: "no global next hop, but a link-local one", attrs: v6with("20", none+local), want: "+2001:db8:60::/48 via fe80::1"},
		{rule: "link-local next hop alone", attrs: v6with("10", local), want: "+2001:db8:60::/48 via fe80::1"},
		{rule: "IPv4-mapped next hop", attrs: v6with("10", "00000000000000000000ffff0a090102"), want: "+2001:db8:60::/48 via ::ffff:10.9.1.2"},
		{rule: "reserved octet is ignored (4760 3)", attrs: origin + path + attr(0x80, 14, toV6+"10"+hop6+"ff"+v6), want: taken6},
		{rule: "next hop :: (4271 6.3)", attrs: v6with("10", none), want: gone6, counts: oneGone, last: "MP_REACH_NLRI has a next hop that is no address of a host"},
		{rule: "next hop :: and ::", attrs: v6with("20", none+none), want: gone6, counts: oneGone, last: "no address of a host"},
		{rule: "next hop ::1", attrs: v6with("10", none[:30]+"01"), want: gone6, counts: oneGone, last: "loopback"},
		{rule: "next hop ff02::1", attrs: v6with("10", "ff02"+none[:26]+"01"), want: gone6, counts: oneGone, last: "no unicast address"},
		{rule: "next hop ::ffff:127.0.0.1", attrs: v6with("10", "00000000000000000000ffff7f000001"), want: gone6, counts: oneGone, last: "loopback"},
		{rule: "next hop ::ffff:0.0.0.0", attrs: v6with("10", "00000000000000000000ffff00000000"), want: gone6, counts: oneGone, last: "no address"},
		{rule: "IPv4 next hop for IPv6 (2545 3)", attrs: v6with("04", "0a090102"), want: gone6, counts: oneGone, last: "next hop of length 4"},
		{rule: "next hop with a route distinguisher: the NLRI are found (7606 7.11)", attrs: v6with("18", none[:16]+global), want: gone6, counts: oneGone, last: "next hop of length 24"},
		{rule: "two next hops with route distinguishers", attrs: v6with("30", none[:16]+global+none[:16]+local), want: gone6, counts: oneGone, last: "next hop of length 48"},
		{rule: "next hop of length 0 (7606 7.11)", attrs: v6with("00", ""), ends: "3/9", last: "next hop of length 0"},
		{rule: "next hop of length 17", attrs: v6with("11", global+"00"), ends: "3/9", last: "next hop of length 17"},
		{rule: "next hop longer than the attribute", attrs: origin + path + attr(0x80, 14, toV6+"ff"+hop6+"00"+v6), ends: "3/9", last: "next hop of length 255"},
		{rule: "bad next hop, no prefixes (7606 5.2)", attrs: origin + path + reach(toV6, "10", none, ""), ends: "3/9"},
		{rule: "MP_REACH_NLRI without prefixes", attrs: origin + path + reach(toV6, "10", hop6, "")},

		{rule: "IPv4 with an IPv6 next hop (8950 3)", attrs: v4with("10", hop6), want: taken4 + " via 2001:db8::1"},
		{rule: "IPv4 with two IPv6 next hops (8950 3)", attrs: v4with("20", global+local), want: taken4 + " via 2001:db8::1"},
		{rule: "IPv4 with an IPv6 next hop, not negotiated (8950 4)", setup: noHop, attrs: v4with("10", hop6), want: gone4, counts: oneGone, last: "not negotiated (RFC 8950"},
		{rule: "IPv4 in MP_REACH_NLRI with an IPv4 next hop", setup: noHop, attrs: v4with("04", "0a090102"), want: taken4},
		{rule: "IPv4 in MP_REACH_NLRI, next hop 127.0.0.1", attrs: v4with("04", "7f000001"), want: gone4, counts: oneGone, last: "loopback"},
		{rule: "IPv4 in MP_REACH_NLRI, next hop with a route distinguisher", attrs: v4with("0c", "00000000000000000a090102"), want: gone4, counts: oneGone, last: "next hop of length 12"},

		{rule: "family not negotiated, IPv6", setup: setup{noIPv6: true}, attrs: usual6, counts: useless, last: "MP_REACH_NLRI discarded: AFI 2 SAFI 1"},
		{rule: "family not negotiated, IPv6 withdrawn", setup: setup{noIPv6: true}, attrs: unreach(toV6, v6), counts: useless, last: "MP_UNREACH_NLRI discarded"},
		{rule: "family not negotiated, IPv4", setup: setup{noIPv4: true}, attrs: usual, nlri: v4, counts: useless, last: "IPv4 prefixes"},
		{rule: "family not negotiated, IPv4 withdrawn", setup: setup{noIPv4: true}, withdrawn: v4, counts: useless, last: "IPv4 prefixes"},
		{rule: "family not negotiated, IPv4 beside IPv6", setup: setup{noIPv4: true}, attrs: usual + reach6, nlri: v4, want: taken6, counts: "1 0 1", last: "NEXT_HOP"},
		{rule: "family not negotiated, multicast", attrs: origin + path + attr(0x80, 14, "000202"+"10"+hop6+"00"+v6), counts: useless, last: "AFI 2 SAFI 2"},
		{rule: "family not negotiated beside another: that one is taken", attrs: usual + attr(0x80, 14, "000180"+"00"+"00"), nlri: v4, want: taken4, counts: useless, last: "AFI 1 SAFI 128"},
		{rule: "family not negotiated, other attributes malformed", setup: setup{noIPv6: true}, attrs: "40010103" + path + reach6, counts: useless, last: "MP_REACH_NLRI discarded"},

		{rule: "End-of-RIB, IPv4 (4724 2)", want: "end IPv4"},
		{rule: "End-of-RIB, IPv6", attrs: unreach(toV6, ""), want: "end IPv6"},
		{rule: "End-of-RIB, extended length", attrs: "900f0003" + toV6, want: "end IPv6"},
		{rule: "End-of-RIB, IPv4 in MP_UNREACH_NLRI", attrs: unreach(toV4, ""), want: "end IPv4"},
		{rule: "End-of-RIB of a family not negotiated", setup: setup{noIPv6: true}, attrs: unreach(toV6, ""), counts: useless, last: "not negotiated"},
		{rule: "End-of-RIB, IPv4 not negotiated", setup: setup{noIPv4: true}},
		{rule: "empty MP_UNREACH_NLRI beside something else is no End-of-RIB", attrs: usual + unreach(toV6, ""), nlri: v4, want: taken4},
		{rule: "empty MP_UNREACH_NLRI beside a useless attribute is none either", attrs: attr(0xc0, 40, "00") + unreach(toV6, ""), counts: useless, last: "PREFIX_SID"},
	})
}
