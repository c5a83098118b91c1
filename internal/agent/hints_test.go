package agent

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/netip"
	"testing"
	"time"

	"warren/bgp"
	"warren/internal/config"
	"warren/internal/link"
	"warren/internal/status"
	"warren/tunnel"
)

// hinted compares all hints with those that are wanted, in order.
func (w *world) hinted(t *testing.T, now time.Time, want ...status.Hint) {
	t.Helper()
	got := w.hints(now)
	if len(got) != len(want) {
		t.Fatalf("%d hints, want %d: %+v", len(got), len(want), got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got  %q: %s\nwant %q: %s", got[i].Peer, got[i].Text, want[i].Peer, want[i].Text)
		}
	}
}

// A port that cannot be had is a condition of the router, and no hint beside.
func TestPortsThatCannotBeHad(t *testing.T) {
	w := newWorldWith(t, router(peerConfig("b", 0)), func(w *world) {
		w.listenErr, w.portErr = errors.New("listen 0.0.0.0:443: address already in use"), errors.New("listen on UDP port 51820: address already in use")
	})
	w.hinted(t, time.Now())
	got := w.status().Router.Conditions
	if len(got) != 2 || got[0].Kind != "listen_tls" || got[1].Kind != "listen_wireguard" || got[0].Tries != 1 || got[0].Since.IsZero() ||
		got[0].Text != "peers cannot connect over TLS to an address of tls.listen: listen 0.0.0.0:443: address already in use" ||
		got[1].Text != "peers cannot connect over WireGuard: wireguard.listen_port: listen on UDP port 51820: address already in use" {
		t.Errorf("%+v", got)
	}
	w.again()
	if got := w.status().Router.Conditions; len(got) != 2 || got[1].Tries != 2 {
		t.Errorf("tried again: %+v", got)
	}
	w.listenErr, w.portErr = nil, nil
	w.again()
	if got := w.status().Router.Conditions; len(got) != 0 {
		t.Errorf("over: %+v", got)
	}
}

func TestHintOfACertificateThatRanOut(t *testing.T) {
	cfg := router(peerConfig("b", 0))
	end := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	cfg.TLS.CertFile, cfg.TLS.Certificate = "/etc/warren/tls.crt", &tls.Certificate{Leaf: &x509.Certificate{NotAfter: end}}
	w := newWorld(t, cfg)
	w.hinted(t, end)
	w.hinted(t, end.Add(time.Second), status.Hint{Text: "the certificate /etc/warren/tls.crt expired on 2026-05-01 12:00 UTC: " +
		"peers that know this router by ca_file refuse it; renew it, or check the clock"})
}

// Both ends wait for the other: each says that it has heard nothing.
func TestHintOfAPeerThatDoesNotCome(t *testing.T) {
	dialed, external := peerConfig("c", 1), peerConfig("d", 2)
	dialed.Tunnels[0].Remotes = []config.Remote{{Host: "192.0.2.1", Port: 443}}
	external.Tunnels[0].Transport = config.TransportExternal
	w := newWorld(t, router(peerConfig("b", 0), dialed, external))
	now := time.Now()
	w.tunnels.waits = map[string]time.Time{"b": now, "c": now, "d": now}
	w.hinted(t, now.Add(silentAfter-time.Second))
	w.hinted(t, now.Add(75*time.Second), status.Hint{Peer: "b", Text: "this router waits for the peer to connect and has not heard from it for 1m15s: " +
		"does the peer have remotes with this router's address and port, and do firewalls let it through? One of the two ends must have remotes"})
	w.tunnels.waits = nil
	w.hinted(t, now.Add(75*time.Second))
}

// What a transport has to say of a tunnel that is up.
func TestHintOfATunnel(t *testing.T) {
	w := newWorld(t, router(peerConfig("b", 0), peerConfig("c", 1)))
	w.tunnels.says = map[string]tunnel.Status{"c": {Hint: "large packets vanish on the way to the peer"}}
	w.hinted(t, time.Now(), status.Hint{Peer: "c", Text: "large packets vanish on the way to the peer"})
	w.tunnels.says = nil
	w.hinted(t, time.Now())
}

func TestHintOfBGPThatIsBlocked(t *testing.T) {
	w := newWorld(t, router(peerConfig("b", 0), peerConfig("c", 1)))
	began := time.Now()
	w.speaker.blocked = began
	w.up(t, "b")
	neighbors := map[string]bgp.NeighborStatus{}
	for _, n := range w.speaker.Neighbors() {
		neighbors[n.Name] = n
	}
	if hints := w.blockedHints(neighbors, began.Add(blockedAfter-time.Second)); len(hints) != 0 {
		t.Errorf("too early: %+v", hints)
	}
	hints := w.blockedHints(neighbors, began.Add(45*time.Second))
	_, peer := tunnel.Addresses(tunnel.Identity{1}, tunnel.Identity{2}, 0)
	want := status.Hint{Peer: "b", Text: "the tunnel is up, and for 45s nothing has come back from TCP port 179 of " + peer.String() +
		", not even a refusal: let BGP through on interface if-b, in the firewalls of both ends"}
	if len(hints) != 1 || hints[0] != want {
		t.Errorf("got %+v, want %+v", hints, want)
	}
	w.speaker.blocked = began.Add(-time.Minute)
	if all := w.status().Router.Hints; len(all) != 1 || all[0].Peer != "b" {
		t.Errorf("status has %+v", all)
	}
	w.down(t, "b")
	if all := w.status().Router.Hints; len(all) != 0 {
		t.Errorf("the tunnel is down: %+v", all)
	}
}

