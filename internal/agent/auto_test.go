package agent

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"warren/internal/config"
	"warren/internal/status"
	"warren/tunnel"
	"warren/tunnel/auto"
	"warren/tunnel/tlslink"
	"warren/tunnel/wireguard"
)

// WireGuard goes to the UDP port that is configured, once to each host, else to that of TCP.
func TestUDPRemotes(t *testing.T) {
	c := config.Tunnel{Remotes: []config.Remote{{Host: "a", Port: 443}, {Host: "a", Port: 8443}, {Host: "b", Port: 443}}}
	if got := udpRemotes(c); !slices.Equal(got, c.Remotes) {
		t.Errorf("%v", got)
	}
	c.UDPPort = 51820
	if got, want := udpRemotes(c), []config.Remote{{Host: "a", Port: 51820}, {Host: "b", Port: 51820}}; !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

// Both transports begin with the same remote, at random, or with the first if the tunnel returns to that.
func TestRemotesInOneOrder(t *testing.T) {
	listed := config.Tunnel{Remotes: []config.Remote{{Host: "a", Port: 1}, {Host: "b", Port: 2}, {Host: "c", Port: 3}}}
	if got := inOneOrder(listed); !slices.Equal(got.Remotes, listed.Remotes) {
		t.Errorf("listed: %v", got.Remotes)
	}
	for _, returns := range []bool{false, true} {
		c := listed
		c.RemoteOrder, c.ReturnToFirst = config.RemotesRandom, returns
		seen := make(map[string]int)
		for range 1000 {
			got := inOneOrder(c)
			if got.RemoteOrder != config.RemotesListed || c.RemoteOrder != config.RemotesRandom {
				t.Fatal("the transports have an order each")
			}
			seen[got.Remotes[0].Host+got.Remotes[1].Host+got.Remotes[2].Host]++
		}
		if want := map[bool]int{false: 6, true: 2}[returns]; len(seen) != want || returns && seen["abc"]+seen["acb"] != 1000 {
			t.Errorf("return_to_first %v: %v", returns, seen)
		}
		if c.Remotes[0].Host != "a" || c.Remotes[1].Host != "b" {
			t.Error("the config is another")
		}
	}
}

// What was left of one transport is nothing for the other, and two are no more than one.
func TestGoesOn(t *testing.T) {
	tls, wg, both := &tlslink.Handover{}, &wireguard.Handover{}, &auto.Handover{}
	for _, c := range []struct {
		was  leftTunnel
		goes string
	}{
		{leftTunnel{TLS: tls}, "tls"},
		{leftTunnel{WireGuard: wg}, "wireguard"},
		{leftTunnel{TLS: tls, Auto: both}, "auto"},
		{leftTunnel{WireGuard: wg, Auto: both}, "auto"},
		{leftTunnel{TLS: tls, WireGuard: wg, Auto: both}, "auto"},
		{leftTunnel{Auto: both}, ""},
		{leftTunnel{}, ""},
	} {
		for _, transport := range []string{"tls", "wireguard", "auto", "external"} {
			if got := c.was.goesOn(config.Tunnel{Transport: transport}); got != (transport == c.goes) {
				t.Errorf("%+v goes on over %s: %v", c.was, transport, got)
			}
		}
	}
}

// Status has both transports, and which one carries since when and why.
func TestStatusOfTwoTransports(t *testing.T) {
	b := peerConfig("b", 0)
	b.Tunnels[0].Transport = config.TransportAuto
	w := newWorld(t, router(b))
	w.up(t, "b")
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	w.tunnels.says = map[string]tunnel.Status{"b": {Transport: "auto", State: tunnel.StateUp, Ways: []tunnel.Way{
		{Status: tunnel.Status{Transport: "tls", State: tunnel.StateUp, Remote: netip.MustParseAddrPort("192.0.2.1:443"), RTT: time.Millisecond}, Loss: -1, Carries: true, At: at, Why: "lossy"},
		{Status: tunnel.Status{Transport: "wireguard", State: tunnel.StateUp, LastError: "before"}, Loss: 0.05},
	}}}
	p, _ := w.status().Peer("b")
	got := p.Tunnels[0]
	if got.Transport != "auto" || got.CarriedBy != "tls" || got.CarriedWhy != "lossy" || got.CarriedSince == nil || !got.CarriedSince.Equal(at) || len(got.Ways) != 2 {
		t.Fatalf("%+v", got)
	}
	if tls, wg := got.Ways[0], got.Ways[1]; tls.Remote != "192.0.2.1:443" || tls.Loss != nil || tls.RTT == 0 || wg.Loss == nil || *wg.Loss != 0.05 || wg.LastError != "before" || wg.Remote != "" {
		t.Errorf("%+v", got.Ways)
	}
	var table strings.Builder
	if err := status.Table(&table, w.status()); err != nil || !strings.Contains(table.String(), "auto/tls") {
		t.Errorf("%v\n%s", err, &table)
	}
}

// Either transport may be the one that still uses an old key.
func TestKeyHintOfTwoTransports(t *testing.T) {
	b := peerConfig("b", 0)
	b.Tunnels[0].Transport, b.Tunnels[0].Trust.Method = config.TransportAuto, config.TrustFingerprint
	w := newWorld(t, router(b))
	a := w.attachment("b")
	way := func(transport, key string, at int) tunnel.Way {
		return tunnel.Way{Status: tunnel.Status{Transport: transport, State: tunnel.StateUp, Key: key, KeyPlace: at}}
	}
	for _, c := range []struct {
		ways []tunnel.Way
		want string
	}{
		{[]tunnel.Way{way("tls", "SHA256:00", 1), way("wireguard", "x=", 1)}, ""},
		{[]tunnel.Way{way("tls", "SHA256:00", 2), way("wireguard", "x=", 1)}, "the second of fingerprints, SHA256:00"},
		{[]tunnel.Way{way("tls", "SHA256:00", 1), way("wireguard", "x=", 3)}, "the third of public_keys, x="},
	} {
		s := tunnel.Status{State: tunnel.StateUp, Key: "x=", KeyPlace: 1, Ways: c.ways}
		if got := keyHint(a, s, time.Now()); !strings.Contains(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
