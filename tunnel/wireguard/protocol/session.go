package protocol

import (
	"encoding/binary"
	"net/netip"
	"time"

	"warren/tunnel/wireguard/aead"
)

// session is a pair of transport keys (section 5.4.5). What changes in it belongs
// to the peer's mutex.
type session struct {
	peer          *Peer
	way           *way   // by which the two ends knew each other
	local, remote uint32 // indices
	sending       *aead.Key
	receiving     *aead.Key
	initiator     bool
	via           any // how the response came, as Admitted says, if this end was the initiator
	created       time.Time

	rtt         time.Duration // of the handshake: from our message to what answered it; 0 until then
	sent        uint64        // the next counter to send with
	seen        window
	alive       bool // more came in it than what completed the handshake
	askedToRest bool // a last-minute handshake was asked for (section 6.2)
	crossed     bool // made as the responder while a handshake of our own was under way
}

// sendable reports whether a session may carry n more packets to the peer.
func (s *session) sendable(now time.Time, n uint64) bool {
	return s != nil && now.Sub(s.created) < rejectAfterTime && s.sent+n <= rejectAfterMessages
}

// Sealer seals the packets of one reservation, in order. It is not safe for
// concurrent use, but several Sealers of one peer may be at work at once.
type Sealer struct {
	To netip.AddrPort // where the peer is

	key      *aead.Key
	receiver uint32
	next     uint64
	end      uint64

	added [aead.Lanes]aead.Message // not sealed yet, all of one length
	count int                      // of them
}

// Index is what the receiver knows the session by.
func (r *Sealer) Index() uint32 { return r.receiver }

// PaddedLen is how long a packet of n bytes is when it is sealed in a tunnel with
// this MTU: a multiple of 16 bytes, though never more than the MTU for that
// (section 5.4.6).
func PaddedLen(n, mtu int) int {
	if padded := (n + 15) &^ 15; padded <= mtu {
		return padded
	}
	return max(n, mtu)
}

// Add makes a data message in place of the packet buf[HeaderLen:HeaderLen+n],
// padded, and returns it: it begins at buf[0] and has Overhead + PaddedLen(n, mtu)
// bytes, for which buf must have the room. It is finished when Seal returns, and must
// be left alone until then. Add panics if more packets are added than were reserved.
func (s *Sealer) Add(buf []byte, n, mtu int) []byte {
	if s.next >= s.end {
		panic("protocol: more packets than reserved")
	}
	padded := PaddedLen(n, mtu)
	clear(buf[HeaderLen+n : HeaderLen+padded])
	msg := buf[:Overhead+padded]
	if s.count == len(s.added) || s.count > 0 && len(s.added[0].Body) != len(msg)-HeaderLen {
		s.Seal()
	}
	s.added[s.count] = unsealed(msg, s.next)
	s.count++
	s.next++
	return msg
}

// Seal seals the packets that were added.
func (s *Sealer) Seal() {
	seal(s.key, s.added[:s.count], s.receiver)
	s.count = 0
}

// The nonce of a data message is 32 zero bits and the counter, little endian (section
// 5.4.6). The counter is in the message already, after the receiver's index: with that
// zeroed for the moment, the nonce is there too.

// unsealed begins a data message, which holds the packet already.
func unsealed(msg []byte, counter uint64) aead.Message {
	binary.LittleEndian.PutUint32(msg, typeData)
	clear(msg[4:8])
	binary.LittleEndian.PutUint64(msg[8:], counter)
	return aead.Message{Nonce: msg[4:HeaderLen], Body: msg[HeaderLen:]}
}

// seal finishes data messages.
func seal(key *aead.Key, msgs []aead.Message, receiver uint32) {
	key.Seal(msgs)
	for i := range msgs {
		binary.LittleEndian.PutUint32(msgs[i].Nonce, receiver)
	}
}

// open decrypts data messages in place, which lie one after the other, each of size
// bytes but the last, and appends them to got. It only uses what never changes in a
// session.
func (s *session) open(b []byte, size int, got []Received) []Received {
	var msgs [aead.Lanes]aead.Message
	for len(b) > 0 {
		n := 0
		for ; n < len(msgs) && len(b) > 0; n++ {
			msg := b[:min(size, len(b))]
			b = b[len(msg):]
			clear(msg[4:8])
			msgs[n] = aead.Message{Nonce: msg[4:HeaderLen], Body: msg[HeaderLen:]}
		}
		s.receiving.Open(msgs[:n])
		for _, m := range msgs[:n] {
			if m.Forged {
				got = append(got, Received{Err: errForged})
				continue
			}
			counter := binary.LittleEndian.Uint64(m.Nonce[4:])
			got = append(got, Received{counter: counter, Packet: m.Body[:len(m.Body)-aead.Overhead]})
		}
	}
	return got
}
