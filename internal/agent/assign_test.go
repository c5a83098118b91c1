package agent

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"warren/internal/config"
	"warren/internal/fib"
	"warren/internal/link"
	"warren/tunnel"
	"warren/tunnel/tun"
)

func addrs(texts ...string) (all []netip.Addr) {
	for _, t := range texts {
		all = append(all, netip.MustParseAddr(t))
	}
	return all
}

// offers has a tunnel come up whose peer assigns addresses.
func (w *world) offers(t *testing.T, name string, texts ...string) {
	t.Helper()
	w.tunnels.report(t, name).event(tunnel.Event{
		Name: name, Up: true, Local: tunnel.Identity{1}, Peer: tunnel.Identity{2}, Assigned: addrs(texts...),
	})
	w.turn()
}

// TestAssign: the hub's side. The address is announced and routed while the tunnel is up, and no
// neighbor may take it then.
func TestAssign(t *testing.T) {
	spoke := netip.MustParsePrefix("10.100.100.25/32")
	cfg := router(peerConfig("site-a", 0), peerConfig("site-b", 1))
	cfg.Peers[0].Tunnels[0].Assign = []netip.Prefix{spoke}
	w := newWorld(t, cfg)
	check := func(when string, up bool) {
		t.Helper()
		if got := slices.Contains(w.speaker.announced, spoke); got != up {
			t.Errorf("%s: announced: %v", when, got)
		}
		ways := w.routes.wanted[spoke].Ways
		if up && !slices.Equal(ways, []fib.Way{{Interface: "if-site-a", Neighbor: "site-a", Weight: 1}}) || !up && len(ways) > 0 {
			t.Errorf("%s: ways %v", when, ways)
		}
		if got := w.speaker.protected.Concerns(spoke); got != up {
			t.Errorf("%s: protected: %v", when, got)
		}
	}
	check("at first", false)
	w.up(t, "site-b")
	check("another tunnel is up", false)
	w.up(t, "site-a")
	check("up", true)
	w.down(t, "site-a")
	check("down", false)
	w.learns(t, "10.100.100.25/32", "site-b")
	if ways := w.routes.wanted[spoke].Ways; len(ways) != 1 || ways[0].Interface != "if-site-b" {
		t.Errorf("learned by another hub: %v", ways)
	}
	w.up(t, "site-a")
	check("up again", true)
}

// TestAssignedIsJudged: the spoke's side. The hub says 10.100.100.25 and one other address.
func TestAssignedIsJudged(t *testing.T) {
	for other, want := range map[string]string{
		"10.100.100.26":   "", // it may have several
		"2001:db8::26":    "",
		"10.100.100.25":   "", // the same again
		"8.8.8.8":         "is an address of the Internet",
		"2600::1":         "is an address of the Internet",
		"44.1.2.3":        "", // as import says
		"127.0.0.1":       "no router can have",
		"0.0.0.0":         "no router can have",
		"224.0.0.5":       "no router can have",
		"255.255.255.255": "no router can have",
		"169.254.1.1":     "no router can have",
		"fe80::1":         "no router can have",
		"::1":             "no router can have",
		"::ffff:10.9.9.9": "no router can have",
		"10.1.0.53":       "is inside 10.1.0.0/16, which this router announces itself",
		"192.168.7.9":     "is inside 192.168.7.0/24, which is connected to this router",
		"192.0.2.1":       "is the address of a gateway",
		"198.51.100.2":    "is the address of peer site-b on the underlay",
		"10.9.9.1":        "is the address of the tunnel to peer site-b",
		"10.100.100.99":   "to which this router assigns it",
	} {
		cfg := router(peerConfig("hub", 0), peerConfig("site-b", 1))
		cfg.Announce.Networks = []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}
		cfg.Peers[0].Tunnels[0].Assigned, cfg.Peers[0].Tunnels[0].Transport = true, config.TransportTLS
		cfg.Peers[0].BGP.Import = config.Policy{Prefixes: []config.PrefixFilter{{Prefix: netip.MustParsePrefix("44.0.0.0/9"), Ge: 9, Le: 32}}}
		b := &cfg.Peers[1].Tunnels[0]
		b.Remotes = []config.Remote{{Host: "198.51.100.2", Port: 443}}
		b.Address, b.PeerAddress = []netip.Prefix{netip.MustParsePrefix("10.9.9.0/31")}, netip.MustParseAddr("10.9.9.1")
		b.Assign = []netip.Prefix{netip.MustParsePrefix("10.100.100.99/32")}
		w := newWorldWith(t, cfg, func(w *world) {
			w.locals.connected = []netip.Prefix{netip.MustParsePrefix("192.168.7.0/24")}
			w.locals.gateways = addrs("192.0.2.1")
		})
		w.offers(t, "hub", "10.100.100.25", other)
		a := w.attachment("hub")
		taken := slices.Contains(a.assigned, netip.MustParseAddr(other))
		err := w.m.conditions.error(about(kindAssigned, a))
		if !slices.Contains(a.assigned, netip.MustParseAddr("10.100.100.25")) || taken != (want == "") || !a.session.ready {
			t.Errorf("%s: took %v", other, a.assigned)
		}
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), other)) {
			t.Errorf("%s: %v; want %q", other, err, want)
		}
	}
}

