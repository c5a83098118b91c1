// Package pathmtu finds the largest packet that passes a tunnel's underlay where larger ones
// vanish: routers drop them, and the ICMP error that says so, or the fragments they would
// become, never arrive. It is packetization layer path MTU discovery (RFC 8899) with probes
// inside the tunnel, and has no socket and no clock.
//
//  1. A probe is an ICMP echo request to the peer's address in the tunnel, sealed as any
//     packet is, and as long as the packet that is to be tried (echo.go). The kernel behind
//     any WireGuard device answers it with a reply of the same length, and so tries the way
//     back too. Another Warren answers it itself, without its kernel and with a short reply, as
//     it tries its own direction.
//  2. Each probe goes with a short one behind it (search.go). If the short one is answered
//     and the long one is not, several times in a row, then packets of that length vanish.
//     If neither is, nothing is known, and nothing changes: a peer that answers no echoes, an
//     older Warren behind a firewall among them, is as before.
//  3. The largest packet of the tunnel is tried when the tunnel comes up, when the peer is
//     elsewhere, and from then on now and then, more often while large packets are sent.
//  4. Where it vanishes, the size that passes is sought by halving, and the tunnel is clamped to
//     it. Now and then one byte more is tried; if that passes, it is sought again upward.
//  5. The largest packet may become another under way, as the route takes less or more ([Search.SetLargest]).
//
// Two Warrens tell each other by the same kind of echo which addresses one assigns to the
// other (assign.go), and the secret that replaces an invitation's (secret.go).
package pathmtu
