package protocol

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// session is a pair of transport keys (section 5.4.5). What changes in it belongs
// to the peer's mutex.
type session struct {
	peer          *Peer
	local, remote uint32 // indices
	sending       aead
	receiving     aead
	initiator     bool
	created       time.Time

	rtt         time.Duration // of the handshake: from our message to what answered it; 0 until then
	sent        uint64        // the next counter to send with
	seen        window
	alive       bool // more came in it than what completed the handshake
	askedToRest bool // a last-minute handshake was asked for (section 6.2)
}

// sendable reports whether a session may carry n more packets to the peer.
func (s *session) sendable(now time.Time, n uint64) bool {
	return s != nil && now.Sub(s.created) < rejectAfterTime && s.sent+n <= rejectAfterMessages
}

// Sealer seals the packets of one reservation, in order. It is not safe for
// concurrent use, but several Sealers of one peer may be at work at once.
type Sealer struct {
	To netip.AddrPort // where the peer is

	key      aead
	receiver uint32
	next     uint64
	end      uint64
}

// PaddedLen is how long a packet of n bytes is when it is sealed in a tunnel with
// this MTU: a multiple of 16 bytes, though never more than the MTU for that
// (section 5.4.6).
func PaddedLen(n, mtu int) int {
	if padded := (n + 15) &^ 15; padded <= mtu {
		return padded
	}
	return max(n, mtu)
}

// Seal makes a data message in place of the packet buf[HeaderLen:HeaderLen+n],
// padded, and returns it: it begins at buf[0] and has Overhead + PaddedLen(n, mtu)
// bytes, for which buf must have the room. It panics if more packets are sealed
// than were reserved.
func (s *Sealer) Seal(buf []byte, n, mtu int) []byte {
	if s.next >= s.end {
		panic("protocol: more packets than reserved")
	}
	padded := PaddedLen(n, mtu)
	clear(buf[HeaderLen+n : HeaderLen+padded])
	msg := sealData(s.key, s.receiver, s.next, buf, padded)
	s.next++
	return msg
}

// The nonce of a data message is 32 zero bits and the counter, little endian (section
// 5.4.6). The counter is in the message already, after the receiver's index: with that
// zeroed for the moment, the nonce need not be copied to where the garbage collector
// would have to look for it.
func nonceOf(msg []byte) []byte {
	clear(msg[4:8])
	return msg[4:HeaderLen]
}

func sealData(key aead, receiver uint32, counter uint64, buf []byte, n int) []byte {
	binary.LittleEndian.PutUint64(buf[8:], counter)
	plain := buf[HeaderLen : HeaderLen+n]
	sealed := key.Seal(plain[:0], nonceOf(buf), plain, nil)
	binary.LittleEndian.PutUint32(buf, typeData)
	binary.LittleEndian.PutUint32(buf[4:], receiver)
	return buf[:HeaderLen+len(sealed)]
}

// open decrypts a data message in place. It only uses what never changes in a
// session.
func (s *session) open(msg []byte) (counter uint64, plain []byte, err error) {
	counter = binary.LittleEndian.Uint64(msg[8:])
	sealed := msg[HeaderLen:]
	plain, err = s.receiving.Open(sealed[:0], nonceOf(msg), sealed, nil)
	if err != nil {
		return 0, nil, errForged
	}
	return counter, plain, nil
}
