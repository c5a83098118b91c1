package protocol

import (
	"encoding/binary"
	"errors"
)

// The first four bytes of a message, little endian: its type, and three zero bytes
// (section 5.4).
const (
	typeInitiation = 1
	typeResponse   = 2
	typeCookie     = 3
	typeData       = 4
)

// Sizes of messages in bytes.
const (
	initiationLen = 148
	responseLen   = 92
	cookieLen     = 64
	macsLen       = 2 * macLen // at the end of an initiation and a response

	HeaderLen = 16                 // before the sealed packet of a data message
	Overhead  = HeaderLen + tagLen // of a data message, without padding
)

// ErrOtherKey is that a handshake message is meant for another public key than those
// of this end: the sender knows this router by a wrong one, or is a stranger.
var ErrOtherKey = errors.New("not meant for this public key")

// ErrInvitationUsed is that an initiation is authentic, with the keys of an invitation by which another router has come. The sender
// is told so.
var ErrInvitationUsed = errors.New("with an invitation that another router has used")

// StrangerError is that an initiation is for us, of somebody who is no peer. That it has
// the key that it claims is not proven.
type StrangerError struct{ PublicKey PublicKey }

func (e *StrangerError) Error() string {
	return "of an unknown peer with public key " + e.PublicKey.String()
}

// Why else a datagram was ignored. Nothing is ever sent because of any of these but
// errStale and errTooMany; they are for the log and for tests.
var (
	errMalformed = errors.New("not a WireGuard message")
	errForged    = errors.New("not authentic")
	errRemoved   = errors.New("of a peer that is not there any more")
	errReplay    = errors.New("replayed, or too old to tell")
	errStale     = errors.New("an initiation older than one before: replayed, or the peer's clock was put back")
	errTwin      = errors.New("of another machine with the peer's key")
	errBegun     = errors.New("with the keys of an invitation, by which this end goes to the other")
	errIndex     = errors.New("for a session that is not there")
	errExpired   = errors.New("for a session that is over")
	errTooMany   = errors.New("too many handshakes")
	errNotIP     = errors.New("authentic, and not an IP packet")
)

// initiationMsg is section 5.4.2.
type initiationMsg struct {
	sender    uint32
	ephemeral PublicKey
	static    []byte // sealed, 48 bytes
	timestamp []byte // sealed, 28 bytes
}

// responseMsg is section 5.4.3.
type responseMsg struct {
	sender, receiver uint32
	ephemeral        PublicKey
	empty            []byte // sealed nothing, 16 bytes
}

// cookieMsg is section 5.4.7.
type cookieMsg struct {
	receiver uint32
	nonce    []byte // 24 bytes
	cookie   []byte // sealed, 32 bytes
}

// messageType returns the type of a message with the right length for it, or 0.
func messageType(b []byte) int {
	if len(b) < 4 {
		return 0
	}
	t := binary.LittleEndian.Uint32(b)
	switch {
	case t == typeInitiation && len(b) == initiationLen,
		t == typeResponse && len(b) == responseLen,
		t == typeCookie && len(b) == cookieLen,
		t == typeData && len(b) >= Overhead:
		return int(t)
	}
	return 0
}

// IsHandshake reports whether a message is an initiation or a response.
func IsHandshake(msg []byte) bool {
	t := messageType(msg)
	return t == typeInitiation || t == typeResponse
}

// IsInitiation reports whether a message begins a handshake.
func IsInitiation(msg []byte) bool { return messageType(msg) == typeInitiation }

// IsKeepalive reports whether a message is an empty data message.
func IsKeepalive(msg []byte) bool { return messageType(msg) == typeData && len(msg) == Overhead }

// The parsers keep slices of b, which has the type and so the length.

func parseInitiation(b []byte) initiationMsg {
	return initiationMsg{
		sender:    binary.LittleEndian.Uint32(b[4:]),
		ephemeral: PublicKey(b[8:40]),
		static:    b[40:88],
		timestamp: b[88:116],
	}
}

func parseResponse(b []byte) responseMsg {
	return responseMsg{
		sender:    binary.LittleEndian.Uint32(b[4:]),
		receiver:  binary.LittleEndian.Uint32(b[8:]),
		ephemeral: PublicKey(b[12:44]),
		empty:     b[44:60],
	}
}

func parseCookie(b []byte) cookieMsg {
	return cookieMsg{receiver: binary.LittleEndian.Uint32(b[4:]), nonce: b[8:32], cookie: b[32:64]}
}

// senderOf returns the sender's index of an initiation or a response.
func senderOf(b []byte) uint32 { return binary.LittleEndian.Uint32(b[4:]) }

// header appends a message's type and its indices.
func header(b []byte, typ uint32, indices ...uint32) []byte {
	b = binary.LittleEndian.AppendUint32(b, typ)
	for _, i := range indices {
		b = binary.LittleEndian.AppendUint32(b, i)
	}
	return b
}

// trimIP cuts the padding off an opened packet, whose IP header says how long it
// is (section 5.4.6).
func trimIP(p []byte) ([]byte, error) {
	var n int
	switch {
	case len(p) >= 20 && p[0]>>4 == 4:
		n = int(binary.BigEndian.Uint16(p[2:]))
		if n < 20 {
			return nil, errNotIP
		}
	case len(p) >= 40 && p[0]>>4 == 6:
		n = 40 + int(binary.BigEndian.Uint16(p[4:]))
	default:
		return nil, errNotIP
	}
	if n > len(p) {
		return nil, errNotIP
	}
	return p[:n], nil
}
