package agent

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"warren/bgp"
	"warren/internal/config"
	"warren/internal/link"
)

// lanPeer is a peer on a network.
func lanPeer(name, address string) config.Peer {
	return config.Peer{Name: name, BGP: config.PeerBGP{
		ASN: 64513, Import: config.Policy{Any: true}, MaxPrefixes: 10, LAN: config.LAN{Address: netip.MustParseAddr(address)},
	}}
}

// has gives the host addresses, each with its interface before it: "eth0 192.0.2.1/24". All
// interfaces are up and have a carrier, but for those that end in "!", which have none.
func (f *fakeLocals) has(texts ...string) {
	f.hosts, f.interfaces = nil, map[string]link.Interface{}
	for i, text := range texts {
		name, address, _ := strings.Cut(text, " ")
		name, idle := strings.CutSuffix(name, "!")
		p := netip.MustParsePrefix(address)
		f.hosts = append(f.hosts, link.Host{Addr: p.Addr(), Subnet: p.Masked(), Interface: name})
		f.interfaces[name] = link.Interface{Index: i + 1, Up: true, Carrier: !idle}
	}
}

func TestLocate(t *testing.T) {
	tunnels := func(name string) bool { return name == "tun0" }
	for _, c := range []struct {
		lan    config.LAN
		hosts  string // between commas
		before place
		want   string // interface and address
		says   string // or why there is no place
	}{
		{lan: config.LAN{Address: netip.MustParseAddr("192.0.2.2")}, hosts: "eth0 192.0.2.1/24,eth1 198.51.100.1/24", want: "eth0 192.0.2.1"},
		{lan: config.LAN{Address: netip.MustParseAddr("192.0.2.2")}, hosts: "eth0 192.0.2.1/24,eth1 192.0.2.3/28", want: "eth1 192.0.2.3"},
		{lan: config.LAN{Address: netip.MustParseAddr("192.0.2.2")}, hosts: "eth0 192.0.2.1/24,eth1! 192.0.2.3/28", want: "eth0 192.0.2.1"},
		{lan: config.LAN{Address: netip.MustParseAddr("192.0.2.2")}, hosts: "eth0 192.0.2.1/24,eth0 192.0.2.9/24", want: "eth0 192.0.2.1"},
		{lan: config.LAN{Address: netip.MustParseAddr("192.0.2.2")}, hosts: "eth0 192.0.2.1/24,eth0 192.0.2.9/24",
			before: place{ifname: "eth0", local: netip.MustParseAddr("192.0.2.9")}, want: "eth0 192.0.2.9"},
		{lan: config.LAN{Address: netip.MustParseAddr("192.0.2.2"), Interface: "eth1"}, hosts: "eth0 192.0.2.1/24,eth1 192.0.2.3/24", want: "eth1 192.0.2.3"},
		{lan: config.LAN{Address: netip.MustParseAddr("fe80::2"), Interface: "eth1"}, hosts: "eth0 fe80::1/64,eth1 fe80::3/64", want: "eth1 fe80::3"},
		{lan: config.LAN{Address: netip.MustParseAddr("2001:db8::2")}, hosts: "eth0 2001:db8::1/64", want: "eth0 2001:db8::1"},

		{lan: config.LAN{Address: netip.MustParseAddr("192.0.2.2")}, hosts: "tun0 192.0.2.1/24", says: "no interface that is up has an address in a network with 192.0.2.2"},
		{lan: config.LAN{Address: netip.MustParseAddr("192.0.2.255")}, hosts: "eth0 192.0.2.1/24", says: "192.0.2.255 is no host's address in the network of interface eth0"},
		{lan: config.LAN{Address: netip.MustParseAddr("192.0.2.2")}, hosts: "eth0! 192.0.2.1/24", says: "interface eth0 has no carrier"},
		{lan: config.LAN{Address: netip.MustParseAddr("192.0.2.2")}, hosts: "eth0 192.0.2.2/24", says: "192.0.2.2 is this host's own address"},
		{lan: config.LAN{Address: netip.MustParseAddr("192.0.2.2"), Interface: "eth7"}, hosts: "eth0 192.0.2.1/24", says: "there is no interface eth7"},
		{lan: config.LAN{Address: netip.MustParseAddr("192.0.2.2"), Interface: "eth1"}, hosts: "eth0 192.0.2.1/24,eth1 198.51.100.1/24",
			says: "interface eth1 has no address in a network with 192.0.2.2"},
	} {
		var f fakeLocals
		f.has(strings.Split(c.hosts, ",")...)
		at, err := locate(c.lan, c.before, f.hosts, f.interfaces, tunnels)
		switch {
		case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%+v among %s: %v, want %q", c.lan, c.hosts, err, c.says)
		case c.says == "" && (err != nil || at.ifname+" "+at.local.String() != c.want):
			t.Errorf("%+v among %s: %+v, %v, want %q", c.lan, c.hosts, at, err, c.want)
		}
	}
	down := fakeLocals{interfaces: map[string]link.Interface{"eth1": {}}}
	if _, err := locate(config.LAN{Address: netip.MustParseAddr("192.0.2.2"), Interface: "eth1"}, place{}, nil, down.interfaces, tunnels); err == nil || err.Error() != "interface eth1 is down" {
		t.Error(err)
	}
}