// TestAssignedStaysOrGoes: the interface keeps what was assigned while the tunnel is down, takes it
// again although it is connected by then, and loses it when it is not assigned any more.
func TestAssignedStaysOrGoes(t *testing.T) {
	cfg := router(peerConfig("hub", 0))
	cfg.Peers[0].Tunnels[0].Assigned, cfg.Peers[0].Tunnels[0].Transport = true, config.TransportTLS
	w := newWorld(t, cfg)
	a := w.attachment("hub")
	host := netip.MustParseAddr("10.100.100.25")
	w.offers(t, "hub", "10.100.100.25")
	w.locals.connected = hosts(a.assigned)
	w.locals.hosts = []link.Host{{Addr: host, Subnet: hosts(a.assigned)[0], Interface: "if-hub"}}
	w.localsChanged()
	if w.source.v4 != host {
		t.Errorf("the source is %v", w.source.v4)
	}
	if n := w.speaker.neighbors["hub"]; slices.Contains(n.Addresses, hosts(a.assigned)[0]) {
		t.Errorf("it is a next hop: %v", n.Addresses)
	}
	if ok, _ := w.speaker.neighbors["hub"].Import.Accepts(hosts(a.assigned)[0], w.speaker.protected); ok {
		t.Error("a neighbor may take it")
	}
	w.down(t, "hub")
	if !slices.Equal(a.assigned, addrs("10.100.100.25")) {
		t.Errorf("down: %v", a.assigned)
	}
	mark := len(w.diary)
	w.offers(t, "hub", "10.100.100.25")
	if !slices.Contains(w.since(mark), "assigned to hub: [10.100.100.25]") || len(w.wrong()) > 0 {
		t.Errorf("up again: %q, %q", w.since(mark), w.wrong())
	}
	mark = len(w.diary)
	w.offers(t, "hub")
	if slices.ContainsFunc(w.since(mark), func(line string) bool { return strings.HasPrefix(line, "assigned") }) || !slices.Equal(w.wrong(), []string{"assigned hub"}) {
		t.Errorf("not assigned any more: %q, %q", w.since(mark), w.wrong())
	}
	if !a.session.ready {
		t.Error("BGP waits for an address that does not come")
	}
}

// TestAssignedLater: over WireGuard the tunnel is up before the peer has said what it assigns.
func TestAssignedLater(t *testing.T) {
	cfg := router(peerConfig("hub", 0))
	cfg.Peers[0].Tunnels[0].Assigned, cfg.Peers[0].Tunnels[0].Transport = true, config.TransportWireGuard
	w := newWorld(t, cfg)
	w.up(t, "hub")
	a := w.attachment("hub")
	if !a.session.ready || len(w.wrong()) > 0 {
		t.Errorf("ready: %v, %q", a.session.ready, w.wrong())
	}
	mark := len(w.diary)
	w.tunnels.report(t, "hub").offered(addrs("10.100.100.25"))
	w.tunnels.report(t, "hub").offered(addrs("10.100.100.25"))
	w.turn()
	if got := w.since(mark); strings.Count(strings.Join(got, "\n"), "assigned to hub: [10.100.100.25]") != 1 || slices.Contains(got, "delete neighbor hub") {
		t.Errorf("%q", got)
	}
	w.down(t, "hub")
	w.tunnels.report(t, "hub").offered(addrs("10.100.100.26"))
	w.turn() // too late
	w.up(t, "hub")
	if !slices.Equal(a.session.assigned, addrs("10.100.100.25")) {
		t.Errorf("until the peer says something else: %v", a.session.assigned)
	}
}

// TestAssignedStaysAtARestart: the daemon before had the address, the interface still has it, and so it is this router's from the
// beginning, whether the peer says it again at once (TLS) or is asked first (WireGuard). An address that the interface of another
// tunnel had, or that the config does not ask for any more, is not.
func TestAssignedStaysAtARestart(t *testing.T) {
	host := netip.MustParseAddr("10.100.100.25")
	for _, c := range []struct {
		what      string
		transport string
		ifname    string // as it was handed over
		assigned  bool
		stays     bool
	}{
		{"TLS", config.TransportTLS, "if-hub", true, true},
		{"WireGuard", config.TransportWireGuard, "if-hub", true, true},
		{"another interface", config.TransportWireGuard, "if-other", true, false},
		{"not assigned any more", config.TransportWireGuard, "if-hub", false, false},
	} {
		cfg := router(peerConfig("hub", 0))
		cfg.Peers[0].Tunnels[0].Assigned, cfg.Peers[0].Tunnels[0].Transport = c.assigned, c.transport
		w := newWorldWith(t, cfg, func(w *world) {
			w.locals.connected = hosts(addrs("10.100.100.25"))
			w.locals.hosts = []link.Host{{Addr: host, Subnet: hosts(addrs("10.100.100.25"))[0], Interface: "if-hub"}}
			w.resuming = newResumption(&left{Tunnels: []leftTunnel{{Name: "hub", Device: tun.Handover{Name: c.ifname}, Assigned: addrs("10.100.100.25")}}})
		})
		if (w.source.v4 == host) != c.stays {
			t.Errorf("%s: the first source is %v", c.what, w.source.v4)
		}
		if c.transport == config.TransportTLS {
			w.offers(t, "hub", "10.100.100.25")
		} else {
			w.up(t, "hub")
		}
		given, assigned := 0, 0
		for _, line := range w.diary {
			if strings.HasPrefix(line, "addresses hub ") {
				given++
			}
			if line == "assigned to hub: [10.100.100.25]" {
				assigned++
			}
		}
		if given == 0 || (assigned == given) != c.stays || len(w.wrong()) > 0 {
			t.Errorf("%s: the interface was given addresses %d times, with the assigned one %d times; %q", c.what, given, assigned, w.wrong())
		}
		mark := len(w.diary)
		if c.stays && c.transport == config.TransportWireGuard {
			w.tunnels.report(t, "hub").offered(addrs("10.100.100.25"))
			w.turn()
		}
		if got := w.since(mark); len(got) > 0 {
			t.Errorf("%s: when the peer says it again: %q", c.what, got)
		}
	}
}
