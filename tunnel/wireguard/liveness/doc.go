// Package liveness decides whether a WireGuard tunnel is up, and what is to be done because the
// peer is silent. It is a machine without a clock, a socket or a goroutine: [Machine.Step] is
// given the time and what is known of the peer, and says what to do; [Machine.Deadline] says when
// it wants to be called again at the latest.
//
//	heard ──┬─────────┬────────────┬───────────────┬──────────────────┬──────────▶ time
//	        │      1¼ K: Probe   2 K: Handshake   D: down         2 D + K: keepalives
//	        │                      if all that     if all that        again, if a
//	        │                      waits was read  waits was read     handshake was begun
//	        └ up ──────────────────────────────────┴ down, Quiet ─────┴ down
//
// K is the keepalive, D is dead_after.
//
//  1. A sign of life is anything authentic that comes from the peer in a session. Its time is
//     when it was read from the socket.
//  2. A peer that is late may be asked with an echo inside the tunnel (Probe). Another Warren's
//     keepalives come in time.
//  3. After two keepalives the peer may have been restarted and have lost its session: a
//     handshake tells it.
//  4. Before a silence counts, everything that was waiting in the sockets when it was noticed has
//     to be read and opened (Settle): a process that is too busy to read is no dead peer.
//  5. A peer that completes handshakes and says nothing else is believed after a growing while
//     only. Anything else that it says is believed at once.
//  6. An end that hears nothing sends no keepalives (Quiet) for as long, so that a peer that does hear it goes down too. It
//     goes on when a handshake was begun whose answer it cannot use: after a longer cut an end that
//     hears a keepalive is up at once.
//  7. Without a way to the peer (Lost) the tunnel is down at once, and until the peer is heard by
//     another.
//  8. A peer that has said that it is being restarted is waited for a while (Await), whatever D is.
//  9. A peer whose tunnels all fell silent at the same time (AllSilent) is waited for a moment longer: its process may not run, and
//     there is no other tunnel to go to.
//  10. Without dead_after the tunnel goes down when its session has ended.
package liveness
