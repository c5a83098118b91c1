package tlslink

import (
	"encoding/binary"
	"net/netip"

	"warren/tunnel"
	"warren/tunnel/internal/remote"
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

// TryFirst says where the peer is by the tunnel's other transport; not valid: nowhere. When the next session is dialed, the remote at that
// address, and with that port if there is one, is tried before all others, as these may be other routers, bad as it may be. It may be called
// from any goroutine.
func (l *Link) TryFirst(at netip.AddrPort) { l.otherAt.Store(&at) }

// together returns where that is; nil: nowhere, as far as is known.
func (l *Link) together() *remote.Group {
	at := l.otherAt.Load()
	if at == nil || !at.IsValid() {
		return nil
	}
	for _, exact := range []bool{true, false} {
		for i := range l.cfg.Remotes {
			for _, a := range l.knownOf(i) {
				if a.Addr().Unmap() == at.Addr().Unmap() && (!exact || a.Port() == at.Port()) {
					return &remote.Group{Remote: i, Addrs: []netip.AddrPort{a}}
				}
			}
		}
	}
	return nil
}

// knownOf returns the addresses of a remote that are known without asking a name server.
func (l *Link) knownOf(which int) []netip.AddrPort {
	if a, err := netip.ParseAddrPort(l.cfg.Remotes[which]); err == nil {
		return []netip.AddrPort{a}
	}
	if which < len(l.places) {
		return l.places[which]
	}
	return nil
}
