package bgp

import (
	"net/netip"
	"strings"
)

// A Question asks a speaker about one prefix.
type Question struct {
	Of netip.Prefix // masked, not IPv4-mapped
	// Address says that Of is one address, and that the longest prefix is meant that it is in:
	// of those that are in use, or, if there is none, of those that neighbors announce.
	Address bool
	// From is the neighbor that is asked about above all, with those of the same peer (From/1, …): its
	// candidates are not left out. "" for none.
	From string
}

// IsFrom reports whether a neighbor is the one that is asked about above all.
func (q *Question) IsFrom(neighbor string) bool {
	return q.From != "" && (neighbor == q.From || strings.HasPrefix(neighbor, q.From+"/"))
}

// An Explanation is what a speaker knows of a prefix.
type Explanation struct {
	Prefix netip.Prefix // that it is about; not valid: no neighbor announces one that the address is in
	Local  bool         // it originates here
	// Refused are longer prefixes that the address is in, too, and that neighbors announce, none of
	// which is in use. The longest comes first.
	Refused []netip.Prefix
	// Candidates are the neighbors that announce the prefix: those that share the traffic, those in
	// reserve, the best of each first, and those that are refused, by name. MaxCandidates at
	// most; More counts the others.
	Candidates []Candidate
	More       int
	// Exports has each neighbor once, by name.
	Exports []Export
}

// MaxCandidates bounds Explanation.Candidates.
const MaxCandidates = 200

// A Candidate is a neighbor's route to a prefix, and what became of it.
type Candidate struct {
	Neighbor string
	Verdict  Verdict

	Reason Reason // of VerdictFiltered, VerdictOwn and VerdictMartian
	Loop   Loop   // of VerdictLooped
	Hard   bool   // of VerdictLimited: the session has ended because of HardMaxPrefixes, and it is not known what is announced
	Step   Step   // of VerdictReserve: where it lost to the best
	Text   string // of VerdictInvalid: what is wrong; printable ASCII

	Stale bool // of a connection that was lost; the peer has not announced it since

	// What the neighbor says of it. Of VerdictLooped, VerdictInvalid and with Hard it is not
	// known any more: the Origin is empty.
	Origin      string     // igp, egp or incomplete
	Path        string     // AS_PATH, sets in braces, the end of a long one left out
	LocalPref   uint32     // as it is compared
	MED         uint32     //
	NextHop     netip.Addr // as it was received, without a zone
	Communities []string   // standard and large ones, MaxCommunities at most
}

// MaxCommunities bounds Candidate.Communities.
const MaxCommunities = 32

// Verdict is what became of a neighbor's route.
type Verdict string

// The verdicts. A speaker does not say VerdictUnreachable: it knows no neighbor whose
// tunnel is down.
const (
	VerdictBest        Verdict = "best"        // it is used; several may be
	VerdictReserve     Verdict = "reserve"     // it is good, and others are better
	VerdictFiltered    Verdict = "filtered"    // the import policy refuses it
	VerdictLimited     Verdict = "limited"     // it is over a limit of prefixes
	VerdictOwn         Verdict = "own"         // it would take what is this router's
	VerdictMartian     Verdict = "martian"     // it is never routed
	VerdictLooped      Verdict = "looped"      // it has been here before
	VerdictInvalid     Verdict = "invalid"     // it is malformed, and treated as withdrawn
	VerdictUnreachable Verdict = "unreachable" // there is no way to the neighbor
)

// Loop is how a route is known to have been here before.
type Loop string

// The kinds of loops.
const (
	LoopAS         Loop = "as_path"       // this router's AS number is in AS_PATH (RFC 4271 section 9.1.2)
	LoopOriginator Loop = "originator_id" // ORIGINATOR_ID is its router ID (RFC 4456 section 8)
	LoopCluster    Loop = "cluster_list"  // CLUSTER_LIST has its cluster ID (RFC 4456 section 8)
)

// Step is a step of the decision between two routes (RFC 4271 section 9.1).
type Step string

// The steps, in their order.
const (
	StepStale     Step = "llgr_stale"   // LLGR_STALE, RFC 9494
	StepLocalPref Step = "local_pref"   // degree of preference, section 9.1.1
	StepASPath    Step = "as_path"      // section 9.1.2.2 a
	StepOrigin    Step = "origin"       // b
	StepMED       Step = "med"          // c
	StepEBGP      Step = "ebgp"         // d
	StepReflected Step = "cluster_list" // RFC 4456 section 9
	StepAge       Step = "age"          // RFC 5004: the one that came first, between eBGP neighbors
	StepRouterID  Step = "router_id"    // section 9.1.2.2 f, and g for equal ones
)

// Steps are all steps.
var Steps = []Step{StepStale, StepLocalPref, StepASPath, StepOrigin, StepMED, StepEBGP, StepReflected, StepAge, StepRouterID}

// An Export is whether a neighbor is sent the route to a prefix.
type Export struct {
	Neighbor string
	Withheld Withheld
	From     string // of WithheldSource and what follows it: the neighbor that the route is learned from
}

// Withheld is why a neighbor is not sent a route.
type Withheld string

// The reasons, in the order in which they count.
const (
	Sent                Withheld = ""             // it is
	WithheldSession     Withheld = "session"      // no session is established
	WithheldDeferred    Withheld = "deferred"     // after a restart the peers' routes are awaited (RFC 4724 section 4.1)
	WithheldNothing     Withheld = "nothing"      // there is no route
	WithheldSource      Withheld = "source"       // it is learned from the neighbor
	WithheldRouterID    Withheld = "router_id"    // it is learned from a neighbor with the same router ID
	WithheldNoAdvertise Withheld = "no_advertise" // NO_ADVERTISE (RFC 1997) or LLGR_STALE (RFC 9494)
	WithheldNoExport    Withheld = "no_export"    // NO_EXPORT, NO_EXPORT_SUBCONFED or BLACKHOLE (RFC 1997, RFC 7999)
	WithheldNextHop     Withheld = "next_hop"     // no address could be the next hop of that family
	WithheldExport      Withheld = "export"       // the export policy does not pass it
	WithheldSameAS      Withheld = "same_as"      // the neighbor would find its own AS number in the path
	WithheldInternal    Withheld = "internal"     // it is for the neighbor to hear from the other iBGP neighbor itself
)

// AllWithheld are all reasons, Sent first.
var AllWithheld = []Withheld{
	Sent, WithheldSession, WithheldDeferred, WithheldNothing, WithheldSource, WithheldRouterID, WithheldNoAdvertise,
	WithheldNoExport, WithheldNextHop, WithheldExport, WithheldSameAS, WithheldInternal,
}