// A peer's file that was copied to the other end as it is has both ends have one address: no packet gets an answer.
func TestHintOfAPeerWithOurAddress(t *testing.T) {
	b := peerConfig("b", 0)
	b.Tunnels[0].Address, b.Tunnels[0].PeerAddress = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/31")}, netip.MustParseAddr("10.0.0.1")
	w := newWorld(t, router(b))
	w.up(t, "b")
	began := time.Now()
	w.speaker.blocked = began
	hints := w.blockedHints(map[string]bgp.NeighborStatus{"b": {Name: "b", Unanswered: began}}, began.Add(45*time.Second))
	want := status.Hint{Peer: "b", Text: "the tunnel is up, and for 45s nothing has come back from TCP port 179 of 10.0.0.1, not even a refusal: " +
		"let BGP through on interface if-b, in the firewalls of both ends, or the peer does not have that address: address and peer_address must be the other way round there"}
	if len(hints) != 1 || hints[0] != want {
		t.Errorf("got %+v, want %+v", hints, want)
	}
}

func TestHintsOfWhoWasRefused(t *testing.T) {
	dialed := peerConfig("b", 0)
	dialed.Tunnels[0].Remotes = []config.Remote{{Host: "198.51.100.6", Port: 443}}
	w := newWorld(t, router(dialed))
	now := time.Now()
	source := netip.MustParseAddr("203.0.113.1")
	w.refused = []tunnel.Refusal{
		{Source: netip.MustParseAddr("198.51.100.6"), Reason: "no tunnel here has this peer and link number 5", Count: 12, Last: now.Add(-4 * time.Second)},
		{Source: source, Reason: "no peer here has its shared secret", Count: 1, Last: now.Add(-time.Minute)},
		{Source: source, Reason: "long ago", Count: 1, Last: now.Add(-2 * refusedLately)},
	}
	w.hinted(t, now,
		status.Hint{Peer: "b", Text: "198.51.100.6 was refused 12 times, the last time 4s ago: no tunnel here has this peer and link number 5"},
		status.Hint{Text: "203.0.113.1 was refused once, 1m0s ago: no peer here has its shared secret"})
	for range 100 {
		source = source.Next()
		w.refused = append(w.refused, tunnel.Refusal{Source: source, Count: 1, Last: now})
	}
	if hints := w.hints(now); len(hints) != maxRefusedHints {
		t.Errorf("%d hints, want %d", len(hints), maxRefusedHints)
	}
}

// A connection that came to nothing is of no interest while a tunnel to there is up; one that was refused is.
func TestHintsOfConnectionsBesideATunnel(t *testing.T) {
	w := newWorld(t, router(peerConfig("b", 0)))
	now := time.Now()
	at := netip.MustParseAddr("198.51.100.6")
	w.tunnels.says = map[string]tunnel.Status{"b": {Remote: netip.AddrPortFrom(netip.AddrFrom16(at.As16()), 443)}}
	w.refused = []tunnel.Refusal{
		{Source: at, Reason: "it hung up during the handshake", Count: 1, Last: now, Unfinished: true},
		{Source: at, Reason: "no tunnel here has this peer and link number 5", Count: 1, Last: now},
	}
	unfinished := status.Hint{Text: "198.51.100.6 was refused once, 0s ago: it hung up during the handshake"}
	refused := status.Hint{Text: "198.51.100.6 was refused once, 0s ago: no tunnel here has this peer and link number 5"}
	w.hinted(t, now, refused)
	w.tunnels.waits = map[string]time.Time{"b": now}
	w.hinted(t, now, unfinished, refused)
}

