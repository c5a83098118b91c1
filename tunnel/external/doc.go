// Package external watches a tunnel that something else keeps: an interface
// that OpenVPN, WireGuard, the kernel or an operator made, or will make. The
// package neither makes nor removes it, and moves no packets.
//
// How a [Link] follows its interface:
//
//  1. Once every keepalive it looks whether the interface is there, up and
//     running, and which addresses it has (sight.go). How to see that it is
//     given: [Config.Look] asks for the one interface, however many there are.
//  2. If it was configured with addresses and the interface lacks one, its
//     owner is asked to add it. Otherwise the interface's own addresses tell
//     which is this end's (address.go).
//  3. With a probe, each look sends an ICMP echo to the peer's address, out of
//     this interface and no other (package ping). The first reply means up, no
//     reply for dead_after means down. Without, up is what the interface is.
//     A peer that may lack IPv6 is asked at an IPv4 address beside, until it has
//     answered at one of the two; from then on it is asked at that one.
//  4. An interface that went and came back between two looks has another index,
//     and counts as down and up again (link.go).
//
// Only point-to-point interfaces can be used. On an Ethernet segment (veth, a
// bridge, OpenVPN's tap) a route needs a next hop, and the routes of a tunnel
// have none: what goes in comes out at its one peer.
//
// What carries the interface's packets is not known here. If that is a process
// of this machine, its own packets can be kept out of tunnels by giving its
// socket the mark that Warren's own transports have, 0x2057 (8279): OpenVPN's
// `mark 8279`, WireGuard's `fwmark 0x2057`.
package external
