// Package protocol is the WireGuard protocol without a socket, a clock or an
// interface: datagrams and times go in, datagrams and packets come out. It is
// compatible byte for byte with other WireGuard devices.
//
// Sources: Jason A. Donenfeld, "WireGuard: Next Generation Kernel Network Tunnel",
// NDSS 2017, in its revision on wireguard.com, whose sections the comments name;
// and Trevor Perrin, "The Noise Protocol Framework", revision 34.
//
// A [Machine] is a router with its static key, and a [Peer] is the far end of one
// tunnel. Its owner does three things:
//
//  1. it gives each datagram that arrives to [Machine.Receive], or several that came
//     together to [Machine.ReceiveRun], writes the packet that may be in it to the
//     tunnel's interface, and sends the reply if there is one;
//  2. it reserves packets with [Peer.Sealer], seals them, many at once if it can, and
//     sends them to the endpoint that the Sealer names;
//  3. it calls [Peer.Tick] at [Peer.NextDeadline], and sends what that returns. When
//     the deadline moves closer, PeerConfig.Notify tells.
//
// An initiation that is authentic and older than one before is not answered. But this end
// begins a handshake because of it, now and then, and only with where the peer was heard
// last: the peer's clock may have been fast once (stale.go).
//
// Where two machines have the key of a peer, each takes the other's session away. The one
// whose session works keeps it, and the other is refused (twin.go).
//
// How a session comes about:
//
//  1. Tick begins a handshake when one was asked for: by [Peer.Initiate], by a packet
//     that found no session, or because the session is getting old or nothing is
//     answered (timers.go).
//  2. The far end checks that the message is meant for it, and under load that the
//     sender is where it says (cookie.go, load.go); finds the peer by its static key;
//     refuses a timestamp that is not new; answers, and has a session that it does
//     not use yet (handshake.go, receive.go).
//  3. The initiator takes the answer, has the session, and sends something in it.
//  4. That is what the responder waits for: now it uses the session too.
//
// A peer may be known by several keys while they are changed (way.go). Each has a handshake
// of its own; what comes of any of them is a session of the one peer, and outlives a change
// of keys as long as its own are among them.
//
// Keys may be of an invitation, which more than two routers may have: then one end begins handshakes and the other answers
// them, and all routers but one are refused, by a response that only they can read (invited.go).
//
// Towards a peer this end may have a key pair of its own, instead of the machine's. An
// initiation does not say whom it is for except by its MAC, so that garbage costs one
// MAC more for each such pair: 0.5 to 1 µs, and some 0.7 ms with 1,000 of them, until
// the limit on that is reached (identity.go). Networks share what is allowed, with a part
// for where peers are known to be (search.go, known.go), so that strangers keep none of them out.
//
// What a flood of initiations can cost is bounded. Who does not know the public key costs
// a MAC. Who knows it costs a Diffie-Hellman, for 1,000 messages a second at most; past
// that a cookie, for 10,000; and past that nothing. Those who show a cookie, and so that
// they are where they say, have another 1,000 between them, and 20 each (load.go).
// [Machine.Admit] and [Machine.Handshake] part what is cheap from what is not, for who has
// packets waiting.
//
// Three sessions are kept, so that packets on their way during a change are not
// lost: see Peer. Where a peer is, is where it was heard last; only what is authentic
// moves it. Nothing that is not authentic is answered, nor does it change anything.
//
// Unlike the kernel's implementation, a handshake that a peer begins does not end
// the one that we have begun: when both begin at once, both succeed, and either
// session can be received from.
//
// Keys are overwritten or let go when they are over. Go gives no promise that no
// copy of them is left in memory.
package protocol
