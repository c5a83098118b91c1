// Package engine is a BGP speaker in the words of package bgp, for routers whose
// neighbors sit at the far end of point-to-point tunnels. GoBGP does the protocol and
// stays inside this package.
//
// The flow:
//
//  1. New starts GoBGP without a listener of its own (port -1), with an export
//     policy that rejects everything, and watches its events.
//  2. Want says what is to be (want.go), and the reconciler brings it about
//     (reconcile.go). For a neighbor it opens a listener on the tunnel's own
//     address, bound to the tunnel's interface, writes the neighbor's policy
//     objects and adds the peer, for which GoBGP is passive. This package accepts
//     connections (listen.go) and makes them (dial.go), decides between two of
//     them (restart.go), and hands them to GoBGP over its accept channel
//     (accept.go).
//  3. What GoBGP reads from a connection was judged before (conn.go, package
//     judge): malformed UPDATEs are repaired or become withdrawals, and a prefix
//     that the import policy or the prefix limit refuses is not handed on. The
//     judge counts; of several neighbors' routes to a prefix GoBGP is given the best two (choice.go);
//     observe.go takes what it reports, and leaves a peer alone
//     for a while that has announced more than its hard limit.
//  4. GoBGP reports each change of a best path (onBestPath) and each session
//     state (onPeer), and the judges which prefixes they have handed on or withdrawn
//     (onMoved). The callbacks only copy into maps (rib.go). What GoBGP says nothing of is told without (unheard.go).
//  5. The ways to a prefix in Routes and TakeChanges are the neighbors whose judges have
//     handed it on and not withdrawn it, compared by the attributes that the judges
//     have (ways.go); GoBGP says which is the best. So neither a dead neighbor's route nor
//     one that the policy refuses now is ever seen, however far GoBGP lags, and what takes
//     a neighbor's place is known before it is lost. A next hop counts only for a neighbor
//     on a network with others, where it is the gateway (gateway.go).
//  6. A prefix goes out with this end's address of the session as its next hop,
//     or, where it is of the other family, with what the peer can be sent
//     (nexthop.go), also where it is reflected. Where its communities forbid it, it does not (community.go).
//  7. When a session or a connection fails, the neighbor is soon deleted from
//     GoBGP and added again, instead of its pause of 5 s; a peer that offers a
//     new session ends the old one (restart.go).
//  8. A peer that has said that it may restart keeps its routes when its connection is
//     lost (retain.go): GoBGP's session goes on without one (lost.go), the handshake on
//     the next is done here (resume.go), and the judge knows which routes are stale. After
//     a restart of this end nothing is announced before the peers have announced what they
//     have, and End-of-RIB comes last (defer.go).
//  9. ServeInspection answers the gobgp command, from GoBGP's tables and with bounds
//     of its own (inspect.go and what begins with that).
//  10. Explain says of one prefix what became of each neighbor's route to it (explain.go).
//  11. A neighbor that is drained is used only where there is no other way (drain.go).
//  12. A peer that asks for all routes again (ROUTE-REFRESH) has one table at a time put together (refresh.go).
//  13. Want takes the routes of a neighbor that is not wanted any more away at once
//     and closes the session in the background.
//
// Locks: opMu orders operations on GoBGP. mu guards the maps and is never held
// across a call into GoBGP; GoBGP's callbacks and its logger take mu only, and
// news.telling without it (news.go). The lock of a peerConn is taken inside mu or
// alone; mu is never taken inside it. The other one, peerConn.moving, is taken before mu (onMoved).
package engine
