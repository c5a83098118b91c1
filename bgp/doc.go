// Package bgp is a BGP speaker on netip types for routers whose neighbors sit
// at the far end of point-to-point tunnels. GoBGP does the protocol and stays
// inside this package.
//
// The flow:
//
//  1. New starts GoBGP without a listener of its own (port -1), with policies
//     that reject everything both ways, and watches its events.
//  2. AddNeighbor opens a listener on the tunnel's own address, bound to the
//     tunnel's interface, writes the neighbor's policy objects and adds the
//     peer. GoBGP dials through the tunnel; accepted connections, and some that
//     this package dials sooner, are handed to it over its accept channel
//     (accept.go, listen.go, dial.go).
//  3. GoBGP reports each UPDATE before policy (onUpdate), each change of a best
//     path (onBestPath) and each session state (onPeer). The callbacks only
//     copy into maps: what a neighbor announces goes into its ledger, which
//     decides what is accepted under the policy and the prefix limit; best
//     paths go into the rib.
//  4. A route is visible in Routes and TakeChanges when it is GoBGP's best path
//     and its neighbor's ledger accepts it. So neither a prefix past the limit
//     nor a dead neighbor's route is ever seen, however far GoBGP lags.
//  5. When a ledger overflows, enforceLimits narrows that neighbor's import
//     policy in GoBGP to exactly the accepted prefixes, and widens it again
//     when there is room.
//  6. A prefix goes out with this end's address of the session as its next hop,
//     or, where it is of the other family, with what the peer can be sent
//     (nexthop.go).
//  7. When a session or a connection fails, the neighbor is soon deleted from
//     GoBGP and added again, instead of its pause of 5 s; a peer that offers a
//     new session ends the old one (restart.go).
//  8. ServeInspection answers the gobgp command, from GoBGP's tables and with bounds
//     of its own (inspect.go and what begins with that).
//  9. DeleteNeighbor takes the neighbor's routes away at once and closes the
//     session in the background.
//
// Locks: opMu orders operations on GoBGP, mu guards the maps and is never held
// across a call into GoBGP. GoBGP's callbacks and its logger take mu only.
package bgp