// A peer without a tunnel has a neighbor while this router is on its network, and its routes
// have the gateways that it says.
func TestPeerOnANetwork(t *testing.T) {
	p := lanPeer("b", "192.0.2.2")
	p.BGP.LAN.Password, p.BGP.LAN.TTLSecurity = config.Secret("p"), true
	w := newWorldWith(t, router(p), func(w *world) { w.locals.has("eth0 192.0.2.1/24", "eth0 fe80::1/64", "eth1 198.51.100.1/24") })
	n, ok := w.speaker.neighbors["b"]
	if !ok || n.LocalAddr.String() != "192.0.2.1" || n.PeerAddr.String() != "192.0.2.2" || n.Interface != "" || n.Password != "p" || !n.TTLSecurity ||
		!slices.Equal(n.Network, netips("192.0.2.1/24 fe80::1/64")) || !slices.Equal(n.Addresses, n.Network) {
		t.Fatalf("neighbor %+v", n)
	}
	if n.Normalize(); n.Validate() != nil {
		t.Errorf("neighbor %+v: %v", n, n.Validate())
	}
	learn := func(prefix, gateway string) {
		r := way(netip.MustParsePrefix(prefix), "b")
		r.Ways[0].Gateway = netip.MustParseAddr(gateway)
		w.speaker.changes[r.Prefix] = r
		w.learn()
		w.applyRoutes()
	}
	learn("10.2.0.0/16", "192.0.2.2")
	learn("10.3.0.0/16", "192.0.2.77")
	expect(t, "routes", w.routes.want, []string{"10.2.0.0/16 dev eth0 via 192.0.2.2", "10.3.0.0/16 dev eth0 via 192.0.2.77"})
	learn("10.3.0.0/16", "192.0.2.78")
	expect(t, "another gateway", w.routes.want, []string{"10.2.0.0/16 dev eth0 via 192.0.2.2", "10.3.0.0/16 dev eth0 via 192.0.2.78"})
	if len(w.state.ids) != 2 {
		t.Errorf("%d origins are remembered of two prefixes", len(w.state.ids))
	}
	w.announce()
	expect(t, "refused", w.refuses("192.0.2.2/32 192.0.2.3/32"), []string{"192.0.2.2/32"})

	s := w.status().Peers[0]
	if len(s.Tunnels) != 0 || s.Tunnel.Transport != "lan" || s.Tunnel.Interface != "eth0" || s.Tunnel.State != "up" ||
		s.BGP.State != "established" || s.BGP.Address != "192.0.2.2" || len(s.Conditions) != 0 {
		t.Errorf("status %+v", s)
	}
	if w.isTunnel("eth0") || w.isTunnel("") {
		t.Error("the network's interface counts as a tunnel")
	}

	// The kernel first, then BGP.
	mark := len(w.diary)
	w.locals.has("eth0! 192.0.2.1/24", "eth0! fe80::1/64")
	w.localsChanged()
	expect(t, "without a carrier", w.since(mark), []string{"routes []", "delete neighbor b"})
	s = w.status().Peers[0]
	if s.Tunnel.State != "down" || s.Tunnel.Interface != "eth0" || s.Tunnel.LastError != "interface eth0 has no carrier" || s.BGP.State != "idle" ||
		len(s.Conditions) != 1 || s.Conditions[0].Kind != "network" || s.Conditions[0].Text != "cannot reach the peer's network: interface eth0 has no carrier" {
		t.Errorf("status %+v", s)
	}
	w.locals.has("eth7 192.0.2.9/25")
	w.localsChanged()
	if n := w.speaker.neighbors["b"]; n.LocalAddr.String() != "192.0.2.9" {
		t.Errorf("neighbor %+v", n)
	}
	learn("10.2.0.0/16", "192.0.2.2")
	expect(t, "on another interface", w.routes.want[:1], []string{"10.2.0.0/16 dev eth7 via 192.0.2.2"})
	expect(t, "conditions", w.wrong(), nil)
}

