package agent

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"warren/internal/config"
	"warren/internal/history"
	"warren/internal/status"
	"warren/tunnel"
)

func secretPeer(name string, link int, files ...string) config.Peer {
	p := peerConfig(name, link)
	p.Tunnels[0].Trust.Method = config.TrustSecret
	for _, f := range files {
		secret := make(config.Secret, config.SecretSize)
		copy(secret, f)
		p.Tunnels[0].Trust.Secrets = append(p.Tunnels[0].Trust.Secrets, config.SharedSecret{File: "/etc/warren/" + f, Secret: secret})
	}
	return p
}

const keptLine = "peer b: keys changed, a session stays whose key is still there (tunnel.secret_files)"

// Keys that are added, moved, taken away or in another file are no other tunnel.
func TestReloadOfOtherKeysKeepsTheTunnel(t *testing.T) {
	w := newWorld(t, router(secretPeer("b", 0, "old")))
	w.up(t, "b")
	for _, files := range [][]string{{"old", "new"}, {"new", "old"}, {"new"}} {
		noted, lines := w.reloads(t, router(secretPeer("b", 0, files...)))
		expect(t, "noted", noted, []string{"keys b", "guard [if-b]"})
		expect(t, "lines", lines, []string{keptLine})
	}
	moved := secretPeer("b", 0, "new")
	moved.Tunnels[0].Trust.Secrets[0].File = "/etc/warren/elsewhere"
	noted, lines := w.reloads(t, router(moved))
	expect(t, "noted", noted, []string{"keys b", "guard [if-b]"})
	expect(t, "lines", lines, nil)
	noted, _ = w.reloads(t, router(moved))
	expect(t, "the same again", noted, []string{"guard [if-b]"})
}

// What else changed is applied as well.
func TestReloadOfKeysAndMore(t *testing.T) {
	w := newWorld(t, router(secretPeer("b", 0, "old")))
	w.up(t, "b")
	b := secretPeer("b", 0, "old", "new")
	b.BGP.MaxPrefixes = 5
	noted, lines := w.reloads(t, router(b))
	expect(t, "noted", noted, []string{"keys b", "guard [if-b]", "policy b import [any] export [] limit 5"})
	expect(t, "lines", lines, []string{"peer b: filters changed, session kept (bgp.max_prefixes)", keptLine})
	b = secretPeer("b", 0, "new")
	b.Tunnels[0].MTU = 9000
	noted, lines = w.reloads(t, router(b))
	expect(t, "noted", noted, []string{"guard [if-b]", "delete neighbor b", "sessions have ended", "close b", "guard [if-b]", "open b on if-b"})
	expect(t, "lines", lines, []string{"peer b: tunnel changed, reconnecting (tunnel.mtu, tunnel.secret_files)"})
}

// A key that goes from one peer to another at work cannot be changed in place.
func TestReloadOfKeysThatTheTunnelRefuses(t *testing.T) {
	w := newWorld(t, router(secretPeer("b", 0, "old")))
	w.up(t, "b")
	w.tunnels.keysErr = errors.New("that is c's")
	noted, lines := w.reloads(t, router(secretPeer("b", 0, "new")))
	expect(t, "noted", noted, []string{"keys b", "guard [if-b]", "delete neighbor b", "sessions have ended", "close b", "guard [if-b]", "open b on if-b"})
	expect(t, "lines", lines, []string{"peer b: tunnel changed, reconnecting"})
}

// The keys of a tunnel that could not be opened yet are those that it is opened with.
func TestReloadOfKeysOfATunnelThatIsNotOpen(t *testing.T) {
	w := newWorld(t, router())
	w.tunnels.fail["b"] = errors.New("no such thing")
	w.reloads(t, router(secretPeer("b", 0, "old")))
	w.reloads(t, router(secretPeer("b", 0, "new")))
	if s := w.attachment("b").cfg.Trust.Secrets; len(s) != 1 || s[0].File != "/etc/warren/new" {
		t.Errorf("%+v", s)
	}
}

func certificate(from, to time.Time) *tls.Certificate {
	return &tls.Certificate{Certificate: [][]byte{{byte(from.Unix()), byte(to.Unix())}}, Leaf: &x509.Certificate{NotBefore: from, NotAfter: to}}
}

// A first certificate, another one, a first private key, another one: sessions stay, and
// peers that need them can come in the same reload.
func TestReloadOfOwnKeys(t *testing.T) {
	w := newWorld(t, router(peerConfig("b", 0)))
	w.up(t, "b")
	now := time.Now()
	next := router(peerConfig("b", 0), peerConfig("c", 1))
	next.TLS.Certificate = certificate(now.Add(-time.Hour), now.Add(time.Hour))
	next.WireGuard.PrivateKey = make(config.Secret, config.KeySize)
	next.WireGuard.PrivateKey[0] = 1
	noted, lines := w.reloads(t, next)
	expect(t, "noted", noted, []string{"private key 1", "certificate true", "guard [if-b if-c]", "open c on if-c"})
	expect(t, "lines", lines, []string{"wireguard: another private key, for handshakes from now on",
		"tls: another certificate, for connections from now on", "peer c: added"})
	again := *next
	again.TLS.Certificate = certificate(now.Add(-time.Minute), now.Add(time.Hour))
	noted, _ = w.reloads(t, &again)
	expect(t, "noted", noted, []string{"certificate true", "guard [if-b if-c]"})
}

