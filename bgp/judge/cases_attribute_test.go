package judge

import (
	"strings"
	"testing"
)

// TestAttributes has the rules of single attributes. In most cases the route
// that is there already must go, or be replaced.
func TestAttributes(t *testing.T) {
	ibgp, two, twoIBGP := setup{internal: true}, setup{two: true}, setup{two: true, internal: true}
	pref := attr(0x40, attrLocalPref, "00000064")
	runCases(t, []ruleCase{
		{rule: "nothing wrong", attrs: usual, nlri: v4, want: taken4},
		{rule: "nothing wrong, IPv6", attrs: usual6, want: taken6},
		{rule: "attributes in another order: written in order of type", attrs: hop + path + origin, nlri: v4, want: taken4},
		{rule: "extended length of a short attribute (4271 4.3)", attrs: "5001000100" + path + hop, nlri: v4, want: taken4},

		{rule: "flags: unused bits are ignored (4271 4.3)", attrs: "4f010100" + "4302" + path[4:] + "4503" + hop[4:], nlri: v4, want: taken4},
		{rule: "flags: unused bits of MP_REACH_NLRI", attrs: origin + path + "8f" + reach6[2:], want: taken6},
		{rule: "flags: partial where it cannot be is ignored (7606 3c)", attrs: "60010100" + path + hop, nlri: v4, want: taken4},
		{rule: "flags: partial of a non-transitive one is ignored", attrs: usual + attr(0xa0, attrMED, "00000001"), nlri: v4, want: taken4 + " 4=00000001"},
		{rule: "flags: partial of a transitive one stays (4271 5)", attrs: usual + attr(0xe0, attrCommunities, "fc9a0001"), nlri: v4, want: taken4 + " 8p=fc9a0001"},
		{rule: "flags: ORIGIN as optional (7606 3c)", attrs: "c0010100" + path + hop, nlri: v4, want: gone4, counts: oneGone, last: "10.60.0.0/24 treated as withdrawn: ORIGIN has the wrong flags (RFC 7606"},
		{rule: "flags: COMMUNITIES not transitive", attrs: usual + attr(0x80, attrCommunities, "fc9a0001"), nlri: v4, want: gone4, counts: oneGone, last: "COMMUNITIES has the wrong flags"},
		{rule: "flags: MULTI_EXIT_DISC transitive", attrs: usual + attr(0xc0, attrMED, "00000001"), nlri: v4, want: gone4, counts: oneGone, last: "MULTI_EXIT_DISC"},
		{rule: "flags: OTC not transitive", attrs: usual + attr(0x80, attrOTC, "0000fc9a"), nlri: v4, want: gone4, counts: oneGone, last: "ONLY_TO_CUSTOMER"},
		{rule: "flags: PREFIX_SID as well-known", attrs: usual + attr(0x40, attrPrefixSID, "00"), nlri: v4, want: gone4, counts: oneGone, last: "PREFIX_SID has the wrong flags"},

		{rule: "ORIGIN of 3 (7606 7.1)", attrs: "40010103" + path + hop, nlri: v4, want: gone4, counts: oneGone, last: "ORIGIN is 3"},
		{rule: "ORIGIN of 2", attrs: "40010102" + path + hop, nlri: v4, want: taken4 + " 1=02"},
		{rule: "ORIGIN of length 0 (7606 4)", attrs: "400100" + path + hop, nlri: v4, want: gone4, counts: oneGone, last: "ORIGIN has length 0"},
		{rule: "ORIGIN of length 2", attrs: "4001020000" + path + hop, nlri: v4, want: gone4, counts: oneGone, last: "ORIGIN has length 2"},
		{rule: "ORIGIN missing (7606 3d)", attrs: path + hop, nlri: v4, want: gone4, counts: oneGone, last: "ORIGIN is missing"},
		{rule: "AS_PATH missing", attrs: origin + hop, nlri: v4, want: gone4, counts: oneGone, last: "AS_PATH is missing"},
		{rule: "NEXT_HOP missing", attrs: origin + path, nlri: v4, want: gone4, counts: oneGone, last: "NEXT_HOP is missing"},
		{rule: "ORIGIN missing, IPv6", attrs: path + reach6, want: gone6, counts: oneGone, last: "2001:db8:60::/48 treated as withdrawn: ORIGIN is missing"},
		{rule: "all missing", nlri: v4, want: gone4, counts: oneGone, last: "ORIGIN is missing"},

		{rule: "NEXT_HOP of length 16 (7606 7.3)", attrs: origin + path + attr(0x40, 3, hop6), nlri: v4, want: gone4, counts: oneGone, last: "NEXT_HOP has length 16"},
		{rule: "NEXT_HOP of length 0", attrs: origin + path + attr(0x40, 3, ""), nlri: v4, want: gone4, counts: oneGone, last: "NEXT_HOP has length 0"},
		{rule: "NEXT_HOP 0.0.0.0 (4271 6.3)", attrs: origin + path + attr(0x40, 3, "00000000"), nlri: v4, want: gone4, counts: oneGone, last: "no address of a host"},
		{rule: "NEXT_HOP 0.1.2.3", attrs: origin + path + attr(0x40, 3, "00010203"), nlri: v4, want: gone4, counts: oneGone, last: "no address of a host"},
		{rule: "NEXT_HOP 127.0.0.1", attrs: origin + path + attr(0x40, 3, "7f000001"), nlri: v4, want: gone4, counts: oneGone, last: "loopback"},
		{rule: "NEXT_HOP 127.0.0.1 over loopback", setup: setup{loopback: true}, attrs: origin + path + attr(0x40, 3, "7f000001"), nlri: v4, want: taken4 + " 3=7f000001"},
		{rule: "NEXT_HOP 224.0.0.5", attrs: origin + path + attr(0x40, 3, "e0000005"), nlri: v4, want: gone4, counts: oneGone, last: "no unicast address"},
		{rule: "NEXT_HOP 255.255.255.255", attrs: origin + path + attr(0x40, 3, "ffffffff"), nlri: v4, want: gone4, counts: oneGone, last: "no unicast address"},
		{rule: "NEXT_HOP 240.0.0.1", attrs: origin + path + attr(0x40, 3, "f0000001"), nlri: v4, want: gone4, counts: oneGone, last: "no unicast address"},
		{rule: "NEXT_HOP 223.255.255.1", attrs: origin + path + attr(0x40, 3, "dfffff01"), nlri: v4, want: taken4 + " 3=dfffff01"},

		{rule: "MULTI_EXIT_DISC", attrs: usual + attr(0x80, attrMED, "00000001"), nlri: v4, want: taken4 + " 4=00000001"},
		{rule: "MULTI_EXIT_DISC of length 3 (7606 7.4)", attrs: usual + attr(0x80, attrMED, "000000"), nlri: v4, want: gone4, counts: oneGone, last: "MULTI_EXIT_DISC has length 3"},
		{rule: "LOCAL_PREF from eBGP (7606 7.5)", attrs: usual + pref, nlri: v4, want: taken4, counts: oneLess, last: "LOCAL_PREF discarded"},
		{rule: "LOCAL_PREF malformed, from eBGP", attrs: usual + attr(0x40, attrLocalPref, "64"), nlri: v4, want: taken4, counts: oneLess, last: "LOCAL_PREF discarded"},
		{rule: "LOCAL_PREF with wrong flags, from eBGP", attrs: usual + attr(0xc0, attrLocalPref, "00000064"), nlri: v4, want: taken4, counts: oneLess, last: "LOCAL_PREF discarded"},
		{rule: "LOCAL_PREF from iBGP", setup: ibgp, attrs: usual + pref, nlri: v4, want: taken4 + " 5=00000064"},
		{rule: "LOCAL_PREF malformed, from iBGP", setup: ibgp, attrs: usual + attr(0x40, attrLocalPref, "64"), nlri: v4, want: gone4, counts: oneGone, last: "LOCAL_PREF has length 1"},

		{rule: "ATOMIC_AGGREGATE", attrs: usual + "400600", nlri: v4, want: taken4 + " 6="},
		{rule: "ATOMIC_AGGREGATE of length 1 (7606 7.6)", attrs: usual + "40060100", nlri: v4, want: taken4, counts: oneLess, last: "ATOMIC_AGGREGATE discarded"},
		{rule: "AGGREGATOR", attrs: usual + attr(0xc0, 7, "0000fc9a0a000001"), nlri: v4, want: taken4 + " 7=0000fc9a0a000001"},
		{rule: "AGGREGATOR of the other length (7606 7.7)", attrs: usual + attr(0xc0, 7, "fc9a0a000001"), nlri: v4, want: taken4, counts: oneLess, last: "AGGREGATOR discarded"},
		{rule: "AGGREGATOR of length 0", attrs: usual + attr(0xc0, 7, ""), nlri: v4, want: taken4, counts: oneLess, last: "AGGREGATOR discarded"},
		{rule: "AGGREGATOR with AS 0 (7607 2)", attrs: usual + attr(0xc0, 7, "000000000a000001"), nlri: v4, want: taken4, counts: oneLess, last: "AGGREGATOR discarded: it has AS 0"},
		{rule: "AGGREGATOR of two octets", setup: two, attrs: usual2 + attr(0xc0, 7, "fc9a0a000001"), nlri: v4, want: taken4 + " 7=fc9a0a000001"},
		{rule: "AGGREGATOR of the other length, two octets", setup: two, attrs: usual2 + attr(0xc0, 7, "0000fc9a0a000001"), nlri: v4, want: taken4, counts: oneLess, last: "AGGREGATOR discarded"},

		{rule: "COMMUNITIES", attrs: usual + attr(0xc0, 8, "ffffff01fc9a0001"), nlri: v4, want: taken4 + " 8=ffffff01fc9a0001"},
		{rule: "COMMUNITIES of length 0 (7606 7.8)", attrs: usual + "c00800", nlri: v4, want: gone4, counts: oneGone, last: "COMMUNITIES has length 0"},
		{rule: "COMMUNITIES of length 3", attrs: usual + attr(0xc0, 8, "ffffff"), nlri: v4, want: gone4, counts: oneGone, last: "COMMUNITIES has length 3"},
		{rule: "ORIGINATOR_ID from eBGP (7606 7.9)", attrs: usual + attr(0x80, 9, "0a000003"), nlri: v4, want: taken4, counts: oneLess, last: "ORIGINATOR_ID discarded"},
		{rule: "ORIGINATOR_ID malformed, from eBGP", attrs: usual + attr(0x80, 9, "0a"), nlri: v4, want: taken4, counts: oneLess, last: "ORIGINATOR_ID discarded"},
		{rule: "ORIGINATOR_ID from iBGP", setup: ibgp, attrs: usual + attr(0x80, 9, "0a000003"), nlri: v4, want: taken4 + " 9=0a000003"},
		{rule: "ORIGINATOR_ID malformed, from iBGP", setup: ibgp, attrs: usual + attr(0x80, 9, "0a00000304"), nlri: v4, want: gone4, counts: oneGone, last: "ORIGINATOR_ID has length 5"},
		{rule: "ORIGINATOR_ID of this router (4456 8)", setup: ibgp, attrs: usual + attr(0x80, 9, "0a000001"), nlri: v4, want: gone4},
		{rule: "CLUSTER_LIST from eBGP (7606 7.10)", attrs: usual + attr(0x80, 10, "0a000001"), nlri: v4, want: taken4, counts: oneLess, last: "CLUSTER_LIST discarded"},
		{rule: "CLUSTER_LIST malformed, from eBGP", attrs: usual + attr(0x80, 10, "0a00"), nlri: v4, want: taken4, counts: oneLess, last: "CLUSTER_LIST discarded"},
		{rule: "CLUSTER_LIST from iBGP", setup: ibgp, attrs: usual + attr(0x80, 10, "0a0000030a000004"), nlri: v4, want: taken4 + " 10=0a0000030a000004"},
		{rule: "CLUSTER_LIST of length 0, from iBGP", setup: ibgp, attrs: usual + "800a00", nlri: v4, want: gone4, counts: oneGone, last: "CLUSTER_LIST has length 0"},
		{rule: "CLUSTER_LIST of length 6, from iBGP", setup: ibgp, attrs: usual + attr(0x80, 10, "0a0000030a00"), nlri: v4, want: gone4, counts: oneGone, last: "CLUSTER_LIST has length 6"},
		{rule: "CLUSTER_LIST with this router's ID (4456 8)", setup: ibgp, attrs: usual + attr(0x80, 10, "0a0000030a000001"), nlri: v4, want: gone4},
		{rule: "CLUSTER_LIST with this router's cluster", setup: ibgp, attrs: usual + attr(0x80, 10, "0a0000030a000009"), nlri: v4, want: gone4},

		{rule: "EXTENDED COMMUNITIES", attrs: usual + attr(0xc0, 16, "0002fc9a00000001"), nlri: v4, want: taken4 + " 16=0002fc9a00000001"},
		{rule: "EXTENDED COMMUNITIES of unknown type", attrs: usual + attr(0xc0, 16, "3f02fc9a00000001"), nlri: v4, want: taken4 + " 16=3f02fc9a00000001"},
		{rule: "EXTENDED COMMUNITIES of length 0 (7606 7.14)", attrs: usual + "c01000", nlri: v4, want: gone4, counts: oneGone, last: "EXTENDED COMMUNITIES has length 0"},
		{rule: "EXTENDED COMMUNITIES of length 12", attrs: usual + attr(0xc0, 16, "0002fc9a0000000100000000"), nlri: v4, want: gone4, counts: oneGone, last: "EXTENDED COMMUNITIES has length 12"},
		{rule: "EXTENDED COMMUNITIES of EVPN, unknown subtype", attrs: usual + attr(0xc0, 16, "06ff000000000000"+"0002fc9a00000001"), nlri: v4, want: taken4 + " 16=0002fc9a00000001", counts: useless, last: "EXTENDED COMMUNITIES discarded"},
		{rule: "EXTENDED COMMUNITIES of nothing but EVPN and MUP", attrs: usual + attr(0xc0, 16, "06ff0000000000000c99000000000000"), nlri: v4, want: taken4, counts: useless, last: "for 2 of them"},
		{rule: "IPv6 EXTENDED COMMUNITIES", attrs: usual + attr(0xc0, 25, "0002"+hop6+"0001"), nlri: v4, want: taken4 + " 25=0002" + hop6 + "0001"},
		{rule: "IPv6 EXTENDED COMMUNITIES of length 0 (7606 7.15)", attrs: usual + "c01900", nlri: v4, want: gone4, counts: oneGone, last: "IPv6 EXTENDED COMMUNITIES has length 0"},
		{rule: "IPv6 EXTENDED COMMUNITIES of length 16", attrs: usual + attr(0xc0, 25, hop6), nlri: v4, want: gone4, counts: oneGone, last: "IPv6 EXTENDED COMMUNITIES has length 16"},
		{rule: "LARGE_COMMUNITY", attrs: usual + attr(0xc0, 32, "0000fc9a0000000100000002"), nlri: v4, want: taken4 + " 32=0000fc9a0000000100000002"},
		{rule: "LARGE_COMMUNITY of length 0 (8092 5)", attrs: usual + "c02000", nlri: v4, want: gone4, counts: oneGone, last: "LARGE_COMMUNITY has length 0"},
		{rule: "LARGE_COMMUNITY of length 8", attrs: usual + attr(0xc0, 32, "0000fc9a00000001"), nlri: v4, want: gone4, counts: oneGone, last: "LARGE_COMMUNITY has length 8"},
		{rule: "OTC (9234 5)", attrs: usual + attr(0xc0, 35, "0000fc9a"), nlri: v4, want: taken4 + " 35=0000fc9a"},
		{rule: "OTC of length 3 (9234 5)", attrs: usual + attr(0xc0, 35, "00fc9a"), nlri: v4, want: gone4, counts: oneGone, last: "ONLY_TO_CUSTOMER has length 3"},
		{rule: "OTC of length 3, IPv6", attrs: usual6 + attr(0xc0, 35, "00fc9a"), want: gone6, counts: oneGone, last: "ONLY_TO_CUSTOMER has length 3"},
		{rule: "OTC of AS 0", attrs: usual + attr(0xc0, 35, "00000000"), nlri: v4, want: gone4, counts: oneGone, last: "ONLY_TO_CUSTOMER is AS 0"},

		{rule: "PREFIX_SID, malformed (8669 6: no use for it)", attrs: usual + attr(0xc0, 40, "01ffff"), nlri: v4, want: taken4, counts: useless, last: "PREFIX_SID discarded"},
		{rule: "AIGP (7311)", attrs: usual + attr(0x80, 26, "01000b0000000000000001"), nlri: v4, want: taken4, counts: useless, last: "AIGP discarded"},
		{rule: "TUNNEL_ENCAPSULATION", attrs: usual + attr(0xc0, 23, "00010000"), nlri: v4, want: taken4, counts: useless, last: "TUNNEL_ENCAPSULATION discarded"},
		{rule: "PMSI_TUNNEL", attrs: usual + attr(0xc0, 22, "00"), nlri: v4, want: taken4, counts: useless, last: "PMSI_TUNNEL discarded"},
		{rule: "ATTR_SET", attrs: usual + attr(0xc0, 128, "0000fc9a"), nlri: v4, want: taken4, counts: useless, last: "ATTR_SET discarded"},
		{rule: "BGP-LS", attrs: usual + attr(0x80, 29, "00"), nlri: v4, want: taken4, counts: useless, last: "BGP-LS discarded"},
		{rule: "unknown, transitive", attrs: usual + attr(0xc0, 200, "01"), nlri: v4, want: taken4, counts: useless, last: "attribute 200 discarded"},
		{rule: "unknown, not transitive", attrs: usual + attr(0x80, 11, ""), nlri: v4, want: taken4, counts: useless, last: "attribute 11 discarded"},
		{rule: "type 0", attrs: usual + attr(0x80, 0, ""), nlri: v4, want: taken4, counts: useless, last: "discarded"},
		{rule: "unknown, well-known (4271 6.3)", attrs: usual + attr(0x40, 200, "01"), nlri: v4, ends: "3/2", last: "attribute 200"},

		{rule: "twice: the first counts (7606 3g)", attrs: usual + attr(0x80, 4, "00000001") + attr(0x80, 4, "00000002"), nlri: v4, want: taken4 + " 4=00000001", counts: oneLess, last: "MULTI_EXIT_DISC discarded"},
		{rule: "twice, the second malformed", attrs: usual + attr(0x80, 4, "00000001") + attr(0x80, 4, ""), nlri: v4, want: taken4 + " 4=00000001", counts: oneLess, last: "MULTI_EXIT_DISC discarded"},
		{rule: "MP_REACH_NLRI twice (7606 3g)", attrs: usual6 + reach6, ends: "3/1", last: "two MP_REACH_NLRI"},
		{rule: "MP_UNREACH_NLRI twice", attrs: attr(0x80, 15, "000201") + attr(0x80, 15, "000201"), ends: "3/1", last: "two MP_UNREACH_NLRI"},

		{rule: "the last attribute is longer than the rest (7606 4)", attrs: usual + "c008c801020304", nlri: v4, want: gone4, counts: oneGone, last: "past the end"},
		{rule: "a header does not fit (7606 4)", attrs: usual + "c008", nlri: v4, want: gone4, counts: oneGone, last: "past the end"},
		{rule: "an extended header does not fit", attrs: usual + "d00800", nlri: v4, want: gone4, counts: oneGone, last: "past the end"},
		{rule: "MP_REACH_NLRI is hidden behind an attribute too long (7606 5.2)", attrs: origin + path + "c008ff" + reach6, ends: "3/5"},
		{rule: "malformed without any routes (7606 5.2)", attrs: "40010103" + path + hop, ends: "3/6", last: "ORIGIN is 3"},
		{rule: "malformed beside withdrawn ones alone (7606 5.2)", withdrawn: v4, attrs: "40010103", ends: "3/6"},
		{rule: "useless attributes beside withdrawn ones are no fault", withdrawn: v4, attrs: attr(0xc0, 40, "01"), want: gone4, counts: useless, last: "PREFIX_SID"},
		{rule: "attributes and no routes", attrs: usual},

		{rule: "AS4_PATH from a 4-octet peer (6793 6)", attrs: usual + attr(0xc0, 17, "02010000fc9a"), nlri: v4, want: taken4, counts: oneLess, last: "AS4_PATH discarded"},
		{rule: "AS4_AGGREGATOR alone from a 4-octet peer (6793 6)", attrs: usual + attr(0xc0, 18, "0000fc9a0a090102"), nlri: v4, want: taken4, counts: oneLess, last: "AS4_AGGREGATOR discarded"},
		{rule: "AS4_AGGREGATOR of wrong flags and length from a 4-octet peer", attrs: usual + attr(0x40, 18, "00"), nlri: v4, want: taken4, counts: oneLess, last: "AS4_AGGREGATOR discarded"},
		{rule: "AS4_AGGREGATOR alone (6793 6)", setup: two, attrs: usual2 + attr(0xc0, 18, "0000fc9a0a090102"), nlri: v4, want: taken4, counts: oneLess, last: "there is no AGGREGATOR"},
		{rule: "AS4_AGGREGATOR of length 6 (6793 6)", setup: two, attrs: usual2 + attr(0xc0, 7, "5ba00a000001") + attr(0xc0, 18, "00010a000002"), nlri: v4, want: taken4 + " 7=5ba00a000001", counts: oneLess, last: "AS4_AGGREGATOR discarded"},
		{rule: "AS4_AGGREGATOR with AS 0 (7607 2)", setup: two, attrs: usual2 + attr(0xc0, 7, "5ba00a000001") + attr(0xc0, 18, "000000000a000002"), nlri: v4, want: taken4 + " 7=5ba00a000001", counts: oneLess, last: "AS 0"},
		{rule: "AS4_AGGREGATOR for AS_TRANS (6793 4.2.3)", setup: two, attrs: usual2 + attr(0xc0, 7, "5ba00a000001") + attr(0xc0, 18, "000100010a000002"), nlri: v4, want: taken4 + " 7=5ba00a000002 18=000100010a000002"},
		{rule: "AS4_AGGREGATOR of a small AS", setup: twoIBGP, attrs: usual2 + attr(0xc0, 7, "5ba00a000001") + attr(0xc0, 18, "000000070a000002"), nlri: v4, want: taken4 + " 7=00070a000002"},
		{rule: "AGGREGATOR not AS_TRANS: AS4_AGGREGATOR and AS4_PATH are old (6793 4.2.3)", setup: two, attrs: origin + "400206" + "02025ba00001" + hop + attr(0xc0, 7, "00070a000001") + attr(0xc0, 17, "02020001000100000001") + attr(0xc0, 18, "000100010a000002"), nlri: v4, want: taken4 + " 2=02025ba00001 7=00070a000001"},

		{rule: "too long for other peers: 4,000 octets of communities", attrs: usual + attr(0xc0, 8, strings.Repeat("fc9a0001", 1000)), nlri: v4, want: gone4, counts: oneGone, last: "may need"},
		{rule: "long: 3,800 octets of communities", attrs: usual + attr(0xc0, 8, strings.Repeat("fc9a0001", 950)), nlri: v4, want: taken4 + " 8=" + strings.Repeat("fc9a0001", 950)},
	})
}
