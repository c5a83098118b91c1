// Package flow moves the packets of WireGuard tunnels: it reads them from interfaces, seals and
// sends them, and receives, opens and writes them. It decides nothing about tunnels: whether one
// is up, where its peer is, and when a handshake is due is said by the link (package wireguard)
// and package protocol.
//
//	outbound: one stage for each queue of an interface
//	                    ┌ worker: seal ┐
//	interface ─ reader ─┤ worker: seal ├─ reorder buffer ─ sender (UDP_SEGMENT) ─ socket
//	                    └ worker: seal ┘
//	inbound: one stage for each socket
//	                    ┌ worker: open ┐
//	socket ──── reader ─┤ worker: open ├─ reorder buffer ─ frames, joined ───── interfaces
//	(UDP_GRO)           └ worker: open ┘
//	                       └ messages of handshakes: Config.Handshake
//
// What both stages do (stage.go):
//
//  1. One worker at a time is the reader (workers.go). It waits for something to read without a
//     buffer, and reads a batch: up to 16 KiB or one large frame, but only one frame or datagram
//     if it had to wait.
//  2. A small batch goes straight through: the reader works on it and hands it on. There is no
//     other goroutine.
//  3. A large batch gets a number. The reader gives up its role, and seals or opens the batch. If
//     it did not have to wait for the batch, more is probably waiting, and another worker joins
//     and reads on. At most GOMAXPROCS workers join, in all stages of a [Flow].
//  4. Finished batches are handed on in the order of their numbers (reorder.go). No goroutine
//     waits for its turn: the one that finishes the batch that is due hands on all that are
//     finished behind it.
//  5. Then it takes the role again, or ends if another worker is the reader.
//
// Outbound (outbound.go, seal.go, sender.go): frames are cut to packets. Their messages of one
// size leave with one UDP_SEGMENT, as many as it takes. The remainder leaves with the next batch
// if something can be read. The kernel takes one traffic class for all messages of a send, so that
// packets with another begin another (marking.go).
//
// Inbound (inbound.go, inboundbatch.go): messages are opened where they lie, what their outer packets
// say of congestion is written into the packets (RFC 6040), consecutive segments
// of a TCP flow are joined, and the last frame of a batch waits for the next batch if something
// can be received. TCP's SYNs are clamped to the tunnel's limit in both directions. The peer is
// answered from the address of ours that it sent to, as long as that works (source.go).
//
// A [Tunnel] is what the two directions know of a tunnel. Its atomic fields are set by the link
// while packets flow.
package flow
