package wireguard

import (
	"time"

	"warren/tunnel"
	"warren/tunnel/wireguard/protocol"
)

// names are who the two ends are.
type names struct{ local, peer tunnel.Identity }

// SetEnds has the link's own packets in the tunnel go between the addresses that [LinkConfig.AddressesOf] derives from these
// keys. It is for a tunnel that is up, whose session has other keys by now than the one with which it came up, when what is over
// the tunnel follows them. If the session has others by then, nothing changes. It may be called from any goroutine, and does not
// block.
func (l *Link) SetEnds(local, peer tunnel.Identity) {
	l.renamed.Store(&names{local, peer})
	l.notify()
}

// tryEnds does what SetEnds asks for. The path is looked at again, as nothing was to be learned of it while the peer used other
// addresses, and the peer is asked again which ones it assigns.
func (l *Link) tryEnds(now time.Time) {
	n := l.renamed.Swap(nil)
	if n == nil || !l.isUp() {
		return
	}
	s := l.peer.Status(now)
	if *n != namesOf(&s) || *n == (names{l.local, l.remote}) {
		return
	}
	l.takeNames(&s)
	if !l.raised {
		return // which will do the rest
	}
	l.restartPath(now)
	l.assigning.session = time.Time{}
	l.askAssigned(now, s.Since)
}

func namesOf(s *protocol.Status) names {
	return names{tunnel.Identity(s.Local), tunnel.Identity(s.Remote)}
}

// takeNames takes over who the two ends are by the keys of a session, and the addresses that follow from that.
func (l *Link) takeNames(s *protocol.Status) {
	n := namesOf(s)
	l.local, l.remote = n.local, n.peer
	if l.cfg.AddressesOf == nil {
		return
	}
	own, far := l.cfg.AddressesOf(n.local, n.peer)
	l.probe.setPeer(far)
	l.setEnds(own, far)
}
