package agent

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"warren/internal/config"
	"warren/internal/speaker"
	"warren/internal/status"
)

// reloads has the loop read next and returns what it noted and answered.
func (w *world) reloads(t *testing.T, next *config.Config) (noted, lines []string) {
	t.Helper()
	w.load = func() (*config.Config, error) { return next, nil }
	mark := len(w.diary)
	lines, err := w.reload()
	if err != nil {
		t.Fatal(err)
	}
	w.turn()
	return w.since(mark), lines
}

func TestReloadOfTheSameTouchesNothing(t *testing.T) {
	w := newWorld(t, router(peerConfig("b", 0)))
	w.up(t, "b")
	noted, lines := w.reloads(t, router(peerConfig("b", 0)))
	expect(t, "noted", noted, []string{"guard [if-b]"})
	expect(t, "lines", lines, nil)
}

func TestReloadAppliesTheDifference(t *testing.T) {
	w := newWorld(t, router(peerConfig("b", 0), peerConfig("c", 1), peerConfig("d", 2)))
	for _, name := range []string{"b", "c", "d"} {
		w.up(t, name)
	}
	filtered, moved, added := peerConfig("b", 0), peerConfig("c", 1), peerConfig("e", 4)
	filtered.BGP.MaxPrefixes = 5
	moved.Tunnels[0].MTU = 9000
	noted, lines := w.reloads(t, router(filtered, moved, added))
	expect(t, "noted", noted, []string{
		"guard [if-b if-c if-e if-d]", // until it is gone
		"delete neighbor c", "delete neighbor d", "policy b import [any] export [] limit 5",
		"sessions have ended", "close d", "sessions have ended", "close c",
		"guard [if-b if-c if-e]",
		"open c on if-c", "open e on if-e",
	})
	expect(t, "lines", lines, []string{
		"peer d: removed",
		"peer b: filters changed, session kept (bgp.max_prefixes)",
		"peer c: tunnel changed, reconnecting (tunnel.mtu)",
		"peer e: added",
	})
}

// A name or an interface that moves from one peer to another is free before it
// is taken again.
func TestReloadSwapsInterfaces(t *testing.T) {
	w := newWorld(t, router(peerConfig("b", 0), peerConfig("c", 1)))
	b, c := peerConfig("b", 0), peerConfig("c", 1)
	b.Tunnels[0].Interface, c.Tunnels[0].Interface = c.Tunnels[0].Interface, b.Tunnels[0].Interface
	noted, _ := w.reloads(t, router(b, c))
	expect(t, "noted", noted, []string{"close b", "close c", "guard [if-c if-b]", "guard [if-c if-b]", "open b on if-c", "open c on if-b"})
}

func TestReloadOfAnotherASNKeepsTheTunnel(t *testing.T) {
	w := newWorld(t, router(peerConfig("b", 0)))
	w.up(t, "b")
	b := peerConfig("b", 0)
	b.BGP.ASN = 64999
	noted, _ := w.reloads(t, router(b))
	if slices.Contains(noted, "close b") || w.speaker.neighbors["b"].ASN != 64999 {
		t.Errorf("noted %v, neighbor %+v", noted, w.speaker.neighbors["b"])
	}
}

func TestReloadThatFailsChangesNothing(t *testing.T) {
	before := router(peerConfig("b", 0))
	w := newWorld(t, before)
	for name, load := range map[string]func() (*config.Config, error){
		"bad file": func() (*config.Config, error) { return nil, errors.New("bad file") },
		"asn, router_id": func() (*config.Config, error) {
			next := router()
			next.ASN, next.RouterID = 1, netip.MustParseAddr("10.0.0.9")
			return next, nil
		},
	} {
		w.load = load
		mark := len(w.diary)
		_, err := w.reload()
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v", name, err)
		}
		expect(t, name, w.since(mark), nil)
		if w.cfg != before {
			t.Errorf("%s: the config was replaced", name)
		}
	}
}

// Events of a tunnel that a reload has closed arrive late, and count for
// nothing.
func TestLateEventsOfAReplacedTunnel(t *testing.T) {
	w := newWorld(t, router(peerConfig("b", 0)))
	w.up(t, "b")
	old := w.tunnels.report(t, "b")
	b := peerConfig("b", 0)
	b.Tunnels[0].MTU = 9000
	w.reloads(t, router(b))
	w.up(t, "b")
	mark := len(w.diary)
	old.failed(errors.New("late"))
	w.turn()
	expect(t, "late", w.since(mark), nil)
}

func TestReloadChangesTheDoors(t *testing.T) {
	w := newWorld(t, router())
	next := router()
	next.TLS.Listen = []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:443")}
	next.TLS.ServerName = "www.example.net"
	next.WireGuard.ListenPort = 51820
	noted, lines := w.reloads(t, next)
	expect(t, "noted", noted, []string{"listen [192.0.2.1:443]", "port 51820", "server name www.example.net", "guard []"})
	expect(t, "lines", lines, []string{"tls: listening on 192.0.2.1:443", "wireguard: on port 51820", "tls: another server_name, for connections from now on"})

	w.portErr = errors.New("port taken")
	w.load = func() (*config.Config, error) { return router(), nil }
	mark := len(w.diary)
	if _, err := w.reload(); !errors.Is(err, w.portErr) || w.cfg != next {
		t.Errorf("error %v", err)
	}
	expect(t, "back again", w.since(mark), []string{"listen []", "port 0", "listen [192.0.2.1:443]"})
}

// The bounds of the speaker's process change while it works, and status shows the process.
func TestReloadChangesTheSpeakersBounds(t *testing.T) {
	w := newWorld(t, router())
	next := router()
	next.BGP = config.BGP{MemoryMax: 64 << 20, RestartTime: time.Minute}
	noted, lines := w.reloads(t, next)
	expect(t, "noted", noted, []string{"guard []", "limits 67108864 1m0s"})
	expect(t, "lines", lines, []string{"bgp: the bounds of the speaker's process changed"})

	w.speaker.process = speaker.Status{PID: 7, Restarts: 2, LastError: "panic: x"}
	if got := w.status().Router.Speaker; got != (status.Speaker{PID: 7, Restarts: 2, LastError: "panic: x"}) {
		t.Errorf("status shows %+v", got)
	}
}
