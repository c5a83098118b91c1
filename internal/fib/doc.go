// Package fib makes the kernel's owned routes equal to the wanted ones, and
// keeps them so.
//
// Owned are the routes of one table with one protocol number. All others are
// foreign: they are never changed or removed, also where they have the same
// destination and metric as a wanted one.
//
//  1. [New] opens two netlink sockets: one for requests, one for events. A
//     socket filter hides from the second what the first one causes.
//  2. Events (of [FIB.Run], or read at the start of Sync) keep the package's
//     picture of the owned routes and of the interfaces true. What the kernel
//     does without an event of its own (it flushes the IPv4 routes of an
//     interface that goes down, or loses its last address) is deduced from the
//     events it does send. Where the picture may be wrong it is marked stale.
//  3. [FIB.Sync] dumps the kernel if the picture is stale, compares it with the
//     wanted routes, and makes a plan that holds only the differences.
//  4. The plan goes to the kernel, some hundreds of messages in one send. The
//     kernel answers each that fails and goes on to the next; the answers
//     correct the picture.
//  5. When an owned route was touched by someone else, when an interface
//     that has wanted routes comes up or goes, or when a retry is due, Run
//     delivers a value on [FIB.Changed], and the caller Syncs again.
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
//   - A route that moves to another interface is first added with
//     NLM_F_CREATE|NLM_F_APPEND, behind the old one, then the old one is removed,
//     so that there is no moment without a route.
//   - A removal always names protocol, table, metric and interface.
//
// An owned IPv6 route whose interface stays and whose preferred source changes
// cannot be added beside the old one, as the kernel takes the two for duplicates. So
// a third one with another metric stands in until the new one is there.
package fib
