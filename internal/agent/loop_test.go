package agent

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"warren/internal/config"
	"warren/tunnel"
)

func router(peers ...config.Peer) *config.Config {
	return &config.Config{Name: "r", ASN: 64512, RouterID: netip.MustParseAddr("10.0.0.1"), Peers: peers}
}

func peerConfig(name string, link int) config.Peer {
	return config.Peer{
		Name:    name,
		Tunnels: []config.Tunnel{{Interface: "if-" + name, Link: link, MTU: 1500, Weight: 1}},
		BGP:     config.PeerBGP{ASN: 64513, Import: config.Policy{Any: true}, MaxPrefixes: 10},
	}
}

func expect(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %s\nwant %s", what, strings.Join(got, "; "), strings.Join(want, "; "))
	}
}

func TestTunnelUpBringsNeighborAndRoutes(t *testing.T) {
	w := newWorld(t, router(peerConfig("b", 0)))
	mark := len(w.diary)
	w.up(t, "b")
	local, peer := tunnel.Addresses(tunnel.Identity{1}, tunnel.Identity{2}, 0)
	expect(t, "up", w.since(mark), []string{fmt.Sprintf("addresses b from %s", local), "add neighbor b"})
	n := w.speaker.neighbors["b"]
	if n.LocalAddr != local || n.PeerAddr != peer || n.Interface != "if-b" || n.ASN != 64513 || !n.Import.Any || n.MaxPrefixes != 10 {
		t.Errorf("neighbor %+v", n)
	}
	w.learns(t, "10.2.0.0/16", "b")
	expect(t, "routes", w.routes.want, []string{"10.2.0.0/16 dev if-b"})
}

// The routes of a dead tunnel leave the kernel before BGP is told: deleting a
// neighbor may take a moment, and every moment its traffic is lost.
func TestTunnelDownTakesRoutesFirst(t *testing.T) {
	w := newWorld(t, router(peerConfig("b", 0), peerConfig("c", 1)))
	w.up(t, "b")
	w.up(t, "c")
	w.learns(t, "10.2.0.0/16", "b")
	w.learns(t, "10.3.0.0/16", "c")
	mark := len(w.diary)
	w.down(t, "b")
	expect(t, "down", w.since(mark), []string{"routes [10.3.0.0/16 dev if-c]", "delete neighbor b"})

	mark = len(w.diary)
	w.down(t, "b")
	expect(t, "down again", w.since(mark), nil)
}

func TestNewSessionReplacesTheOldOne(t *testing.T) {
	w := newWorld(t, router(peerConfig("b", 0)))
	w.up(t, "b")
	mark := len(w.diary)
	w.up(t, "b")
	if got := w.since(mark); len(got) == 0 || got[0] != "delete neighbor b" || got[len(got)-1] != "add neighbor b" {
		t.Errorf("a second up: %v", got)
	}
}

// What the speaker cannot have yet shows in status; it tries again by itself.
func TestSpeakersErrorShows(t *testing.T) {
	w := newWorld(t, router(peerConfig("b", 0)))
	w.speaker.fails = "address in use"
	w.up(t, "b")
	if s := w.status(); s.Peers[0].BGP.LastError != "address in use" {
		t.Errorf("status says %q", s.Peers[0].BGP.LastError)
	}
}

// One peer whose interface cannot be made keeps nobody else waiting.
func TestInterfaceIsTriedAgain(t *testing.T) {
	w := newWorldWith(t, router(peerConfig("b", 0), peerConfig("c", 1)), func(w *world) {
		w.tunnels.fail["b"] = errors.New("name is taken")
	})
	w.up(t, "c")
	s := w.status()
	if s.Peers[0].Tunnel.State != "down" || s.Peers[0].Tunnel.LastError != "name is taken" {
		t.Errorf("status %+v", s.Peers[0].Tunnel)
	}
	delete(w.tunnels.fail, "b")
	w.again()
	w.up(t, "b")
	if len(w.speaker.neighbors) != 2 {
		t.Errorf("neighbors %v", w.speaker.neighbors)
	}
}

func TestInterfaceThatIsDeletedIsMadeAgain(t *testing.T) {
	w := newWorld(t, router(peerConfig("b", 0)))
	w.up(t, "b")
	w.learns(t, "10.2.0.0/16", "b")
	mark := len(w.diary)
	w.tunnels.report(t, "b").failed(errors.New("device is gone"))
	w.turn()
	w.again()
	expect(t, "deleted", w.since(mark), []string{"routes []", "delete neighbor b", "close b", "guard [if-b]", "open b on if-b"})
}

func TestConfiguredAddressesAreUsed(t *testing.T) {
	cfg := peerConfig("b", 0)
	cfg.Tunnels[0].Address = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/31"), netip.MustParsePrefix("fe80::1/64")}
	cfg.Tunnels[0].PeerAddress = netip.MustParseAddr("fe80::2")
	w := newWorld(t, router(cfg))
	w.up(t, "b")
	n := w.speaker.neighbors["b"]
	if n.LocalAddr != netip.MustParseAddr("fe80::1%if-b") || n.PeerAddr != netip.MustParseAddr("fe80::2%if-b") {
		t.Errorf("session between %s and %s", n.LocalAddr, n.PeerAddr)
	}
}

// What a tunnel did while the loop was busy counts only in the end.
func TestTheLastReportCounts(t *testing.T) {
	w := newWorld(t, router(peerConfig("b", 0)))
	w.up(t, "b")
	r := w.tunnels.report(t, "b")
	up := tunnel.Event{Name: "b", Up: true, Local: tunnel.Identity{1}, Peer: tunnel.Identity{2}}
	mark := len(w.diary)
	for range 3 {
		r.event(tunnel.Event{Name: "b", Reason: "test"})
		r.event(up)
	}
	w.turn()
	adds := 0
	for _, line := range w.since(mark) {
		if strings.HasPrefix(line, "add neighbor") {
			adds++
		}
	}
	if adds != 1 {
		t.Errorf("noted %q", w.since(mark))
	}

	// Its interface is gone: nothing after that counts.
	r.failed(errors.New("gone"))
	r.event(up)
	w.turn()
	if a := w.attachment("b"); a.phase != phaseClosed || a.up() || len(w.handles.tunnels) > 0 {
		t.Error("a tunnel without an interface is open")
	}
}
