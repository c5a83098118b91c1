package config

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// FuzzLoad gives any bytes as warren.toml and as a peer's file. Whatever they
// are, the result is a Config that keeps its promises or Errors that each
// point at a line that exists.
func FuzzLoad(f *testing.F) {
	for _, name := range []string{"reference", "minimal/site-a", "minimal/site-b"} {
		router, err := os.ReadFile(filepath.Join(shipped, name, "warren.toml"))
		if err != nil {
			f.Fatal(err)
		}
		peers, err := filepath.Glob(filepath.Join(shipped, name, "peers.d", "*.toml"))
		if err != nil || len(peers) == 0 {
			f.Fatal(name, err)
		}
		for _, file := range peers {
			peer, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(router, peer)
		}
	}
	f.Add([]byte(routerText), []byte(peerText+"secret_file = \"a.secret\"\n"))
	f.Add([]byte(routerText), []byte("[bgp]\nasn = 64513\nimport = []\n[[tunnel]]\nsecret_file = \"a.secret\"\nx = \"\"\"\n[[tunnel]]\n\"\"\"\n[[tunnel]]\nlink = 7\n"))
	f.Add([]byte(routerText+"[template.t.tunnel]\nsecret_file = \"{name}.secret\"\n[template.t.bgp]\nasn = 64513\nimport = []\n"),
		[]byte("[peer]\na = { template = \"t\" }\n[peer.b]\ntemplate = \"t\"\n[[peer.b.tunnel]]\nmtu = 1400\n[[peer.b.tunnel]]\n[peer.c.bgp]\nasn = 64514\nimport = [ # [\n]\n[peer.c.tunnel]\nsecret_file = \"c.secret\"\n"))
	f.Add([]byte(acceptText+"[template.spoke.bgp]\nasn = 64513\nimport = []\n[[template.spoke.tunnel]]\nmtu = 1400\n[[template.spoke.tunnel]]\ninterface = \"{name}-b\"\n"), []byte("[peer]\n"))
	f.Add([]byte("a.b.c = {d = [[1, 2], ['''x''']]}\n[[a]]"), []byte("\xef\xbb\xbf[bgp]\nimport = [\"\"\"\"\"\"\"\"]"))
	f.Add([]byte("\xff\xfe\x00a"), []byte("\"\\u0000\" = 1\n\"\" = nan\n"))

	dir := keyDir(f)
	f.Fuzz(func(t *testing.T, router, peer []byte) {
		kept := apiLines(string(router))
		(&loader{}).decode("warren.toml", []byte(kept), &rawRouter{})
		if strings.Count(kept, "\n") > strings.Count(string(router), "\n")+1 {
			t.Fatalf("%q: the lines are not where they were", kept)
		}
		l := &loader{}
		cfg, err := l.load(source{filepath.Join(dir, "warren.toml"), router},
			[]source{{filepath.Join(dir, "peers.d", "b.toml"), peer}})
		if err == nil {
			checkPromises(t, cfg)
			return
		}
		var all Errors
		if !errors.As(err, &all) || len(all) == 0 {
			t.Fatalf("%T %v", err, err)
		}
		for _, e := range all {
			text := router
			if strings.HasSuffix(e.File, "b.toml") {
				text = peer
			}
			if lines := strings.Count(string(text), "\n") + 1; e.Line < 1 || e.Line > lines || e.Text == "" {
				t.Fatalf("%v: of %d lines", e, lines)
			}
		}
	})
}

