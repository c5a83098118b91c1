// Package bgp says what a BGP speaker on netip types is to do, and what it tells: for
// routers whose neighbors sit at the far end of point-to-point tunnels.
//
//  1. [Wanted] is all that a speaker is to do: its neighbors, each with its policies,
//     what originates here, and what no neighbor may take.
//  2. [Policy] decides what passes, with [Protected] on import, and says why something
//     does not ([Reason]).
//  3. [Route] and [NeighborStatus] are what a speaker tells.
//
// The speaker itself is in package engine below, and GoBGP with it. It parses what
// strangers send, so that it may be in a process of its own; this package is what the
// two processes have in common, and depends on neither.
package bgp
