// Package tlslink carries a tunnel over TLS 1.3 and TCP.
//
// An [Endpoint] is a router's end of all its tunnels and has the listening
// sockets. A [Link] is one tunnel: one peer and one interface.
//
// How a tunnel comes up:
//
//  1. An end that has remotes looks all of them up and dials their addresses (dial.go), each a
//     while after the one before and beside it, bad ones last (round.go). Both ends may.
//  2. TLS proves the keys of both (trust.go, secret.go). The listening end knows
//     from the server name, which is encrypted (ech.go; first versions had it in
//     the clear, form.go), which shared secret is meant, or, without one, looks
//     for the certificate among its peers, or has a link made for one that a CA
//     vouches for (admission.go). Strangers get no further, hold little
//     and keep nobody out (gate.go, turns.go, known.go).
//  3. The dialing end says hello, the listening end answers or says why not
//     (hello.go). The link number tells several tunnels of one peer apart.
//  4. If both dialed, the arbiter says which connection stays (arbiter.go).
//  5. The session begins: offload as both ends can, carrier, event (link.go).
//
// How a packet goes:
//
//  1. A goroutine for each queue of the interface waits for packets, takes a
//     buffer, reads what there is and frames it (pump.go, frame.go);
//  2. the lane of that queue seals it, in the same goroutine, and sends it with one
//     system call (lane.go, wire.go). Where it has to wait, another goroutine reads on, and what it reads waits in a queue that
//     serves flows in turn (backlog.go); on slow lines in small pieces (pace.go), and
//     rather here than on the path (standing.go);
//  3. the far end's goroutine for the lane opens it, has it checked, and writes it
//     to the interface (lane.go).
//
// How a tunnel gets further connections, lanes, with which flows use several
// processors and don't suffer from what the connection of others loses:
//
//  1. At each keepalive both ends look back (demand.go). Traffic of 100 Mbit/s asks
//     for lanes; so do queues that waited for one another, to send on the lane
//     that they share, for more than half of the time, as they do on a path where
//     its window bounds them. A flow alone waits for nobody, and with bbr a slow path
//     has no use for them, unless it loses packets.
//  2. The end that didn't dial asks the other to (frameWiden).
//  3. The end that dialed dials the lanes that are missing (lanes.go). They stay
//     until they fail or the session ends, or they are replaced.
//  4. Each queue moves to its lane. A flow stays in one queue and so in order, but
//     for the packets that it has on the way when its queue moves.
//
// A session that loses packets has its second lane before the next look back (losses.go). On paths with some delay small packets of flows
// that have nothing on their way then take the lane with the shortest wait (choice.go), as far as is known of it (outlook.go), be it that
// streams share one.
//
// How a lane gets new keys, lane 0 included, within an hour and before too many records
// were sent with the old ones (renew.go):
//
//  1. The end that dialed dials another connection with the lane's number. The other
//     end asks for that if it finds the lane old (frameRenew).
//  2. When the hello is answered the dialing end moves to the new connection: it
//     sends a ping there first, and frameDone on the old one last.
//  3. With the ping the listening end moves too.
//  4. Each end reads the new connection after the frameDone of the old one, and closes
//     that when both directions are done. So nothing is lost or overtaken.
//
// Where all packets of one connection are swallowed on the way, while those of others pass, that lane is replaced in
// the same way, and not waited for (stalled.go).
//
// Where large packets vanish on the way, without the ICMP error that would say so, a
// handshake gets no answer, and the next connection to that address has small segments
// (segments.go). So it is if they begin to vanish later (stuck.go). Now and then a
// connection without them is tried.
//
// How the keys that a peer is known by, or this router's certificate, are changed while the
// tunnel is up (rekey.go):
//
//  1. New connections are made, and taken, with what is set from now on; of several secrets
//     the dialing end tries the next if the peer does not know the first (dial.go).
//  2. A session that was made with a key which is gone ends. Where another key than its own
//     would be offered now, its lanes are replaced.
//
// How the secret of an invitation, which has gone over a channel of which little is known, is replaced when the two ends
// meet (invited.go):
//
//  1. The end that has invited stores another one, and tells it in the session (frameSecret).
//  2. The other end stores it too, and then uses it first, so that its lanes are replaced.
//  3. When all are, both forget the invitation's. Another router that comes with it meanwhile is refused.
//
// How a tunnel goes back to the first of its remotes: that is asked in the background, and takes
// over when it has been good for a while (return.go).
//
// How a tunnel outlasts the restart of one of its ends: it is paused, and goes on with the next session of the same two
// ends (pause.go, handover.go).
//
// How a tunnel goes down: the peer says so, the connection fails, nothing came
// from the peer for dead_after, by the kernel's counters (liveness.go), or the kernel has
// no way to it any more (paths.go), or the peer says over another tunnel that it has none to
// this end (lost.go). Then the carrier drops, the event
// goes out, and dialing begins again. If there is another way the peer must answer by that
// soon; a dial that is under way begins again.
package tlslink