// checkPromises checks what the types' comments say.
func checkPromises(t *testing.T, cfg *Config) {
	t.Helper()
	ok := checkName(cfg.Name) == nil && checkASN(int64(cfg.ASN)) == nil && cfg.RouterID.Is4() &&
		len(cfg.Announce.Interfaces) > 0 && filepath.IsAbs(cfg.TLS.CertFile) && filepath.IsAbs(cfg.API.Socket) &&
		cfg.FIB.Table > 0 && cfg.FIB.Table != tableLocal && cfg.FIB.Metric > 0 && cfg.FIB.Protocol >= 5 &&
		(!cfg.FIB.Source4.IsValid() || cfg.FIB.Source4.Is4()) && (!cfg.FIB.Source6.IsValid() || cfg.FIB.Source6.Is6()) &&
		!slices.ContainsFunc(cfg.Announce.Networks, func(n netip.Prefix) bool { return n != n.Masked() })
	names, interfaces := map[string]bool{}, map[string]bool{}
	for _, p := range cfg.Peers {
		ok = ok && checkASN(int64(p.BGP.ASN)) == nil && !p.BGP.Import.Own && p.BGP.MaxPrefixes > 0 &&
			len(p.Tunnels) > 0 != p.BGP.LAN.IsSet() && len(p.Tunnels) <= maxTables && len(p.BGP.LAN.Password) <= MaxPassword &&
			(p.BGP.LAN.Interface != "" || !p.BGP.LAN.Address.Is6() || !p.BGP.LAN.Address.IsLinkLocalUnicast()) && p.Equal(p) && checkName(p.Name) == nil && !names[p.Name]
		names[p.Name] = true
		links := map[int]bool{}
		for _, t := range p.Tunnels {
			ok = ok && checkInterface(t.Interface) == nil && keeps(cfg, t) && t.Link >= 0 && t.Link <= maxLink &&
				t.Weight >= 1 && t.Weight <= 256 && t.Preference >= 0 && t.Preference <= 255 && !links[t.Link] && !interfaces[t.Interface]
			links[t.Link], interfaces[t.Interface] = true, true
		}
	}
	if !ok {
		t.Fatalf("%+v", cfg)
	}
	cfg.Warnings(Host{}, time.Now())
	if p, err := cfg.AcceptedPeer("x.spokes.example.net"); err == nil {
		for _, made := range p.Tunnels {
			if checkInterface(made.Interface) != nil || interfaces[made.Interface] || !isOwn(made, MaxMTU) || len(made.Remotes) > 0 ||
				made.Trust.Method != TrustCA || made.Trust.PeerName != "x.spokes.example.net" {
				t.Fatalf("accepted: %+v", p)
			}
			interfaces[made.Interface] = true
		}
	}
}

// keeps checks what the comments say of the tunnels of each transport.
func keeps(cfg *Config, t Tunnel) bool {
	switch t.Transport {
	case TransportExternal:
		return isExternal(t)
	case TransportWireGuard:
		probed := t.Probe == ProbeNone && t.Keepalive == 0 && t.DeadAfter == 0 ||
			t.Probe == ProbeICMP && t.Keepalive > 0 && t.DeadAfter >= 2*t.Keepalive
		trusted := t.Trust.Method == TrustSecret || t.Trust.Method == TrustPublicKey && (cfg.WireGuard.PrivateKey != nil || t.Trust.PrivateKey != nil)
		return isOwn(t, MaxWireGuardMTU) && probed && trusted && (len(t.Remotes) > 0 || cfg.WireGuard.ListenPort > 0) &&
			(t.PersistentKeepalive == 0 || t.Keepalive == 0 || t.PersistentKeepalive < t.Keepalive)
	case TransportAuto:
		certified := t.Trust.Method == TrustFingerprint || t.Trust.Method == TrustCA
		keyed := len(t.Trust.PublicKeys) > 0 && (cfg.WireGuard.PrivateKey != nil || t.Trust.PrivateKey != nil)
		return isOwn(t, MaxWireGuardMTU) && t.Probe == "" && t.PersistentKeepalive == 0 && t.Keepalive > 0 && t.DeadAfter >= 2*t.Keepalive &&
			(len(t.Remotes) > 0 || len(cfg.TLS.Listen) > 0 && cfg.WireGuard.ListenPort > 0) &&
			(t.Trust.Method == TrustSecret || certified && keyed && cfg.TLS.Certificate != nil)
	default:
		return isOwn(t, MaxMTU) && t.Probe == "" && t.PersistentKeepalive == 0 &&
			t.Keepalive > 0 && t.DeadAfter >= 2*t.Keepalive &&
			(len(t.Remotes) > 0 || len(cfg.TLS.Listen) > 0) && t.Trust.Method != 0 && t.Trust.Method != TrustPublicKey &&
			(t.Trust.Method == TrustSecret || cfg.TLS.Certificate != nil)
	}
}

// isOwn checks what the comments say of tunnels that Warren makes.
func isOwn(t Tunnel, maxMTU int) bool {
	dials := (t.RemoteOrder == RemotesListed || t.RemoteOrder == RemotesRandom) && t.ConnectTimeout >= 100*time.Millisecond && t.ConnectTimeout <= time.Minute
	return dials && MinMTU <= t.MTU && t.MTU <= maxMTU && t.PeerAddress.IsValid() == (len(t.Address) > 0)
}

// isExternal checks what Tunnel's comment says of external ones.
func isExternal(t Tunnel) bool {
	probed := t.Probe == ProbeICMP && t.DeadAfter >= 2*t.Keepalive || t.Probe == ProbeNone && t.DeadAfter == 0
	return probed && t.Keepalive > 0 && t.PeerAddress.IsValid() && t.Equal(Tunnel{
		Transport: TransportExternal, Interface: t.Interface, Address: t.Address, PeerAddress: t.PeerAddress,
		Probe: t.Probe, Keepalive: t.Keepalive, DeadAfter: t.DeadAfter, Link: t.Link, Weight: t.Weight, Preference: t.Preference,
	})
}
