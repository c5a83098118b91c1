package tlslink

import (
	"errors"
	"fmt"
	"io"

	"warren/tunnel"
	"warren/tunnel/tun"
)

// A frame is one byte of type, three bytes of length, big endian, and that many
// bytes of payload.
const headerLen = 4

// The types of frames, and what they carry.
const (
	frameHello  byte = 1 // a [hello]; the first in each direction, and only that
	frameReject byte = 2 // instead of the second hello: why not, as text
	frameData   byte = 3 // an offload header and a packet, as package tun has them
	framePing   byte = 4 // 8 bytes that come back in a pong
	framePong   byte = 5
	frameClose  byte = 6 // the sender ends the session, and why, as text
	frameWiden  byte = 7 // nothing: open further lanes; to a dialing end that has flagWidens
	frameDone   byte = 8 // nothing: the sender has moved to the lane that replaces this one; to an end that has flagRenews
	frameRenew  byte = 9 // 1 byte, a lane: replace it; to a dialing end that has flagRenews

	frameRestart byte = 10 // nothing: the sender is being restarted, and nothing more comes; to an end that has flagHolds
	frameHeard   byte = 11 // what the sender has received by the tunnel's other transport; to an end that has flagBeside
	frameSecret  byte = 12 // SecretLen bytes, the secret that replaces that of an invitation; to an end that has flagLearns
	frameLost    byte = 13 // a session's ID: the sender has no way to the peer by that any more, see lost.go; to an end that has flagTakesLost
)

const (
	pingLen = 8
	lostLen = len(tunnel.SessionID{})
	maxText = 256 // bytes of a reason
)

// maxPayload is the most that a frame of each type may carry.
var maxPayload = [...]int{
	frameHello: maxHello, frameReject: maxText, frameData: tun.MaxFrame,
	framePing: pingLen, framePong: pingLen, frameClose: maxText, frameWiden: 0,
	frameDone: 0, frameRenew: 1, frameRestart: 0, frameHeard: heardLen, frameSecret: SecretLen,
	frameLost: lostLen,
}

// A protocolError is the peer's fault and ends the session.
type protocolError string

func (e protocolError) Error() string { return "protocol error: " + string(e) }

// putHeader writes the header of a frame with n bytes of payload.
func putHeader(b []byte, typ byte, n int) {
	b[0], b[1], b[2], b[3] = typ, byte(n>>16), byte(n>>8), byte(n)
}

// parseHeader returns the type and the payload's length, which is then within the
// bounds of the type.
func parseHeader(b []byte) (typ byte, n int, err error) {
	typ, n = b[0], int(b[1])<<16|int(b[2])<<8|int(b[3])
	if typ == 0 || int(typ) >= len(maxPayload) {
		return 0, 0, protocolError(fmt.Sprintf("frame of unknown type %d", typ))
	}
	if n > maxPayload[typ] {
		return 0, 0, protocolError(fmt.Sprintf("frame of type %d with %d bytes: at most %d", typ, n, maxPayload[typ]))
	}
	if (typ == framePing || typ == framePong) && n != pingLen {
		return 0, 0, protocolError(fmt.Sprintf("ping with %d bytes: want %d", n, pingLen))
	}
	if typ == frameSecret && n != SecretLen {
		return 0, 0, protocolError(fmt.Sprintf("secret with %d bytes: want %d", n, SecretLen))
	}
	if typ == frameLost && n != lostLen {
		return 0, 0, protocolError(fmt.Sprintf("lost session with %d bytes: want %d", n, lostLen))
	}
	if typ == frameRenew && n != 1 {
		return 0, 0, protocolError("renewal of no lane")
	}
	if typ == frameHeard && n != heardLen {
		return 0, 0, protocolError(fmt.Sprintf("report with %d bytes: want %d", n, heardLen))
	}
	return typ, n, nil
}

// encode returns a whole small frame.
func encode(typ byte, payload []byte) []byte {
	b := make([]byte, headerLen, headerLen+len(payload))
	putHeader(b, typ, len(payload))
	return append(b, payload...)
}

// readSmall reads a frame that is not data.
func readSmall(r io.Reader) (typ byte, payload []byte, err error) {
	var h [headerLen]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return 0, nil, err
	}
	typ, n, err := parseHeader(h[:])
	if err != nil {
		return 0, nil, err
	}
	if typ == frameData {
		return 0, nil, protocolError("data before the hello")
	}
	payload = make([]byte, n)
	if _, err = io.ReadFull(r, payload); errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return typ, payload, err
}

// clean makes a text from the peer fit for a log line: printable ASCII, bounded.
func clean(text []byte) string {
	text = text[:min(len(text), maxText)]
	out := make([]byte, len(text))
	for i, c := range text {
		if c < ' ' || c > '~' {
			c = '?'
		}
		out[i] = c
	}
	return string(out)
}
