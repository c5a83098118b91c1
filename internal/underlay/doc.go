// Package underlay keeps a tunnel's own packets out of tunnels, whatever the
// peers announce, the default route and the tunnel's own endpoint included.
//
// How it works:
//
//  1. Every socket of a transport carries Mark (Control sets it; a listener
//     hands it on to what it accepts, the SYN-ACK included).
//  2. A policy rule per family sends marked packets to a table of the guard's
//     own, Table, just before the rule for table main. Operators' rules with
//     lower numbers come first, unless they lead to table main or to the table
//     of learned routes themselves: then the guard's rule goes before them.
//  3. That table holds a copy of table main without the owned routes, without
//     next hops through tunnels, and with an unreachable default route at the
//     end. So a transport without an underlay route fails at once instead of
//     falling through to main and into the tunnel.
//  4. The guard listens to the kernel and makes the copy equal again after
//     each change: dump both tables, write the difference. A change that does
//     not touch the copied routes costs nothing. The kernel drops a connected
//     socket's cached route when the table changes, so connections follow.
//  5. Strict reverse path filtering (net.ipv4.conf.*.rp_filter = 1) looks up
//     the way back to a sender without the mark, finds the tunnel and drops the
//     packet. While an underlay interface filters so, the guard adds rules for
//     the addresses that transports dial and the ports they listen on, which
//     the filter's lookup meets. With src_valid_mark alone nothing is gained,
//     as packets arrive unmarked.
//  6. When Run ends, rules and table are removed. After a kill -9 they stay,
//     harmless, and the next Run takes them over.
//
// Routes of table main are never written, only read.
//
// The cost of a comparison grows with table main: for 100,000 routes it takes
// about half a second, and the guard then rests four times as long. While it
// rests it makes the changes in the copy that the kernel tells of, one by one,
// so that a new gateway is followed at once; the comparison has the last word.
//
// Known limits: the tables of VRFs (l3mdev) are not looked
// into; with net.ipv4.nexthop_compat_mode=0 the kernel does not tell which
// interface a foreign route with a next-hop object uses, so one through a tunnel
// would be copied; nftables rules that drop by `fib saddr . iif` (some distributions'
// IPv6 substitute for rp_filter) are out of the guard's reach and need
// `fib saddr . mark . iif` with the mark restored, or an exception.
package underlay
