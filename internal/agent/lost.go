package agent

import "warren/tunnel"

// A line whose interface goes down, or loses its carrier or its route, at one end is known there at once, and at the other end after
// dead_after alone, until when what that end sends by it gets lost. Where the two have other tunnels as well, each of them
// carries the word (tunnel/tlslink/lost.go, tunnel/wireguard/lost.go):
//
//	this router                                          the peer
//	tunnel 0 ── lostWay ──▶ tellLost ── tunnels 1, 2 ──▶ peerLost ──▶ takeLost ── tunnel 0 goes down
//
// A tunnel is named by what the transport says, so that neither the order of tunnels in the two files matters, nor what transport
// the others have. What a peer says reaches the tunnels of that peer alone.

type (
	// lostWay: the tunnel went down, in whole or one of its transports, as this router has no way to the peer by it any more.
	lostWay struct {
		id   uint64
		lost tunnel.SessionID
	}
	// peerLost: the peer says over this tunnel that it has none by that one.
	peerLost struct {
		id   uint64
		lost tunnel.SessionID
	}
	// tellLost tells the peer by some tunnels which one this router has lost.
	tellLost struct {
		by   []uint64
		lost tunnel.SessionID
	}
	// takeLost has that of some tunnels go down which the peer has lost, if it is among them.
	takeLost struct {
		of   []uint64
		lost tunnel.SessionID
	}
)

func (lostWay) isEvent()   {}
func (peerLost) isEvent()  {}
func (tellLost) isEffect() {}
func (takeLost) isEffect() {}

func (m *machine) lostWay(a *attachment, ev lostWay) []effect {
	if by := a.peer.upTunnels(); len(by) > 0 {
		return []effect{tellLost{by, ev.lost}}
	}
	return nil
}

func (m *machine) peerLost(a *attachment, ev peerLost) []effect {
	if of := a.peer.upTunnels(); len(of) > 0 {
		return []effect{takeLost{of, ev.lost}}
	}
	return nil
}

// upTunnels are the peer's tunnels that are up. One that two transports carry may be though one of these is lost.
func (p *peer) upTunnels() (up []uint64) {
	for _, a := range p.attachments {
		if !a.isLAN() && a.up() {
			up = append(up, a.id)
		}
	}
	return up
}

// passOnLost does tellLost and takeLost, with those of the tunnels that can.
func (l *loop) passOnLost(e effect) {
	each := func(ids []uint64, do func(toldTunnel)) {
		for _, id := range ids {
			if t, ok := l.handles.tunnels[id].tunnelHandle.(toldTunnel); ok {
				do(t)
			}
		}
	}
	switch e := e.(type) {
	case tellLost:
		each(e.by, func(t toldTunnel) { t.TellLost(e.lost) })
	case takeLost:
		each(e.of, func(t toldTunnel) { t.TakeLost(e.lost) })
	}
}
