package agent

import (
	"slices"
	"testing"

	"warren/internal/config"
	"warren/tunnel"
)

// told is what the machine has done about lost tunnels.
func told(effects []effect) (out []effect) {
	return slices.DeleteFunc(effects, func(e effect) bool {
		switch e.(type) {
		case tellLost, takeLost:
			return false
		}
		return true
	})
}

// TestLostTunnelIsToldToItsPeerAlone: by those of its other tunnels that are up; and what a peer says reaches its own tunnels alone.
func TestLostTunnelIsToldToItsPeerAlone(t *testing.T) {
	m := newMachine()
	a, b := &peer{name: "a"}, &peer{name: "b"}
	m.order = []*peer{a, b}
	add := func(p *peer, up bool, c config.Tunnel) uint64 {
		at := &attachment{peer: p, name: freeName(p.name, attachmentNames(p.attachments)), cfg: c, phase: phaseOpen, id: m.number()}
		if up {
			at.session = &session{number: m.number()}
		}
		p.attachments = append(p.attachments, at)
		m.tunnels[at.id] = at
		return at.id
	}
	lost := add(a, false, config.Tunnel{Transport: config.TransportTLS})
	others := []uint64{add(a, true, config.Tunnel{Transport: config.TransportWireGuard}), add(a, true, config.Tunnel{})}
	add(a, false, config.Tunnel{})
	alone := add(b, true, config.Tunnel{})

	id := tunnel.SessionID{5}
	got := told(m.next(m.now, lostWay{lost, id}))
	if len(got) != 1 || !slices.Equal(got[0].(tellLost).by, others) || got[0].(tellLost).lost != id {
		t.Errorf("told: %+v, want by %v", got, others)
	}
	got = told(m.next(m.now, peerLost{others[0], id}))
	if len(got) != 1 || !slices.Equal(got[0].(takeLost).of, others) || got[0].(takeLost).lost != id {
		t.Errorf("taken: %+v, want of %v", got, others)
	}
	if got = told(m.next(m.now, peerLost{alone, id})); len(got) != 1 || !slices.Equal(got[0].(takeLost).of, []uint64{alone}) {
		t.Errorf("of another peer: %+v", got)
	}
	if got = told(m.next(m.now, lostWay{99, id})); len(got) > 0 {
		t.Errorf("of a tunnel that is not there any more: %+v", got)
	}
}
