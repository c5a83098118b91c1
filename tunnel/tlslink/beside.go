package tlslink

import (
	"encoding/binary"

	"warren/tunnel"
)

// heardLen is the length of what frameHeard carries: a byte that is 1 if the other transport works, else
// 0, and how many packets were sent and got, big endian.
const heardLen = 1 + 8 + 8

// Tell has the peer know what this end has received by the tunnel's other transport. A peer that has no
// such transport, or no session, is told nothing. It may be called from any goroutine, and does not block.
func (l *Link) Tell(r tunnel.Received) {
	ln := l.routes[0].Load()
	if ln == nil || !ln.s.peer.beside() {
		return
	}
	b := make([]byte, 1, heardLen)
	if r.Up {
		b[0] = 1
	}
	b = binary.BigEndian.AppendUint64(b, r.Sent)
	b = binary.BigEndian.AppendUint64(b, r.Got)
	ln.s.enqueue(encode(frameHeard, b))
}

// told takes what the peer has told.
func (l *Link) told(b []byte) {
	if l.cfg.Heard == nil {
		return
	}
	l.cfg.Heard(tunnel.Received{Up: b[0] == 1, Sent: binary.BigEndian.Uint64(b[1:]), Got: binary.BigEndian.Uint64(b[9:])})
}

// beside reports whether the end that said hello carries the tunnel by another transport too.
func (h *hello) beside() bool { return h.flags&flagBeside != 0 }
