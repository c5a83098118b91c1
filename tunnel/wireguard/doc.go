// Package wireguard carries a tunnel over the WireGuard protocol and UDP, so that any
// WireGuard device can be the far end.
//
// An [Endpoint] is a router's end of all its tunnels and has one UDP port, in both
// families, but for spare ones. A [Link] is one tunnel: one peer and one interface, a catch-all in both
// directions. Links may be bound to an underlay, which has sockets of its own on the same
// port while there are any (binding.go).
//
//	Link.Run ── decides: up or down, handshakes, path MTU, keys ── Event, Status
//	   │  ▲ notify
//	   ▼  │                          Endpoint: port, strangers, handshakes
//	package protocol: sessions ◄───────────────┐   ▲ messages of handshakes
//	   │ keys, counters                        │   │
//	   ▼                                       │   │
//	package flow: interface ◄── open, seal ──► sockets (binding.go)
//
// Package protocol is the protocol as a machine without sockets, package liveness decides whether
// the tunnel is up as a machine without a clock, package flow moves the packets, package aead
// seals and opens many at once, package pathmtu searches what size passes. Here is what ties them
// to sockets, interfaces and the clock.
//
// How a tunnel comes up:
//
//  1. An end that has remotes looks them up and begins a handshake with all addresses of one
//     at once, and with those of the next after connect_timeout, bad ones last; rounds are
//     at least 5 s apart (attempts.go, resolve.go). The other end waits, or does the same.
//  2. The endpoint knows from the receiver index or the static key which peer a message
//     is of. Strangers get no answer (strangers.go). What is worth its Diffie-Hellmans waits
//     for a goroutine of its own, so that packets do not wait for it (handshake.go).
//  3. The first session brings the carrier and the event.
//  4. After two rounds in vain the handshakes of some rounds are begun from a spare port, as the flow between the usual
//     ones may be stalled on the way. What that brings up, it carries until the tunnel goes down (spare.go).
//
// How a tunnel goes back to the first of its remotes: that is asked by handshakes whose session is
// not used, and taken by one whose session is when it has been good for a while (return.go).
//
// Keys are changed while the tunnel is up (keys.go): the link goes on with its session if the
// keys of that are among those that it is given, and begins a handshake if they are not the
// first. After a handshake without an answer the next of the keys is tried, at each address.
//
// Whether the peer lives (package liveness, liveness.go, probe.go):
//
//  1. Anything authentic that comes from it is a sign of life. This end sends an empty
//     packet when it has sent nothing for the keepalive, as another Warren does.
//  2. With a probe, a peer that was not heard for a keepalive and a quarter gets an ICMP
//     echo inside the tunnel, each keepalive. Another Warren is always heard before.
//  3. A peer that was not heard for two keepalives may have been restarted and lost
//     its session: this end begins a handshake.
//  4. Nothing for dead_after: the tunnel goes down, and handshakes go on. A peer that
//     completes them and says nothing else is believed after a growing while only.
//  5. An end that hears nothing is quiet for as long, but for handshakes, so that a peer
//     that does hear it goes down too; which stays down until its answers are used.
//  6. Without dead_after, or a probe, the tunnel goes down when its session could not be
//     renewed before it ended, after 180 s.
//  7. Without any way to the peer in the kernel the tunnel goes down at once, and is up when
//     the peer was heard by another. By a way that is another the peer hears at once where
//     this end is now, and is asked (ways.go).
//  8. So it is when the peer says, over another tunnel with it, that it has no way to this end any more by this one (lost.go).
//
// The outer packets may be fragmented. Where large ones vanish nevertheless, the link finds
// what passes and clamps the interface to it (path.go, package pathmtu).
//
// A Warren that is to get addresses from its peer asks for them inside the tunnel (assign.go). The secret of an invitation is
// replaced inside it when the two ends meet, and who comes with it later is told so (invited.go).
package wireguard
