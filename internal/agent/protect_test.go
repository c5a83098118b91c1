package agent

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"warren/bgp"
	"warren/internal/config"
	"warren/tunnel"
)

func netips(text string) (ps []netip.Prefix) {
	for _, f := range strings.Fields(text) {
		ps = append(ps, netip.MustParsePrefix(f))
	}
	return ps
}

// refuses reports which of the prefixes the speaker was told to refuse from a
// neighbor with import = ["any"].
func (w *world) refuses(text string) (refused []string) {
	for _, p := range netips(text) {
		if ok, _ := (bgp.Policy{Any: true}).Accepts(p, w.speaker.protected); !ok {
			refused = append(refused, p.String())
		}
	}
	return refused
}

// What the kernel should have is the second line of defence: the speaker here
// believes everything.
func TestLocalPrefixesAreNeitherInstalledNorImported(t *testing.T) {
	cfg := router(peerConfig("b", 0))
	cfg.Announce.Networks = netips("10.1.0.0/16 0.0.0.0/0")
	w := newWorld(t, cfg)
	w.locals.locals = netips("10.1.5.0/24 172.16.0.0/16")
	w.locals.connected = netips("10.1.5.0/24 10.1.5.1/32 198.51.100.0/30")
	w.locals.gateways = []netip.Addr{netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("198.51.100.1")}
	w.announce()
	if want := netips("0.0.0.0/0 10.1.0.0/16 10.1.5.0/24 172.16.0.0/16"); !slices.Equal(w.speaker.announced, want) {
		t.Errorf("announced %v", w.speaker.announced)
	}
	const ours = "0.0.0.0/0 10.1.0.0/16 10.1.0.0/17 10.1.5.0/24 10.1.5.77/32 10.1.5.1/32 " +
		"172.16.0.0/16 172.16.7.0/24 198.51.100.0/30 198.51.100.1/32 203.0.113.1/32 192.0.0.8/32 0.0.0.0/1 128.0.0.0/1"
	const theirs = "10.0.0.0/8 10.2.0.0/16 203.0.113.0/24 203.0.113.2/32"
	expect(t, "refused", w.refuses(ours+" "+theirs), strings.Fields(ours))

	w.up(t, "b")
	for _, p := range strings.Fields(ours + " " + theirs) {
		if p != "192.0.0.8/32" { // martians only the speaker refuses: what is one never changes
			w.learns(t, p, "b")
		}
	}
	expect(t, "routes", w.routes.want, []string{"10.0.0.0/8 dev if-b", "10.2.0.0/16 dev if-b", "203.0.113.0/24 dev if-b", "203.0.113.2/32 dev if-b"})

	// An address is added: what lies in its subnet leaves the kernel at once.
	w.locals.connected = append(w.locals.connected, netips("203.0.113.0/24 203.0.113.9/32")...)
	w.announce()
	w.applyRoutes()
	expect(t, "after an address came", w.routes.want, []string{"10.0.0.0/8 dev if-b", "10.2.0.0/16 dev if-b"})
}

// A hub that announces an aggregate imports the parts that its filters name, and
// a LAN inside stays its own.
func TestHubImportsPartsOfWhatItAnnounces(t *testing.T) {
	b := peerConfig("b", 0)
	b.BGP.Import = config.Policy{Prefixes: []config.PrefixFilter{{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Ge: 8, Le: 32}}}
	cfg := router(b)
	cfg.Announce.Networks = netips("10.0.0.0/8")
	w := newWorld(t, cfg)
	w.locals.connected = netips("10.1.0.0/24 10.1.0.1/32")
	w.announce()
	w.up(t, "b")
	for _, p := range []string{"10.2.0.0/16", "10.2.7.7/32", "10.1.0.77/32", "10.0.0.0/8", "10.1.0.0/24"} {
		w.learns(t, p, "b")
	}
	expect(t, "routes", w.routes.want, []string{"10.2.0.0/16 dev if-b", "10.2.7.7/32 dev if-b"})

	// With a filter that lies inside the LAN a host of it may be elsewhere.
	b.BGP.Import.Prefixes = append(b.BGP.Import.Prefixes, config.PrefixFilter{Prefix: netip.MustParsePrefix("10.1.0.64/26"), Ge: 26, Le: 32})
	next := router(b)
	next.Announce.Networks = cfg.Announce.Networks
	w.reloads(t, next)
	expect(t, "routes with a nearer filter", w.routes.want, []string{"10.1.0.77/32 dev if-b", "10.2.0.0/16 dev if-b", "10.2.7.7/32 dev if-b"})
}

// Tunnels' addresses are nobody's to take, be they derived or configured, the
// tunnel up, down, or not there yet.
func TestTunnelsAddressesAreProtected(t *testing.T) {
	configured := peerConfig("c", 1)
	configured.Tunnels[0].Address = netips("10.9.0.1/30 fd09::1/64 fe80::1/64")
	configured.Tunnels[0].PeerAddress = netip.MustParseAddr("fe80::2")
	external := peerConfig("d", 2)
	external.Tunnels[0].Transport = config.TransportExternal
	external.Tunnels[0].PeerAddress = netip.MustParseAddr("10.8.0.2")
	w := newWorld(t, router(peerConfig("b", 0), configured, external))
	const others = "10.9.0.4/32 fd09:1::/64 10.8.0.3/32"
	ours := "10.9.0.0/30 10.9.0.1/32 10.9.0.2/32 fd09::/64 fd09::1/128 fd09::7/128 10.8.0.2/32"
	expect(t, "none is up", w.refuses(ours+" "+others), strings.Fields(ours))

	w.up(t, "b")
	local, peer := tunnel.Addresses(tunnel.Identity{1}, tunnel.Identity{2}, 0)
	derived := netip.PrefixFrom(local, 127).Masked().String() + " " + local.String() + "/128 " + peer.String() + "/128"
	expect(t, "b is up", w.refuses(derived+" "+ours+" "+others), strings.Fields(derived+" "+ours))
	w.down(t, "b")
	w.announce()
	expect(t, "b is down", w.refuses(derived), strings.Fields(derived))
	w.reloads(t, router(configured))
	expect(t, "b and d are removed", w.refuses(derived+" "+ours), strings.Fields(strings.TrimSuffix(ours, " 10.8.0.2/32")))

	// A filter that lies inside a tunnel's subnet takes what is free of it.
	inside := bgp.Policy{Prefixes: []bgp.Filter{{Prefix: netip.MustParsePrefix("fd09::/64"), Le: 128}}}
	for text, want := range map[string]bool{"fd09::7/128": true, "fd09::1/128": false, "fd09::/120": false, "fd09::100/120": true} {
		if ok, reason := inside.Accepts(netip.MustParsePrefix(text), w.speaker.protected); ok != want {
			t.Errorf("import %s of %s: %v (%s)", inside, text, ok, reason)
		}
	}
}
