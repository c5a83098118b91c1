package judge

import "fmt"

// Types of attributes.
const (
	attrOrigin          = 1  // RFC 4271 section 5.1
	attrASPath          = 2  //
	attrNextHop         = 3  //
	attrMED             = 4  //
	attrLocalPref       = 5  //
	attrAtomicAggregate = 6  //
	attrAggregator      = 7  //
	attrCommunities     = 8  // RFC 1997
	attrOriginatorID    = 9  // RFC 4456 section 8
	attrClusterList     = 10 //
	attrMPReach         = 14 // RFC 4760 section 3
	attrMPUnreach       = 15 // RFC 4760 section 4
	attrExtCommunities  = 16 // RFC 4360
	attrAS4Path         = 17 // RFC 6793 section 3
	attrAS4Aggregator   = 18 //
	attrPMSITunnel      = 22 // RFC 6514
	attrTunnelEncap     = 23 // RFC 9012
	attrIPv6Communities = 25 // RFC 5701
	attrAIGP            = 26 // RFC 7311
	attrBGPLS           = 29 // RFC 9552
	attrLargeCommunity  = 32 // RFC 8092
	attrOTC             = 35 // RFC 9234 section 5
	attrPrefixSID       = 40 // RFC 8669
	attrAttrSet         = 128
)

// Attribute flags, RFC 4271 section 4.3. The low four bits are unused and
// ignored.
const (
	flagOptional   = 0x80
	flagTransitive = 0x40
	flagPartial    = 0x20
	flagExtended   = 0x10

	wellKnown          = flagTransitive
	optional           = flagOptional
	optionalTransitive = flagOptional | flagTransitive
)

// An attrKind is what is known of a type of attribute.
type attrKind struct {
	name  string
	flags uint8 // Optional and Transitive as they have to be; 0: not known
	use   bool  // it may be handed on
}

var attrKinds = [256]attrKind{
	attrOrigin:          {"ORIGIN", wellKnown, true},
	attrASPath:          {"AS_PATH", wellKnown, true},
	attrNextHop:         {"NEXT_HOP", wellKnown, true},
	attrMED:             {"MULTI_EXIT_DISC", optional, true},
	attrLocalPref:       {"LOCAL_PREF", wellKnown, true},
	attrAtomicAggregate: {"ATOMIC_AGGREGATE", wellKnown, true},
	attrAggregator:      {"AGGREGATOR", optionalTransitive, true},
	attrCommunities:     {"COMMUNITIES", optionalTransitive, true},
	attrOriginatorID:    {"ORIGINATOR_ID", optional, true},
	attrClusterList:     {"CLUSTER_LIST", optional, true},
	attrMPReach:         {"MP_REACH_NLRI", optional, true},
	attrMPUnreach:       {"MP_UNREACH_NLRI", optional, true},
	attrExtCommunities:  {"EXTENDED COMMUNITIES", optionalTransitive, true},
	attrAS4Path:         {"AS4_PATH", optionalTransitive, true},
	attrAS4Aggregator:   {"AS4_AGGREGATOR", optionalTransitive, true},
	attrPMSITunnel:      {"PMSI_TUNNEL", optionalTransitive, false},
	attrTunnelEncap:     {"TUNNEL_ENCAPSULATION", optionalTransitive, false},
	attrIPv6Communities: {"IPv6 EXTENDED COMMUNITIES", optionalTransitive, true},
	attrAIGP:            {"AIGP", optional, false},
	attrBGPLS:           {"BGP-LS", optional, false},
	attrLargeCommunity:  {"LARGE_COMMUNITY", optionalTransitive, true},
	attrOTC:             {"ONLY_TO_CUSTOMER", optionalTransitive, true},
	attrPrefixSID:       {"PREFIX_SID", optionalTransitive, false},
	attrAttrSet:         {"ATTR_SET", optionalTransitive, false},
}

func attrName(typ uint8) string {
	if name := attrKinds[typ].name; name != "" {
		return name
	}
	return fmt.Sprintf("attribute %d", typ)
}
