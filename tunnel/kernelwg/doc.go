// Package kernelwg has the kernel's own WireGuard carry a tunnel: an interface of the type wireguard with one peer, for
// which all addresses are allowed. The package tells the kernel the keys, and where the peer is; it moves no packets,
// and does not make the interface.
//
// What the kernel does by itself: handshakes, sessions, and following a peer whose packets come from
// another place. What it does not know, and this package does:
//
//  1. Which of several remotes answers. While the tunnel is not up, [Link] has one address after the other tried,
//     those of one remote for connect_timeout together (seek.go). The peer is made again for the first attempt after the tunnel went down and for
//     another address than the one before, as the kernel begins a handshake with a peer that it has asked just now only
//     after 5 s. Otherwise it stays, and the kernel repeats its handshake by itself.
//  2. Whether there is a way to the peer on the underlay. The Link has it followed, tells when it is lost, and begins a handshake
//     at once when it is there again (way.go).
//  3. How large the packets may be. While the tunnel is up that is sought with echoes through its interface, whose MTU is
//     set to what passes (path.go, package pathmtu).
//  4. That something else has changed the keys or the peer: they are told to the kernel again while the tunnel is not up.
//
// Whether the peer lives is for others to find out, by echoes inside the tunnel, and is told to the Link. Those echoes
// may be rare, so the Link asks for one when a handshake was completed.
//
// A peer that is made again has no memory of handshakes: of a message that somebody recorded before, the kernel accepts one
// once, answers it, and sends to where it came from until the peer itself is heard. Nothing can be read or written by that. With one
// remote it is possible once after each time that the tunnel went down, with several it is after each attempt.
package kernelwg
