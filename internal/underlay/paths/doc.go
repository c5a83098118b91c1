// Package paths tells the transports when the kernel's way to a peer is lost, or is another.
//
//  1. A transport says which packets it sends ([Socket.Follow]): between which ends, and by its
//     [Socket] from which interface. Way is looked up as theirs are, with the transports' mark.
//  2. The kernel's events come from the guard, which listens anyway ([Watcher.Heard]). One that
//     can change no way that is followed does nothing: a route to elsewhere, above all.
//  3. What comes within a few milliseconds is looked at once: addresses and interfaces are
//     listed if they changed, and each way is asked for (look.go). A busy watcher rests.
//  4. A pure function compares that with what was so before (way.go). A way is lost if the
//     address of this end is gone, no route is left, or the interface is down or has no
//     carrier. It is another if it leads out of another interface or by another gateway. What
//     routes alone say of a flow that is bound to no interface has to last for half a second:
//     they are often removed and added, and the guard needs a moment to follow rules.
//  5. The transport is told: once for each change, and nothing while nothing changes. It goes on
//     with a way that is another, but finds out whether it works.
//  6. Who asks for it ([Socket.FollowMTU]) is told how large packets may be by that way: what the interface,
//     the route, and for IPv6 routers further on say. The kernel tells nobody when it has heard of those, so that
//     this is seen within a minute.
//
// An address that stays when its interface goes down, as IPv4's do, is of no use if it is only
// there: what is sent to it arrives nowhere. So a connection from such an address is lost also
// where its packets could leave by another interface.
//
// Known limits: a way through another router that dies further on is not seen here; VRFs are not
// looked into.
package paths