func TestHintsOfForwarding(t *testing.T) {
	cfg := router(peerConfig("b", 0), peerConfig("c", 1))
	for _, n := range []string{"10.1.0.0/24", "10.5.0.1/32", "2001:db8:1::/64", "0.0.0.0/0"} {
		cfg.Announce.Networks = append(cfg.Announce.Networks, netip.MustParsePrefix(n))
	}
	cfg.FIB.Source4, cfg.FIB.Source6 = netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("2001:db8:1::1") // which is another hint
	w := newWorld(t, cfg)
	addresses := func(texts ...string) (all []netip.Addr) {
		for _, a := range texts {
			all = append(all, netip.MustParseAddr(a))
		}
		return all
	}
	w.locals.interfaces = map[string]link.Interface{
		"lo":   {Addresses: addresses("127.0.0.1", "10.5.0.1")},
		"lan0": {Addresses: addresses("10.1.0.1", "2001:db8:1::1")},
		"wan0": {Addresses: addresses("198.51.100.2", "2001:db8::2")},
		"if-b": {Addresses: addresses("10.1.0.9")},
	}
	w.up(t, "b")
	// What is not announced need not be forwarded, nor what comes in by a tunnel that is down.
	w.stopped = map[string]bool{"4:wan0": true, "4:lo": true, "4:if-c": true}
	w.hinted(t, time.Now())
	w.stopped = map[string]bool{"4:lan0": true, "4:wan0": true, "4:if-b": true, "6:lan0": true}
	const four, six = "set net.ipv4.ip_forward = 1", "set net.ipv6.conf.all.forwarding = 1"
	const keep = " (sysctl -w, and in /etc/sysctl.d)"
	w.hinted(t, time.Now(),
		status.Hint{Text: "this host does not forward IPv4 packets that come in by if-b, lan0, and 10.1.0.0/24 is announced to the peers: they get lost; " + four + keep},
		status.Hint{Text: "this host does not forward IPv6 packets, and 2001:db8:1::/64 is announced to the peers: they get lost; " + six + keep})
	// A router whose networks are its own addresses forwards nothing.
	cfg.Announce.Networks = cfg.Announce.Networks[1:2]
	w.announce()
	w.hinted(t, time.Now())
}

// A spoke with a list of hubs is connected to one of them, and the others know that by what it announces there: they wait for nobody.
func TestNoHintOfAPeerThatIsElsewhere(t *testing.T) {
	spoke, assigned, hub := peerConfig("spoke", 0), peerConfig("assigned", 1), peerConfig("hub", 2)
	prefix := netip.MustParsePrefix("10.100.100.26/32")
	spoke.BGP.Import = config.Policy{Prefixes: []config.PrefixFilter{{Prefix: prefix, Ge: 32, Le: 32}}}
	assigned.Tunnels[0].Assign = []netip.Prefix{prefix}
	hub.BGP.Import = config.Policy{Prefixes: []config.PrefixFilter{{Prefix: netip.MustParsePrefix("10.100.100.0/24"), Ge: 24, Le: 32}}}
	w := newWorld(t, router(spoke, assigned, hub))
	now := time.Now()
	w.tunnels.waits = map[string]time.Time{"spoke": now, "assigned": now}
	if got := w.hints(now.Add(time.Minute)); len(got) != 2 {
		t.Errorf("before anything is learned: %+v", got)
	}
	w.up(t, "hub")
	w.learns(t, "10.100.100.26/32", "hub")
	w.hinted(t, now.Add(time.Minute))
}

// Many peers that do not come are one hint.
func TestHintOfManyPeersThatDoNotCome(t *testing.T) {
	var peers []config.Peer
	now, waits := time.Now(), map[string]time.Time{}
	for i, name := range []string{"b", "c", "d", "e", "f"} {
		peers = append(peers, peerConfig(name, i))
		waits[name] = now
	}
	w := newWorld(t, router(peers...))
	w.tunnels.waits = waits
	w.hinted(t, now.Add(time.Minute), status.Hint{Text: "this router waits for 5 peers to connect and has not heard from them for 30s and longer: b, c, d and 2 more: " +
		"do they have remotes with this router's address and port, and do firewalls let them through?"})
}

// Two ends that list their tunnels in other orders each dial what the other one takes for another tunnel.
func TestHintOfTunnelsInAnotherOrder(t *testing.T) {
	second := withTunnel("if-b1", 1)
	second.Tunnels[0].Remotes = []config.Remote{{Host: "203.0.113.1", Port: 443}}
	second.Tunnels[1].Remotes = []config.Remote{{Host: "203.0.113.2", Port: 443}}
	w := newWorld(t, router(second))
	goes := func(first, second string) {
		w.tunnels.says = map[string]tunnel.Status{
			"b":   {State: tunnel.StateUp, Remote: netip.AddrPortFrom(netip.MustParseAddr(first), 40000)},
			"b/1": {State: tunnel.StateUp, Remote: netip.AddrPortFrom(netip.MustParseAddr(second), 443)},
		}
	}
	goes("203.0.113.1", "203.0.113.2")
	w.hinted(t, time.Now())
	goes("203.0.113.9", "203.0.113.2") // behind a NAT
	w.hinted(t, time.Now())
	goes("::ffff:203.0.113.2", "203.0.113.2")
	w.hinted(t, time.Now(), status.Hint{Peer: "b", Text: "tunnel on interface if-b: it goes to 203.0.113.2, which is of the remotes of the tunnel on interface if-b1: " +
		"a tunnel is known by its place among the [[tunnel]]s, which both ends must list in the same order; or give each its link, the same at both ends"})
}
