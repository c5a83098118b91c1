package bgp

import (
	"net/netip"
	"time"
)

// NeighborStatus is a neighbor as of now. Counts are of both families.
type NeighborStatus struct {
	Name           string
	PeerAddr       netip.Addr
	ASN            uint32
	State          string // idle, connect, active, opensent, openconfirm or established
	Since          time.Time
	RemoteRouterID netip.Addr // invalid until the session was established once
	Received       int        // prefixes the peer announces, and those that are stale
	Stale          int        // of those, the ones it announced before the connection was lost, and not again yet
	RestartUntil   time.Time  // when the stale ones go at the latest, or what a speaker that has died learned; zero if there are none
	Accepted       int        // of those, the ones that may be used
	Refused        int        // of those, the ones refused by MaxPrefixes alone
	Announced      int        // prefixes announced to the peer
	Families       [2]Counts  // what of Received, Accepted, Refused and Announced is IPv4, and what is IPv6
	Withheld       int        // prefixes that Export passes, and that are not announced because they come from the peer's own AS
	EndOfRIB       bool       // the peer has said that it has announced all that it had when the session came up (RFC 4724 section 2)
	Delivered      bool       // so has this end said to the peer, whose host has acknowledged all of it (TCP)
	Malformed      Malformed  // what was wrong with the peer's messages, since the neighbor was added
	Looped         Looped     // what the peer announces and has been here before
	Rival          Rival      // what the peer announces and is assigned to another router here
	LastError      string     // why there is no session, or what is wrong with it
	Unanswered     time.Time  // since when the peer neither takes connections nor refuses them; zero: it does, or there is a session
}

// Counts are prefixes of one family, as NeighborStatus counts those of both.
type Counts struct{ Received, Accepted, Refused, Announced int }

// Malformed counts what was wrong with a peer's messages and did not end the
// session (RFC 7606).
type Malformed struct {
	Repaired  uint64 // UPDATEs in which something was repaired
	Withdrawn uint64 // prefixes that were taken for withdrawn
	Discarded uint64 // attributes and prefixes that were left out
	Last      string // the last such case in words; empty if there was none
}

// Looped counts the prefixes that are dropped because their routes have been here
// before. Where routers have several ways to one another there are always some, which are
// known better from elsewhere. What is not is a mistake in somebody's configuration, mostly.
type Looped struct {
	Prefixes int    // that the peer announces now
	Total    uint64 // dropped since the neighbor was added; each time that one is announced counts
	Last     string // the last such case in words; empty if there was none

	// Of Prefixes, those that Import would take and that no other route is known to, by
	// what tells that they have been here: this router's AS in AS_PATH (RFC 4271 section
	// 9.1.2), its router ID in ORIGINATOR_ID, its cluster ID in CLUSTER_LIST (RFC 4456
	// section 8). Of many prefixes only a part is looked at.
	ByAS, ByOriginator, ByCluster int
}

// Rival counts the prefixes of Wanted.Assigned that a peer announces for another router than the one that has them here. Two
// routers cannot have one address, and each is reached from a part of the network alone.
type Rival struct {
	Prefixes int
	// Of the first of them: it, the neighbor that has it here, and the router ID of the one that the peer announces it for.
	First    netip.Prefix
	Holder   string
	RouterID netip.Addr
}

// A Route is what there is of routes to Prefix that neighbors announce.
type Route struct {
	Prefix netip.Prefix
	// Ways has no two of one neighbor, and MaxWays at most. First come those that are in use at
	// once, then those in reserve, the best of each first. None: the prefix has no route.
	Ways []Way
}

// MaxWays bounds how many ways a prefix has; the worst are left out.
const MaxWays = 32

// A Way is a neighbor to which packets can be sent. Through a tunnel they get there, whatever
// next hop was received; on a network with others that is the gateway.
//
// Those that are in use are the best way and its equals, with the same LOCAL_PREF, AS_PATH,
// ORIGIN and MED, and all from eBGP neighbors or all from iBGP neighbors. The AS_PATHs have to be the
// same, number by number, not only of one length: traffic is shared only between ways that
// lead through the same networks. All others are in reserve.
type Way struct {
	Neighbor string     // the name of the neighbor
	Gateway  netip.Addr // of a neighbor with Neighbor.LAN, without a zone; else not valid
	Reserve  bool       // not to be used while one of the others can be
}

// Best is the neighbor of the best way, empty if there is none.
func (r Route) Best() string {
	if len(r.Ways) == 0 {
		return ""
	}
	return r.Ways[0].Neighbor
}
