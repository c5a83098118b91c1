package agent

import (
	"testing"

	"warren/internal/config"
)

const mainTable = 254

// The rest of an own network must not go to the Internet, nor circle through a
// learned default route.
func TestOwnNetworksAreUnreachableBeneath(t *testing.T) {
	cfg := router(peerConfig("b", 0))
	cfg.FIB.Table = mainTable
	cfg.Announce.Networks = netips("10.1.0.0/16 10.3.0.0/24 0.0.0.0/0 128.0.0.0/1 2001:db8:1::/48 2000::/3")
	w := newWorld(t, cfg)
	look := func() []string {
		w.announce()
		w.applyRoutes()
		return w.routes.want
	}
	w.locals.connected = netips("10.1.5.0/24 10.1.5.1/32 10.3.0.0/24")
	expect(t, "wider than the LAN", look(), []string{"10.1.0.0/16 unreachable", "2001:db8:1::/48 unreachable"})
	if !w.unreachable {
		t.Error("the guard does not know, and the loose filter would drop what comes for the transports")
	}
	w.locals.connected = netips("10.1.5.0/24")
	expect(t, "a LAN went down", look(), []string{"10.1.0.0/16 unreachable", "10.3.0.0/24 unreachable", "2001:db8:1::/48 unreachable"})

	// What leads somewhere comes with it, not instead of it.
	cfg.Peers[0].BGP.Import = config.Policy{Prefixes: []config.PrefixFilter{{Prefix: netips("10.1.8.0/24")[0], Ge: 24, Le: 24}}}
	w.configure()
	w.up(t, "b")
	w.learns(t, "10.1.8.0/24", "b")
	expect(t, "with a part at a peer", w.routes.want, []string{
		"10.1.0.0/16 unreachable", "10.1.8.0/24 dev if-b", "10.3.0.0/24 unreachable", "2001:db8:1::/48 unreachable"})

	// Rules look another table up before main, where the LAN is.
	cfg.FIB.Table = 500
	expect(t, "in another table", look(), []string{"10.1.8.0/24 dev if-b"})
	if w.unreachable {
		t.Error("the guard still thinks so")
	}
}