// A new certificate that is not valid changes nothing; one that has run out meanwhile is no
// reason to refuse what else has changed.
func TestReloadOfACertificateThatIsNotValid(t *testing.T) {
	now := time.Now()
	before := router(peerConfig("b", 0))
	before.TLS.Certificate = certificate(now.Add(-2*time.Hour), now.Add(-time.Hour))
	w := newWorld(t, before)
	w.up(t, "b")
	for want, c := range map[string]*tls.Certificate{
		"/etc/warren/tls.crt expired on": certificate(now.Add(-3*time.Hour), now.Add(-time.Minute)),
		"is valid from":                  certificate(now.Add(time.Hour), now.Add(2*time.Hour)),
	} {
		next := router()
		next.TLS.CertFile, next.TLS.Certificate = "/etc/warren/tls.crt", c
		w.load = func() (*config.Config, error) { return next, nil }
		mark := len(w.diary)
		if _, err := w.reload(); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "nothing was changed") {
			t.Errorf("error %v, want one with %q", err, want)
		}
		expect(t, "noted", w.since(mark), nil)
	}
	next := router(peerConfig("b", 0), peerConfig("c", 1))
	next.TLS.Certificate = before.TLS.Certificate
	_, lines := w.reloads(t, next)
	expect(t, "lines", lines, []string{"peer c: added"})
}

// A private key that cannot be had leaves ports and names as they were.
func TestReloadOfAPrivateKeyThatIsRefused(t *testing.T) {
	before := router()
	before.TLS.ServerName, before.WireGuard.ListenPort = "www.example.net", 51820
	w := newWorld(t, before)
	w.keyErr = errors.New("it is that of a peer")
	next := router()
	next.WireGuard.PrivateKey = make(config.Secret, config.KeySize)
	w.load = func() (*config.Config, error) { return next, nil }
	mark := len(w.diary)
	if _, err := w.reload(); !errors.Is(err, w.keyErr) || w.cfg != before {
		t.Errorf("error %v", err)
	}
	expect(t, "noted", w.since(mark), []string{"port 0", "server name ", "private key 0", "port 51820", "server name www.example.net"})
}

func TestHintOfAKeyThatIsStillUsed(t *testing.T) {
	b, c, d := secretPeer("b", 0, "new", "old"), peerConfig("c", 1), peerConfig("d", 2)
	c.Tunnels[0].Trust.Method, d.Tunnels[0].Trust.Method = config.TrustFingerprint, config.TrustPublicKey
	w := newWorld(t, router(b, c, d))
	first := map[string]tunnel.Status{"b": {Key: "/etc/warren/new", KeyPlace: 1}, "c": {KeyPlace: 1}, "d": {Key: "x=", KeyPlace: 1}}
	w.tunnels.says = first
	w.hinted(t, time.Now())
	w.tunnels.says = map[string]tunnel.Status{
		"b": {Key: "/etc/warren/old", KeyPlace: 2}, "c": {Key: "SHA256:00", KeyPlace: 3}, "d": {Key: "y=", KeyPlace: 12},
	}
	w.hinted(t, time.Now(),
		status.Hint{Peer: "b", Text: "the session still uses the second of secret_files, /etc/warren/old: put the new one first in the peer's secret_files too before you remove it here"},
		status.Hint{Peer: "c", Text: "the session still uses the third of fingerprints, SHA256:00: replace the peer's before you remove it here"},
		status.Hint{Peer: "d", Text: "the session still uses the 12th of public_keys, y=: replace the peer's before you remove it here"})
	w.tunnels.says = map[string]tunnel.Status{"b": {Key: "/etc/warren/new"}}
	w.hinted(t, time.Now(), status.Hint{Peer: "b", Text: "the session still uses the secret that was replaced in /etc/warren/new: replace it at the peer too"})
	if got := w.tunnelStatus(w.attachment("b")); got.Key != "/etc/warren/new" || got.KeyPlace != 0 {
		t.Errorf("status %+v", got)
	}
}

// Over WireGuard the keys may be others than those that the tunnel came up with. Its derived
// addresses follow, but not while a BGP session has the old ones.
func TestAddressesFollowTheKeys(t *testing.T) {
	b, c := peerConfig("b", 0), peerConfig("c", 1)
	b.Tunnels[0].Transport, c.Tunnels[0].Transport = config.TransportWireGuard, config.TransportWireGuard
	c.Tunnels[0].Address, c.Tunnels[0].PeerAddress = []netip.Prefix{netip.MustParsePrefix("10.9.0.1/31")}, netip.MustParseAddr("10.9.0.0")
	w := newWorld(t, router(b, c))
	same := tunnel.Status{Local: tunnel.Identity{1}, Peer: tunnel.Identity{2}}
	w.tunnels.says = map[string]tunnel.Status{"b": same, "c": same}
	w.up(t, "b")
	w.up(t, "c")
	before := w.attachment("b").session.local
	step := func(what string, want ...string) {
		t.Helper()
		mark := len(w.diary)
		w.again()
		expect(t, what, w.since(mark), want)
	}
	step("the same keys")
	other := tunnel.Status{Local: tunnel.Identity{1}, Peer: tunnel.Identity{3}}
	w.tunnels.says = map[string]tunnel.Status{"b": other, "c": other}
	step("other keys, while there is a session")
	w.speaker.blocked = time.Now()
	local, _ := tunnel.Addresses(other.Local, other.Peer, 0)
	step("without a session", "ends of b are 1 and 3", "delete neighbor b", "addresses b from "+local.String(), "add neighbor b")
	if now := w.attachment("b").session.local; now != local || now == before || w.speaker.neighbors["b"].LocalAddr != local {
		t.Errorf("%v, and before %v", now, before)
	}
	step("again")
	if down, _, _ := w.history.Select(history.Query{}); slices.ContainsFunc(down, func(e history.Event) bool { return e.Kind == history.TunnelDown }) {
		t.Errorf("the tunnel was up all the time: %+v", down)
	}
}
