package agent

import (
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"warren/bgp"
	"warren/internal/config"
	"warren/tunnel"
)

// the derived addresses of the tunnels of a world, seen from this end
func derived(linkNumber uint16) (v6, v4 ends) {
	v6.local, v6.peer = tunnel.Addresses(tunnel.Identity{1}, tunnel.Identity{2}, linkNumber)
	v4.local, v4.peer = tunnel.Addresses4(tunnel.Identity{1}, tunnel.Identity{2}, linkNumber)
	return v6, v4
}

func everything() config.Policy { return config.Policy{Any: true, Default: true} }

// An end without IPv6 speaks BGP over IPv4, takes and offers no IPv6 prefixes, sets no IPv6
// routes, and says so of its own networks.
func TestEndWithoutIPv6(t *testing.T) {
	cfg := router(peerConfig("b", 0))
	cfg.Announce.Networks = []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("2001:db8:1::/48")}
	cfg.FIB.Table = unix.RT_TABLE_MAIN
	cfg.Peers[0].BGP.Import, cfg.Peers[0].BGP.Export = everything(), everything()
	cfg.Peers[0].BGP.Unreachable = []netip.Prefix{netip.MustParsePrefix("10.2.0.0/16"), netip.MustParsePrefix("2001:db8:2::/48")}
	w := newWorld(t, cfg)
	w.tunnels.noIPv6 = true
	w.announce()
	w.up(t, "b")
	_, v4 := derived(0)
	n := w.speaker.neighbors["b"]
	if n.LocalAddr != v4.local || n.PeerAddr != v4.peer {
		t.Errorf("BGP goes from %v to %v, want %+v", n.LocalAddr, n.PeerAddr, v4)
	}
	for _, p := range []bgp.Policy{n.Import, n.Export} {
		for _, c := range []struct {
			prefix string
			passes bool
		}{{"10.9.0.0/16", true}, {"0.0.0.0/0", true}, {"2001:db8:9::/48", false}, {"::/0", false}} {
			if got := p.Matches(netip.MustParsePrefix(c.prefix), false); got != c.passes {
				t.Errorf("%v: %s passes: %v", p, c.prefix, got)
			}
		}
	}
	if slices.ContainsFunc(w.speaker.announced, isIPv6) {
		t.Errorf("announced: %v", w.speaker.announced)
	}
	w.applyRoutes()
	if want := []string{"10.1.0.0/16 unreachable", "10.2.0.0/16 unreachable"}; !slices.Equal(w.routes.want, want) {
		t.Errorf("routes %v, want %v", w.routes.want, want)
	}
	if hint := w.noIPv6Hint(); !strings.HasPrefix(hint, "this kernel has no IPv6, so that 2001:db8:1::/48 is not announced") {
		t.Errorf("hint %q", hint)
	}
	if len(w.besides) != 0 {
		t.Error("it waits for calls where BGP listens")
	}
	if ok, _ := n.Import.Accepts(netip.MustParsePrefix("169.254.77.0/24"), w.state.protected); ok {
		t.Error("a part of what addresses are derived from is accepted")
	}
}

// An end with IPv6 goes over to IPv4 when the peer calls there, unless BGP works over IPv6,
// and begins with IPv6 when the tunnel has come up again.
func TestPeerWithoutIPv6(t *testing.T) {
	w := newWorld(t, router(peerConfig("b", 0)))
	var said strings.Builder
	w.log = slog.New(slog.NewTextHandler(&said, nil))
	v6, v4 := derived(0)
	call := func() {
		called := w.besides["if-b"]
		if called == nil {
			t.Fatal("nothing waits for calls")
		}
		called()
		w.turn()
	}
	w.up(t, "b")
	first := w.speaker.neighbors["b"]
	if first.LocalAddr != v6.local || first.PeerAddr != v6.peer || len(first.Addresses) != 1 {
		t.Fatalf("BGP begins from %v to %v, next hops from %v", first.LocalAddr, first.PeerAddr, first.Addresses)
	}
	call() // the fake sessions are established
	if n := w.speaker.neighbors["b"]; n.LocalAddr != v6.local || n.Generation != first.Generation {
		t.Errorf("a call ended a session that works: %+v", n)
	}
	w.speaker.blocked = time.Now()
	call()
	n := w.speaker.neighbors["b"]
	if n.LocalAddr != v4.local || n.PeerAddr != v4.peer || n.Generation == first.Generation || n.Import.String() != first.Import.String() {
		t.Errorf("after a call: %+v", n)
	}
	if len(w.besides) != 0 {
		t.Error("it waits for calls where BGP listens now")
	}
	if got := strings.Count(said.String(), "the peer has no IPv6"); got != 1 {
		t.Errorf("said %d times", got)
	}
	w.down(t, "b")
	w.up(t, "b")
	if n := w.speaker.neighbors["b"]; n.LocalAddr != v6.local || w.besides["if-b"] == nil {
		t.Errorf("in the next session BGP begins from %v", n.LocalAddr)
	}
	w.down(t, "b")
	if len(w.besides) != 0 {
		t.Error("it waits for calls in a tunnel that is down")
	}
}

// Where addresses are configured none are derived.
func TestConfiguredAddressesStand(t *testing.T) {
	cfg := router(peerConfig("b", 0))
	cfg.Peers[0].Tunnels[0].Address = []netip.Prefix{netip.MustParsePrefix("fd00::1/127")}
	cfg.Peers[0].Tunnels[0].PeerAddress = netip.MustParseAddr("fd00::")
	w := newWorld(t, cfg)
	w.up(t, "b")
	if len(w.besides) != 0 || w.attachment("b").session.ipv4.valid() {
		t.Error("there is an IPv4 address that nobody has asked for")
	}
	w.down(t, "b")
	w.tunnels.noIPv6 = true
	w.up(t, "b")
	if _, there := w.speaker.neighbors["b"]; there || len(w.wrong()) != 1 {
		t.Error("BGP goes over something that is not configured")
	}
}
