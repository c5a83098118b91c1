// Package rtnl speaks rtnetlink with the kernel: routes, next-hop objects, links and
// addresses.
//
//  1. Messages are appended to a buffer and parsed in place ([AppendRoute],
//     [ParseRoute] and their siblings). What a parser does not know it leaves out, and no
//     bytes make one panic.
//  2. [Conn] is for requests: dumps, and batches of changes that go to the kernel in
//     one send. The kernel answers each message that fails, and goes on to the next.
//  3. [Events] is a subscription. A socket filter can hide from it what one's own
//     requests cause. Events that the kernel had to drop are reported as [ErrLost].
//
// Its numbers are those of include/uapi/linux/rtnetlink.h, nexthop.h and netlink.h.
package rtnl
