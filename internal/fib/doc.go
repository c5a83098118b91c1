// Package fib holds which routes are wanted, makes the kernel's owned routes equal to
// them, and keeps them so.
//
// Owned are the routes of one table with one protocol number, and the next-hop objects
// of that protocol number with numbers from 827900000 to 827999999. All others are
// foreign: they are never changed or removed, also where a route has the same
// destination and metric as a wanted one.
//
//  1. [FIB.Apply] notes what is wanted of a prefix: a set of ways, best first, and
//     whether an unreachable route is to be beneath. [FIB.SetHop] says of an interface
//     whether it can be used, and [FIB.SetLate] of a neighbor whether others are used before it. All
//     return at once; what they cost does not depend on how many other prefixes there are.
//  2. A prefix that changes is queued, and [FIB.Run] writes the queue: prefixes in order, some
//     hundreds of messages in one send, additions before removals. The kernel answers each
//     message that fails and goes on to the next.
//  3. For each prefix the package remembers which owned routes the kernel has: its picture,
//     of entries without pointers in a table that shrinks when most of them are gone.
//     Events keep it true; a socket filter hides those that the package's own requests cause.
//     What the kernel does without an event (it flushes the IPv4 routes of an
//     interface that goes down, or loses its last address) is deduced from the
//     events it does send. An event queues the prefixes that it is about.
//  4. Where the picture may be wrong as a whole (at the start, when events were lost) the
//     kernel is asked for all owned routes before anything else is written. Once a minute, or
//     more seldom if it takes long, that is done beside writing.
//  5. What the kernel refuses is tried again, and [FIB.Status] says why. [FIB.Changed] delivers
//     a value when it may say something else. That a route is there already (EEXIST) does
//     not say whose it is: it is foreign if a look at the kernel shows no owned one. Until
//     then the wanted one is pending.
//
// # Next-hop objects
//
// A prefix with one hop has a plain route, also where several neighbors name it. Several are a next-hop group, which all
// prefixes with the same set of ways share, one for each family:
//
//	10.1.0.0/16 ─┐                          ┌─ object: dev site-b
//	10.2.0.0/16 ─┼─ group: site-b, site-c ──┤
//	10.3.0.0/16 ─┘                          └─ object: dev site-c
//
// Removing the object of an interface takes it out of all groups: one message, whatever the
// number of prefixes, and no route changes. Ways in reserve have no objects while one of the
// others can be used. When the last of these goes the group gets the first of the reserve
// that can be used, and then the object that it had is removed, so that the group, and with it
// its routes, never goes:
//
//	new object: dev site-d
//	group: site-b → site-d       one message for each set and family, replacing the members
//	remove the object: dev site-b
//
// A way may have a gateway, and then is an object of its own: several on one interface go with
// it together. IPv4 and IPv6 routes share the object of an IPv6 gateway.
//
// The ways of a neighbor that is late are left out of a group like the reserve, while another member can be used. An interface
// may have several neighbors, and so may a gateway on it: a way is late only if it is so by each of them.
//
// An object needs a carrier. To put one back into a group, or the reserve into it, the group is
// replaced, for which the kernel sends an event for each of its routes, after it has
// switched (net.ipv4.nexthop_compat_mode). It does nothing else on that processor meanwhile. So where it would
// be thousands, and all members of the group may go on, a new one is made, the routes move to it in batches, and
// the old one goes when the last has left. Until then a member that dies leaves both by the removal of its object,
// and if that leaves nothing in the old one this is replaced.
//
// When an interface goes down or loses its carrier the kernel removes its objects by itself,
// and sends no event for it (net/ipv4/nexthop.c, nh_netdev_event); a group that is left
// empty goes, and its routes with it, before there is any event of the interface. So when an
// interface has changed that is in a group, the objects, which are few, are read again, and
// the routes that are gone are written by a new group, at once.
//
// Objects are made before the routes that use them, and removed after these. No object is
// replaced but a group of our own. Prefixes with one hop have no objects, because
// without a carrier the kernel would remove their routes, for IPv4 without a word.
//
// On a kernel without objects (before 5.3) a prefix has a plain route by the first of
// its ways that can be used, those in reserve last.
//
// # Why no route is ever replaced
//
// NLM_F_REPLACE takes the first route with the same destination, metric and TOS,
// whatever its protocol (net/ipv4/fib_trie.c, fib_table_insert;
// net/ipv6/ip6_fib.c, fib6_add_rt2node), so it can overwrite a foreign route.
// Instead:
//
//   - A new route is made with NLM_F_CREATE|NLM_F_EXCL. In both families that
//     fails with EEXIST if any route has the destination and metric.
//   - A route that moves to another way is first added with
//     NLM_F_CREATE|NLM_F_APPEND, behind the old one, then the old one is removed,
//     so that there is no moment without a route.
//   - A removal always names protocol, table, metric, and interface or object.
//
// An owned IPv6 route whose way stays and whose preferred source changes
// cannot be added beside the old one, as the kernel takes the two for duplicates; nor can one
// with a gateway beside another with one, as it takes them for two ways of one route. So
// a third one with another metric stands in until the new one is there.
package fib
