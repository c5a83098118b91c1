// Package aead seals and opens messages with ChaCha20-Poly1305 (RFC 8439), without
// additional data, as WireGuard does with packets.
//
// golang.org/x/crypto does it for a single message, and for all of them on most
// processors. Packets of a flow come dozens at a time, though, all of one length; where
// the processor has AVX-512 with IFMA (Intel since Ice Lake, AMD since Zen 4), 16 of
// them are worked on side by side, each in a lane of the registers, in about half the
// time. One message alone is too short to fill such registers, and its Poly1305 would
// need eight powers of a key that is used once.
//
//  1. [Key.Seal] and [Key.Open] take the messages that come next and are of one length,
//     up to [Lanes]. Where these are too few, or the processor is another, x/crypto gets
//     them (run.go).
//  2. chacha (chacha_amd64.s) changes 64 bytes after 64 bytes of 16 messages. On zeros it
//     makes the keys of Poly1305, and on a copy it changes what is shorter at the end.
//  3. poly (poly_amd64.s) takes in 32 bytes after 32 bytes of eight messages, with the
//     square of their keys.
//  4. What a message has once is done one after the other: setting up the keys, padding,
//     making the tags (lanes_amd64.go, poly_amd64.go).
//
// Nothing here branches on a key, a plaintext or a tag, or uses them as an index, but for
// whether a message is forged.
package aead
