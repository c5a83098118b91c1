// Package wireguard carries a tunnel over the WireGuard protocol and UDP, so that any
// WireGuard device can be the far end.
//
// An [Endpoint] is a router's end of all its tunnels and has one UDP port, in both
// families. A [Link] is one tunnel: one peer and one interface, a catch-all in both
// directions. Links may be bound to an underlay, which has sockets of its own on the same
// port while there are any (outlet.go). Package protocol is the protocol, package aead
// seals and opens many packets at once, package segment cuts and joins packets; here is
// what ties them to sockets, interfaces and the clock.
//
// How a tunnel comes up:
//
//  1. An end that has remotes looks them up and begins a handshake with the first
//     address. Each further attempt, after some 5 s, looks them up again and goes to
//     the next (link.go, resolve.go). The other end waits, or does the same.
//  2. The endpoint knows from the receiver index or the static key which peer a message
//     is of. Strangers get no answer. What is worth its Diffie-Hellmans waits for a
//     goroutine of its own, so that packets do not wait for it (handshake.go).
//  3. The first session brings the carrier and the event.
//
// Keys are changed while the tunnel is up (keys.go): the link goes on with its session if the
// keys of that are among those that it is given, and begins a handshake if they are not the
// first. After a handshake without an answer the next of the keys is tried, at each address.
//
// How a packet goes:
//
//  1. A goroutine for each queue of the interface waits for packets, takes buffers, reads
//     up to 16 KiB or one large frame, cuts that to packets, and seals them (pump.go,
//     outbox.go). Those of one size leave with one UDP_SEGMENT, as many as it takes, the
//     rest with what is read next if something is there to be read (departure.go,
//     train.go, socket.go);
//  2. at the far end a goroutine for each socket receives them, as UDP_GRO has joined
//     them and what else waits there already up to 16 KiB, opens each in place, joins
//     consecutive segments of a flow, and writes them to the interface, the last frame
//     with what arrives next if something is there (receiver.go, arrival.go);
//  3. TCP's SYNs are clamped to the interface's MTU on both ways.
//
// How several cores carry one flow, at a queue and at a socket alike:
//
//  1. The goroutines there are a team, and one of them is the reader (team.go). What is
//     small it takes all the way itself, and there is no other goroutine.
//  2. With a large piece in its hands it gives the thing read a number, lets go of the
//     reading, and seals or opens. If it did not have to wait for that piece, more is
//     probably waiting, and a further goroutine joins the team and reads on. There are at
//     most GOMAXPROCS of those, for all teams of an endpoint.
//  3. Who is done leaves the result to be handed on, to the socket or to the interface,
//     in the order of the numbers (order.go). Nobody waits for a turn: whoever finishes
//     the piece that is due hands it on, and all that were finished before it was.
//  4. Then it reads again, or leaves the team if another is reading.
//
// Whether the peer lives (liveness.go, probe.go):
//
//  1. Anything authentic that comes from it is a sign of life. This end sends an empty
//     packet when it has sent nothing for the keepalive, as another Warren does.
//  2. With a probe, a peer that was not heard for a keepalive and a quarter gets an ICMP
//     echo inside the tunnel, each keepalive. Another Warren is always heard before.
//  3. A peer that was not heard for two keepalives may have been started anew and lost
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
//
// The outer packets may be fragmented. Where large ones vanish nevertheless, the link finds
// what passes and clamps the interface to it (path.go, package pathmtu). A peer is answered where it was heard last, from
// the address that it sent to, as long as that works (source.go).
package wireguard
