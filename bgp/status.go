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
	RestartUntil   time.Time  // when the stale ones go at the latest; zero if there are none
	Accepted       int        // of those, the ones that may be used
	Refused        int        // of those, the ones refused by MaxPrefixes alone
	Announced      int        // prefixes announced to the peer
	EndOfRIB       bool       // the peer has said that it has announced all that it had when the session came up (RFC 4724 section 2)
	Malformed      Malformed  // what was wrong with the peer's messages, since the neighbor was added
	LastError      string     // why there is no session, or what is wrong with it
	Unanswered     time.Time  // since when the peer neither takes connections nor refuses them; zero: it does, or there is a session
}

// Malformed counts what was wrong with a peer's messages and did not end the
// session (RFC 7606).
type Malformed struct {
	Repaired  uint64 // UPDATEs in which something was repaired
	Withdrawn uint64 // prefixes that were taken for withdrawn
	Discarded uint64 // attributes and prefixes that were left out
	Last      string // the last such case in words; empty if there was none
}

// A Route is the best of the routes to Prefix that neighbors announce. Its way
// out is the neighbor; the next hop that was received plays no part.
type Route struct {
	Prefix   netip.Prefix
	Neighbor string // the name of the neighbor it was learned from
}