// A session goes on while the addresses that it knows are there.
func TestAddressesOfANetworkComeAndGo(t *testing.T) {
	w := newWorldWith(t, router(lanPeer("b", "192.0.2.2")), func(w *world) { w.locals.has("eth0 192.0.2.1/24") })
	generation := func() uint64 { return w.speaker.neighbors["b"].Generation }
	for _, c := range []struct {
		what, hosts string
		goesOn      bool
	}{
		{"nothing", "eth0 192.0.2.1/24", true},
		{"another interface", "eth0 192.0.2.1/24,eth1 198.51.100.1/24", true},
		{"an address that is added", "eth0 192.0.2.1/24,eth0 203.0.113.1/24", true},
		{"the first IPv6 address", "eth0 192.0.2.1/24,eth0 203.0.113.1/24,eth0 fe80::1/64", false},
		{"a second one", "eth0 192.0.2.1/24,eth0 203.0.113.1/24,eth0 fe80::1/64,eth0 2001:db8::1/64", true},
		{"and it goes", "eth0 192.0.2.1/24,eth0 203.0.113.1/24,eth0 fe80::1/64", true},
		{"an address that goes", "eth0 192.0.2.1/24,eth0 fe80::1/64", false},
		{"the session's own", "eth0 192.0.2.3/24,eth0 fe80::1/64", false},
	} {
		before := generation()
		w.locals.has(strings.Split(c.hosts, ",")...)
		w.localsChanged()
		if now := generation(); now == 0 || (now == before) != c.goesOn {
			t.Errorf("%s: generation %d, before %d", c.what, now, before)
		}
	}
	before := generation()
	w.wake(time.Hour)
	if generation() == before {
		t.Error("after an hour of sleep the session is the same")
	}
}

// Two peers on one interface share it: its routes can be used until the last of them goes.
func TestPeersOnOneNetwork(t *testing.T) {
	w := newWorldWith(t, router(lanPeer("b", "192.0.2.2"), lanPeer("c", "198.51.100.2")), func(w *world) {
		w.locals.has("eth0 192.0.2.1/24", "eth0 198.51.100.1/24")
	})
	if len(w.speaker.neighbors) != 2 || w.routes.hops["eth0"].Down {
		t.Fatalf("neighbors %v, hops %v", w.speaker.neighbors, w.routes.hops)
	}
	w.locals.has("eth0 192.0.2.1/24")
	w.localsChanged()
	if len(w.speaker.neighbors) != 1 || w.routes.hops["eth0"].Down {
		t.Errorf("neighbors %v, hops %v", w.speaker.neighbors, w.routes.hops)
	}
	w.reloads(t, router(lanPeer("c", "198.51.100.2")))
	if len(w.speaker.neighbors) != 0 || !w.routes.hops["eth0"].Down {
		t.Errorf("neighbors %v, hops %v", w.speaker.neighbors, w.routes.hops)
	}
	w.reloads(t, router())
	expect(t, "conditions", w.wrong(), nil)
}

