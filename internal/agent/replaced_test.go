package agent

import (
	"fmt"
	"testing"

	"warren/internal/config"
	"warren/tunnel"
)

// TestSpeakerIsToldOfWhatIsReplacedTogether: sessions of many tunnels that others take the place of at once are told to the
// speaker once, before any of their interfaces can be used again.
func TestSpeakerIsToldOfWhatIsReplacedTogether(t *testing.T) {
	const many = 20
	other := func(i int) (local, peer tunnel.Identity) { return tunnel.Identity{1}, tunnel.Identity{3, byte(i)} }
	for name, replace := range map[string]func(*testing.T, *world, []string){
		"other sessions": func(t *testing.T, w *world, names []string) {
			for i, name := range names {
				local, peer := other(i)
				w.tunnels.report(t, name).event(tunnel.Event{Name: name, Up: true, Local: local, Peer: peer})
			}
		},
		"other sessions after they were down": func(t *testing.T, w *world, names []string) {
			for i, name := range names {
				local, peer := other(i)
				w.tunnels.report(t, name).event(tunnel.Event{Name: name, Reason: "test"})
				w.tunnels.report(t, name).event(tunnel.Event{Name: name, Up: true, Local: local, Peer: peer})
			}
		},
		"other keys": func(_ *testing.T, w *world, names []string) {
			w.speaker.states, w.tunnels.says = map[string]string{}, map[string]tunnel.Status{}
			for i, name := range names {
				local, peer := other(i)
				w.speaker.states[name] = "idle"
				w.tunnels.says[name] = tunnel.Status{Local: local, Peer: peer}
			}
			w.followKeys()
		},
	} {
		t.Run(name, func(t *testing.T) {
			var peers []config.Peer
			var names []string
			for i := range many {
				p := peerConfig(fmt.Sprint("p", i), i)
				p.Tunnels[0].Transport = config.TransportWireGuard
				peers, names = append(peers, p), append(names, p.Name)
			}
			w := newWorld(t, router(peers...))
			for _, name := range names {
				w.up(t, name)
			}
			if n := len(w.speaker.neighbors); n != many {
				t.Fatalf("there are %d neighbors", n)
			}
			told := 0
			w.speaker.ending = func() {
				told++
				for ifname, h := range w.routes.hops {
					if !h.Down {
						t.Errorf("%s can be used before the speaker knows of what has ended", ifname)
					}
				}
			}
			replace(t, w, names)
			w.turn()
			if n := len(w.speaker.neighbors); told != 1 || n != many {
				t.Errorf("the speaker is told %d times, and has %d neighbors", told, n)
			}
			for ifname, h := range w.routes.hops {
				if h.Down {
					t.Errorf("%s cannot be used", ifname)
				}
			}
		})
	}
}
