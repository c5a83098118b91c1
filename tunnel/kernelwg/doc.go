// Package kernelwg has the kernel's own WireGuard carry a tunnel: an interface of the type wireguard with one peer, for
// which all addresses are allowed. The package tells the kernel the keys, and where the peer is; it moves no packets,
// and does not make the interface.
//
// What the kernel does by itself: handshakes, sessions, and following a peer whose packets come from
// another place. What it does not know, and this package does:
//
//  1. Which of several remotes answers. While the tunnel is not up, [Link] has one address after the other tried
//     for connect_timeout (seek.go). The peer is made again for each, as the kernel begins a handshake with a peer that
//     it has asked just now only after 5 s.
//  2. That something else has changed the keys or the peer: they are told to the kernel again while the tunnel is not up.
//
// Whether the peer lives is for others to find out, by echoes inside the tunnel, and is told to the Link.
package kernelwg
