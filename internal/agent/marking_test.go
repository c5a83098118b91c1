package agent

import (
	"testing"

	"warren/internal/config"
	"warren/internal/status"
	"warren/tunnel"
	"warren/tunnel/wireguard"
)

// Another marking is for packets to come: the tunnel and its session stay.
func TestReloadChangesTheMarking(t *testing.T) {
	w := newWorld(t, router(peerConfig("b", 0), peerConfig("c", 1)))
	w.up(t, "b")
	other := peerConfig("b", 0)
	other.Tunnels[0].ECN, other.Tunnels[0].DSCP = true, config.DSCPCopy
	noted, lines := w.reloads(t, router(other, peerConfig("c", 1)))
	expect(t, "noted", noted, []string{`tune b: congestion "", ecn true, dscp -1`, "guard [if-b if-c]"})
	expect(t, "lines", lines, []string{`peer b: packets from now on with ecn = true and dscp = "copy", session kept (tunnel.ecn, tunnel.dscp)`})
	other = peerConfig("b", 0)
	other.Tunnels[0].DSCP = 8
	noted, lines = w.reloads(t, router(other, peerConfig("c", 1)))
	expect(t, "noted of another", noted, []string{`tune b: congestion "", ecn false, dscp 8`, "guard [if-b if-c]"})
	expect(t, "lines of another", lines, []string{"peer b: packets from now on with ecn = false and dscp = 8, session kept (tunnel.ecn, tunnel.dscp)"})
	noted, lines = w.reloads(t, router(other, peerConfig("c", 1)))
	expect(t, "noted of the same", noted, []string{"guard [if-b if-c]"})
	expect(t, "lines of the same", lines, nil)
}

// One that is configured while the tunnel is being opened is set when it is open.
func TestMarkingOfATunnelThatIsBeingOpened(t *testing.T) {
	var opening func()
	w := newWorldWith(t, router(peerConfig("b", 0)), func(w *world) {
		w.handles.begin = func(f func()) { opening = f }
	})
	other := peerConfig("b", 0)
	other.Tunnels[0].ECN = true
	noted, _ := w.reloads(t, router(other))
	expect(t, "noted", noted, []string{"guard [if-b]"})
	mark := len(w.diary)
	opening()
	w.turn()
	expect(t, "opened", w.since(mark), []string{"open b on if-b", `tune b: congestion "", ecn true, dscp 0`, "listen []"})
}

// What the transport is told is what the keys say.
func TestMarking(t *testing.T) {
	for _, c := range []struct {
		ecn  bool
		dscp int
		want wireguard.Marking
	}{
		{false, 0, wireguard.Marking{}},
		{true, 46, wireguard.Marking{ECN: true, DSCP: 46}},
		{false, 63, wireguard.Marking{DSCP: 63}},
		{true, config.DSCPCopy, wireguard.Marking{ECN: true, CopyDSCP: true}},
	} {
		if got := marking(config.Tunnel{ECN: c.ecn, DSCP: c.dscp}); got != c.want {
			t.Errorf("ecn %v, dscp %d: %+v, want %+v", c.ecn, c.dscp, got, c.want)
		}
	}
}

// Status says what is configured, also of a tunnel that is not open, and what was counted.
func TestStatusOfMarking(t *testing.T) {
	b := peerConfig("b", 0)
	b.Tunnels[0].ECN, b.Tunnels[0].DSCP = true, config.DSCPCopy
	c := peerConfig("c", 1)
	c.Tunnels[0].DSCP = 46
	w := newWorld(t, router(b, c, peerConfig("d", 2)))
	w.up(t, "b")
	w.tunnels.says = map[string]tunnel.Status{"b": {Stats: tunnel.Stats{RxMarked: 7}}}
	for i, want := range []status.Tunnel{{ECN: true, DSCP: "copy", RxMarked: 7}, {DSCP: "46"}, {}} {
		if got := w.status().Peers[i].Tunnels[0]; got.ECN != want.ECN || got.DSCP != want.DSCP || got.RxMarked != want.RxMarked {
			t.Errorf("%d: ecn %v, dscp %q, %d marked", i, got.ECN, got.DSCP, got.RxMarked)
		}
	}
}
