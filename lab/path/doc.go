// Package path emulates a path of the real world on a link of the lab, which is a veth pair: what
// one end sends arrives at the other later, at a rate, out of order, twice, or not at all. The
// kernel has netem for this; not every kernel has netem.
//
//  1. [ParseConditions] reads what becomes of packets, as a scenario says it.
//  2. [Open] sees, by a packet socket on each end of the link, each frame that arrives there (socket.go,
//     ring.go). Somebody else, lab/topo, has the kernel drop those frames, but not those that come
//     from [Source].
//  3. A goroutine for each direction (direction.go) asks that direction's line when the frame is due (line.go):
//     what does not fit (mtu.go), what gets lost (loss.go), what waits before the rate, what is late, what
//     comes twice. A line has no clock and no I/O, and its random choices follow from a seed.
//  4. The goroutine sends the frame when it is due, through the end that sent it, with [Source] as its
//     source address. So it arrives where it was to arrive, and nothing is added to either host.
//
// [Path.Set] changes the conditions of a direction for the frames that come from then on. What is under way stays
// so, and is not overtaken. ARP and neighbour discovery are the link's own and pass at once: a path is what
// lies behind the link.
//
// A capture on a link that has a path shows each frame twice where it arrives: when it was sent, and, with
// [Source], when it arrives.
package path
