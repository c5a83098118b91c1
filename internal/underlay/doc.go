// Package underlay keeps a tunnel's own packets out of tunnels, whatever the
// peers announce, the default route and the tunnel's own endpoint included.
//
// How it works:
//
//  1. Every socket of a transport carries Mark (Control sets it; a listener
//     hands it on to what it accepts, the SYN-ACK included).
//
//  2. Each table with ways into tunnels that such a packet can get to has a copy
//     without them (tables.go, copy.go): table main always, as learned routes go
//     there, with the number Table; another one as long as there is a route through
//     a tunnel in it. Owned routes and next hops through tunnels are left out, and so are
//     next hops through interfaces without a carrier, by which no packet leaves: the kernel
//     goes on using such routes, unless net.ipv4.conf.*.ignore_routes_with_linkdown is set.
//
//  3. A plan says which rules lead there (plan.go, a pure function). A rule of
//     others counts if a marked packet of this machine can match it (match.go):
//     one for another mark, user, protocol or for an input interface does not. Just
//     before the first that counts and leads into a copied table, a rule for the mark
//     jumps to the guard's own rules, which stand behind all others'. They say what
//     others' rules say from there on: in the same order, with the same sources,
//     destinations, ports, suppress_prefixlength and actions, but with copies for
//     tables. So the packet takes the way that it would take if there were no tunnels.
//     They end with unreachable: a transport without an underlay route fails at once
//     instead of falling through to main and into the tunnel. On a host without rules
//     of others but the kernel's, all of it is in `ip rule`:
//
//     0:       from all lookup local
//     32765:   from all fwmark 0x2057/0x30ff goto 8279001
//     32766:   from all lookup main
//     32767:   from all lookup default
//     8279000: from all unreachable        other packets end here, as they would anyway
//     8279001: from all nop
//     8279003: from all lookup 827900254   a copy of main
//     8279004: from all lookup default
//     8279005: from all unreachable
//
//  4. The guard listens to the kernel and makes rules and copies equal again after
//     each change: list rules, make a plan, dump tables, write the difference. A change
//     that does not touch them costs nothing. Rules are changed by making the new ones
//     beside the old ones and switching over with a single one (rules.go). The kernel
//     drops a connected socket's cached route then, so connections follow.
//
//  5. Strict reverse path filtering (net.ipv4.conf.*.rp_filter = 1) looks up
//     the way back to a sender without the mark, finds the tunnel and drops the
//     packet. While an underlay interface filters so, the guard adds rules for
//     the addresses that transports dial and the ports they listen on, at all IPv4
//     addresses of the underlay, which the filter's lookup meets, and which jump as the
//     rule for the mark does. For many ports and addresses they are a chain (chain.go). Control learns both of most sockets; ListensTCP and
//     ListensUDP are for those that it does not see.
//     With src_valid_mark alone nothing is gained, as packets arrive unmarked. The
//     loose filter (2) drops only what has no way back at all: it counts while there
//     are unreachable routes (SetUnreachable).
//
//  6. The firewall may take a packet's mark away. Own recognises the transports'
//     packets when they come out of a tunnel's interface (outer.go, sockdiag.go);
//     such are dropped and counted, and the guard then has nftables mark
//     them again behind all other output hooks (remark.go).
//
//  7. When Run ends, rules and tables are removed, nftables' too. After a kill -9 they stay,
//     harmless, and the next Run takes them over.
//
// Routes of others' tables are never written, only read, and their rules neither.
//
// The cost of a comparison grows with the tables: for 100,000 routes it takes
// about half a second, and the guard then rests four times as long. While it
// rests it makes the changes in the copy that the kernel tells of, one by one,
// so that a new gateway is followed at once; the comparison has the last word.
//
// Known limits: the tables of VRFs (l3mdev) are not looked into; a mark that a
// firewall gives packets beside the guard's is not considered in others' rules;
// nothing can come before a rule of priority 0; a reverse path filter is not opened for
// what programs of others send with the mark, whose remotes and ports are not known; with
// net.ipv4.nexthop_compat_mode=0 the kernel does not tell which interface a foreign
// route with a next-hop object uses, so one through a tunnel would be copied;
// nftables rules that drop by `fib saddr . iif` (some distributions' IPv6 substitute
// for rp_filter) are out of the guard's reach and need `fib saddr . mark . iif` with
// the mark restored, or an exception.
package underlay
