// Package agent ties a peer's tunnel, neighbor and routes together. It is the
// only package that knows all of them.
//
// What happens to a change, step by step:
//
//  1. Something moves: a tunnel comes up or dies, the speaker's best routes
//     change, an address or a route appears on this machine, somebody deletes
//     an owned route, an operator reloads. Each arrives as a signal or an
//     event at one goroutine, the loop (loop.go), which alone owns the state.
//  2. The loop brings the parts in line: a tunnel that came up gets its
//     addresses and its BGP neighbor, one that went down loses the neighbor
//     (peer.go). Local prefixes go to the speaker (loop.go), which is another process,
//     behind package speaker, and so does what no peer may take from this router
//     (protect.go). How a tunnel is opened depends on its
//     transport (interfaces.go, and a file for each). What something else changes
//     of a tunnel's interface is put right (mend.go). Where an end has no IPv6, BGP
//     goes over IPv4 (noipv6.go).
//  3. What changes a prefix touches it. desiredFor, a pure function, says from the state
//     which routes the kernel should have of it (desired.go), and fib writes them (routes.go).
//     A tunnel that dies touches no prefix: fib is told that its interface cannot be used.
//     Some routes lead nowhere (unreachable.go, memory.go). Routes prefer a source of this
//     router's own (source.go).
//  4. Status and reload are functions that the loop runs between two events
//     (status.go, reload.go), so they see and change a state that is whole.
//  5. When the machine wakes up all of this is done at once: timers slept too (wake.go).
//
// Starting and stopping has an order (agent.go): what protects the underlay
// is in place before the first connection is dialed, and at the end the
// neighbors get their Cease while the tunnels still carry it.
package agent
