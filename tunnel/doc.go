// Package tunnel is the vocabulary that every transport shares: what a tunnel
// reports when it comes up or goes down, what it counts, and which addresses its
// two ends have inside it.
//
// A tunnel is a TUN interface with exactly one peer behind it. It has no routing
// table: what the kernel routes into the interface comes out at the peer. The
// packages below it move the packets:
//
//  1. tun makes the interface, and reads and writes packets with segmentation
//     offload, so that one system call moves up to 64 KiB;
//  2. tlslink carries them over TLS 1.3, in one TCP connection or several;
//  3. other transports report the same [Event] and [Status].
//
// Nothing here knows of BGP or of routes.
package tunnel
