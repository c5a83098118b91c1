// Package agent ties a peer's tunnels, neighbors and routes together. It is the
// only package that knows all of them.
//
// What happens to a change, step by step:
//
//		inbox, tickers ──▶ loop ── event ──▶ machine.next ── effects ──▶ loop.do ──▶ tunnels, speaker,
//		      ▲                    ▲                                       │         kernel, log
//		      └── takes its time ──┴───────────── results ◀────────────────┘
//
//	 1. Something moves: a tunnel comes up or dies, the speaker's best routes
//	    change, an address or a route appears on this machine, somebody deletes
//	    an owned route, an operator reloads. Each arrives at one goroutine, the loop
//	    (loop.go), which alone owns the state.
//	 2. A peer has attachments, each of which is a tunnel with a neighbor of its own behind it
//	    (attachment.go). What becomes of them the machine decides (machine.go; opening.go,
//	    sessions.go, configure.go). It takes events and returns effects (events.go), and has no
//	    clock, no I/O and no goroutines. The loop does the effects (effects.go), and makes events of
//	    what comes from other goroutines (inbox.go). Tunnels are opened and closed beside the
//	    loop. How a tunnel is opened depends on its transport (interfaces.go, and a file for each).
//	    A peer on a network of this host has an attachment without a tunnel (network.go). One that a CA
//	    vouches for gets its attachments when it connects (accept.go).
//	 3. What does not succeed is a condition (conditions.go): logged once, tried again after a
//	    pause that grows, or at once when success has become likely, and shown in status.
//	 4. Local prefixes go to the speaker (loop.go), which is another process, behind package
//	    speaker, and so do addresses that peers are assigned while their tunnels are up (assign.go),
//	    and what no peer may take from this router (protect.go). What something
//	    else changes of a tunnel's interface is put right (mend.go). Where an end has no IPv6, BGP
//	    goes over IPv4 (noipv6.go).
//	 5. What changes a prefix touches it. desiredFor, a pure function, says from the state
//	    which routes the kernel should have of it (desired.go), and fib writes them (routes.go).
//	    A tunnel that comes up waits for the routes of both ends where there is another way (late.go).
//	    One that dies touches no prefix: fib is told that its interface cannot be used, and
//	    what the speaker then says of each prefix is put off (behind.go).
//	    Some routes lead nowhere (unreachable.go, memory.go). Routes prefer a source of this
//	    router's own (source.go).
//	 6. Status and reload are functions that the loop runs between two events
//	    (status.go, reload.go), so they see and change a state that is whole. A reload is planned before
//	    it is done, and may be told instead (plan.go, foresee.go), or taken back if nobody confirms it
//	    (confirm.go). What the config says in the words of other packages is in translate.go, what a
//	    peer's filters come to in filters.go. `warren why` asks the loop, the speaker and the
//	    kernel, one after the other (why.go and what begins with that). Where HTTP is answered, and what
//	    package httpapi asks, is in http.go.
//	 7. What has happened goes to the history: the machine says it of tunnels, sessions and conditions
//	    (happened.go), the loop of what counters tell (watch.go).
//	 8. When the machine wakes up all of this is done at once: timers slept too.
//
// Where a peer has several tunnels, each end is told over the others which one the other end has lost (lost.go).
//
// What operators ask for without the files, drain, down and reset, the machine does too (operate.go, operator.go).
//
// `warren restart` has the program replaced in the same process (restart.go), and the next one takes over what there is
// (left.go, standing.go).
//
// Starting and stopping has an order (agent.go): what protects the underlay
// is in place before the first connection is dialed, and at the end the
// neighbors get their Cease while the tunnels still carry it.
package agent