// A reload adds, changes and removes such a peer, and puts it behind a tunnel and back.
func TestReloadOfAPeerOnANetwork(t *testing.T) {
	with := func(change func(*config.PeerBGP)) *config.Config {
		p := lanPeer("b", "192.0.2.2")
		change(&p.BGP)
		return router(p)
	}
	w := newWorldWith(t, router(), func(w *world) { w.locals.has("eth0 192.0.2.1/24", "eth1 192.0.2.9/25") })
	for _, c := range []struct {
		what   string
		next   *config.Config
		line   string
		goesOn bool
		local  string // of the neighbor; "": there is none
	}{
		{"added", with(func(*config.PeerBGP) {}), "peer b: added", false, "192.0.2.9"},
		{"the same", with(func(*config.PeerBGP) {}), "", true, "192.0.2.9"},
		{"filters", with(func(b *config.PeerBGP) { b.MaxPrefixes = 5 }), "peer b: filters changed, session kept (bgp.max_prefixes)", true, "192.0.2.9"},
		{"a password", with(func(b *config.PeerBGP) { b.LAN.Password = config.Secret("x") }), "peer b: another password or ttl_security, BGP session starts again (bgp.password_file)", false, "192.0.2.9"},
		{"another one", with(func(b *config.PeerBGP) { b.LAN.Password = config.Secret("y") }), "peer b: another password or ttl_security, BGP session starts again (bgp.password_file)", false, "192.0.2.9"},
		{"its file alone", with(func(b *config.PeerBGP) { b.LAN.Password, b.LAN.PasswordFile = config.Secret("y"), "/f" }), "", true, "192.0.2.9"},
		{"an interface", with(func(b *config.PeerBGP) { b.LAN.Interface = "eth0" }), "peer b: at another address or interface, BGP session starts again (bgp.interface)", false, "192.0.2.1"},
		{"an address", with(func(b *config.PeerBGP) { b.LAN.Address = netip.MustParseAddr("192.0.2.200") }), "peer b: at another address or interface, BGP session starts again (bgp.address, bgp.interface)", false, "192.0.2.1"},
		{"an address elsewhere", with(func(b *config.PeerBGP) { b.LAN.Address = netip.MustParseAddr("198.51.100.1") }), "peer b: at another address or interface, BGP session starts again (bgp.address)", false, ""},
		{"a tunnel", router(peerConfig("b", 0)), "peer b: reached by a tunnel now", false, ""},
		{"no tunnel again", with(func(*config.PeerBGP) {}), "peer b: reached without a tunnel now", false, "192.0.2.9"},
		{"removed", router(), "peer b: removed", false, ""},
	} {
		before := w.speaker.neighbors["b"]
		_, lines := w.reloads(t, c.next)
		if strings.Join(lines, "; ") != c.line {
			t.Errorf("%s: %q", c.what, lines)
		}
		n, ok := w.speaker.neighbors["b"]
		if ok != (c.local != "") || ok && (n.LocalAddr.String() != c.local || n.SameSession(&before) != c.goesOn) {
			t.Errorf("%s: neighbor %+v, before %+v", c.what, n, before)
		}
		if c.what == "a tunnel" {
			w.up(t, "b")
			if n := w.speaker.neighbors["b"]; n.LAN() || n.Password != "" || n.Interface != "if-b" {
				t.Errorf("neighbor %+v", n)
			}
		}
	}
	if len(w.m.tunnels)+len(w.m.leaving)+len(w.m.conditions.known) > 0 {
		t.Errorf("left are %v %v %v", w.m.tunnels, w.m.leaving, w.m.conditions.known)
	}
}

// Where BGP is not answered on a network, the hint says so.
func TestBlockedOnANetwork(t *testing.T) {
	w := newWorldWith(t, router(lanPeer("b", "192.0.2.2")), func(w *world) { w.locals.has("eth0 192.0.2.1/24") })
	began := time.Now()
	var texts []string
	for _, h := range w.blockedHints(map[string]bgp.NeighborStatus{"b": {Name: "b", Unanswered: began}}, began.Add(time.Minute)) {
		texts = append(texts, h.Peer+": "+h.Text)
	}
	if all := strings.Join(texts, "\n"); !strings.Contains(all, "b: this router is on the peer's network, and for 1m0s nothing has come back from TCP port 179 of 192.0.2.2") ||
		!strings.Contains(all, "on interface eth0") {
		t.Errorf("hints: %s", all)
	}
}

// A route without a gateway is of a session over a tunnel, which a reload has replaced.
func TestNoRouteWithoutAGateway(t *testing.T) {
	w := newWorldWith(t, router(lanPeer("b", "192.0.2.2"), peerConfig("c", 0)), func(w *world) { w.locals.has("eth0 192.0.2.1/24") })
	w.up(t, "c")
	w.learns(t, "10.2.0.0/16", "b")
	p := netip.MustParsePrefix("10.3.0.0/16")
	w.speaker.changes[p] = bgp.Route{Prefix: p, Ways: []bgp.Way{{Neighbor: "c", Gateway: netip.MustParseAddr("192.0.2.2")}}}
	w.learn()
	w.applyRoutes()
	expect(t, "routes", w.routes.want, []string{})
}
