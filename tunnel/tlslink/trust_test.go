package tlslink

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"strings"
	"testing"
	"time"

	"warren/tunnel"
)

// TestRefusalsSaySo: what an operator got wrong is named in the dialing end's last
// error, and nobody gets up.
func TestRefusalsSaySo(t *testing.T) {
	ca, otherCA := newAuthority(t), newAuthority(t)
	a, b, c := ownCert(t, "a"), ownCert(t, "b"), ownCert(t, "c")
	named := ca.issue(t, &x509.Certificate{DNSNames: []string{"b", "b2"}, Subject: pkix.Name{CommonName: "x"}})
	old := ca.issue(t, &x509.Certificate{DNSNames: []string{"b"}, NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(-24 * time.Hour)})
	early := ca.issue(t, &x509.Certificate{DNSNames: []string{"b"}, NotBefore: time.Now().Add(24 * time.Hour), NotAfter: time.Now().Add(48 * time.Hour)})
	foreign := otherCA.issue(t, &x509.Certificate{DNSNames: []string{"b"}})
	self := tunnel.Identity{1}
	byName := func(name string) Trust { return Trust{CA: ca.pool, PeerName: name} }

	for name, tc := range map[string]struct {
		dialer, listener   Config
		dialerT, listenerT Trust
		link               uint16 // of the dialer
		want               string
		refusal            string // what the listener remembers
	}{
		"listener is another": {Config{Certificate: a}, Config{Certificate: b}, pin(c), pin(a), 0,
			"the peer's fingerprint is " + Fingerprint(pin(b).Fingerprints[0]) + ", expected is " + Fingerprint(pin(c).Fingerprints[0]), errRefusedUs.Error()},
		"dialer is another": {Config{Certificate: a}, Config{Certificate: b}, pin(b), pin(c), 0,
			"the peer refused this router's certificate (bad certificate), whose fingerprint is " + Fingerprint(pin(a).Fingerprints[0]), "no peer here has the fingerprint " + Fingerprint(pin(a).Fingerprints[0])},
		"other secret":   {Config{Identity: self}, Config{Identity: tunnel.Identity{2}}, secretTrust(1), secretTrust(2), 0, "the peer does not have this shared secret", errRefusedUs.Error()},
		"secret unknown": {Config{Identity: self}, Config{Certificate: b}, secretTrust(1), pin(a), 0, "the peer does not have this shared secret", errRefusedUs.Error()},
		"pin to secret":  {Config{Certificate: a}, Config{Identity: self}, pin(b), secretTrust(1), 0, "expected is " + Fingerprint(pin(b).Fingerprints[0]), errRefusedUs.Error()},
		"expired":        {Config{Certificate: a}, Config{Certificate: old}, byName("b"), pin(a), 0, "certificate expired on " + date(old.Leaf.NotAfter), errRefusedUs.Error()},
		"dialer expired": {Config{Certificate: old}, Config{Certificate: a}, pin(a), byName("b"), 0, "it expired on " + date(old.Leaf.NotAfter), "listener: the peer's certificate expired on " + date(old.Leaf.NotAfter)},
		"dialer expired, both by CA": {Config{Certificate: old}, Config{Certificate: named}, byName("b2"), byName("b"), 0,
			"it expired on " + date(old.Leaf.NotAfter) + ", and it is ", "listener: the peer's certificate expired on " + date(old.Leaf.NotAfter)},
		"dialer has another name": {Config{Certificate: named}, Config{Certificate: named}, byName("b2"), byName("c"), 0,
			`Is it signed by the CA that the peer has in ca_file, and is the peer's peer_name one of ["b" "b2"]?`, "no peer here has the fingerprint"},
		"not yet valid": {Config{Certificate: a}, Config{Certificate: early}, byName("b"), pin(a), 0, "check the clocks", errRefusedUs.Error()},
		"unknown CA":    {Config{Certificate: a}, Config{Certificate: foreign}, byName("b"), pin(a), 0, "not signed by the configured CA", errRefusedUs.Error()},
		"other name":    {Config{Certificate: a}, Config{Certificate: named}, byName("x"), pin(a), 0, `is for "b b2", expected is "x"`, errRefusedUs.Error()},
		"unknown link":  {Config{Certificate: a}, Config{Certificate: b}, pin(b), pin(a), 5, "the peer refused: no tunnel here has this peer and link number 5", "no tunnel here has this peer and link number 5"},
		"same identity": {Config{Identity: self}, Config{Identity: self}, secretTrust(1), secretTrust(1), 0, "connected to itself", "connected to itself"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, l := newEnd(t, tc.dialer, "dialer"), newEnd(t, tc.listener, "listener")
			l.start(tc.listenerT)
			d.cfg.Link = tc.link
			d.start(tc.dialerT, l.addr())
			d.waitError(tc.want)
			said := func() string {
				if all := l.endpoint.Refusals(time.Time{}); len(all) == 1 && all[0].Source.IsLoopback() {
					return all[0].Reason
				}
				return ""
			}
			poll(t, func() bool { return said() != "" && strings.Contains(said(), tc.refusal) },
				func() string { return fmt.Sprintf("remembered: %+v", l.endpoint.Refusals(time.Time{})) })
			if len(d.seen())+len(l.seen()) != 0 {
				t.Fatalf("a tunnel came up: %+v %+v", d.seen(), l.seen())
			}
		})
	}
}

func TestUnreachableRemotesSaySo(t *testing.T) {
	for name, tc := range map[string]struct{ remote, want string }{
		"refused": {"127.0.0.1:1", "127.0.0.1:1: connection refused: nothing listens there"},
		"no name": {"nowhere.invalid:443", "nowhere.invalid:443: "},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEnd(t, Config{Identity: tunnel.Identity{1}}, "a")
			e.start(secretTrust(0), tc.remote)
			e.waitError(tc.want)
		})
	}
}

// The next address is tried when one does not answer.
func TestEveryRemoteIsTried(t *testing.T) {
	a, b := secretPair(t)
	b.start(secretTrust(0))
	a.start(secretTrust(0), "127.0.0.1:1", "nowhere.invalid:443", b.addr())
	a.waitEvents(1)
}

func TestConfigMistakesAreRefused(t *testing.T) {
	e := NewEndpoint(Config{Identity: tunnel.Identity{1}})
	good := LinkConfig{Name: "p", Trust: secretTrust(0), Keepalive: time.Second, DeadAfter: 3 * time.Second, Device: newFakeDevice("p", 1)}
	for want, spoil := range map[string]func(*LinkConfig){
		"no device":                 func(c *LinkConfig) { c.Device = nil },
		"0 ways to trust":           func(c *LinkConfig) { c.Trust = Trust{} },
		"2 ways to trust":           func(c *LinkConfig) { c.Trust.Fingerprints = [][32]byte{{1}} },
		"it must have 32":           func(c *LinkConfig) { c.Trust = Trust{Secrets: []Secret{{Key: []byte("short")}}} },
		"one byte repeated":         func(c *LinkConfig) { c.Trust = Trust{Secrets: []Secret{{Key: make([]byte, 32)}}} },
		"needs a peer name":         func(c *LinkConfig) { c.Trust = Trust{CA: x509.NewCertPool()} },
		"router has no certificate": func(c *LinkConfig) { c.Trust = Trust{Fingerprints: [][32]byte{{1}}} },
		"want host:port":            func(c *LinkConfig) { c.Remotes = []string{"host"} },
		"keepalive":                 func(c *LinkConfig) { c.Keepalive = 0 },
		"at least twice the":        func(c *LinkConfig) { c.DeadAfter = time.Second },
	} {
		c := good
		spoil(&c)
		if _, err := e.AddLink(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	if _, err := e.AddLink(good); err != nil {
		t.Fatal(err)
	}
	if _, err := e.AddLink(good); err == nil || !strings.Contains(err.Error(), "also that of p") {
		t.Fatalf("a second link with the same number: %v", err)
	}
	good.Link = 1
	good.Keepalive, good.DeadAfter = 20*time.Millisecond, 50*time.Millisecond // the shortest
	if _, err := e.AddLink(good); err != nil {
		t.Fatal(err)
	}
}

// Both ends of a tunnel derive these, perhaps with different versions.
func TestSecretDerivationStaysTheSame(t *testing.T) {
	k, err := deriveSecret(secretTrust(0).Secrets[0].Key)
	if err != nil {
		t.Fatal(err)
	}
	const want = "2e458be2ae8afb78c76ac165c03b5ee6.warren"
	if k.serverName != want {
		t.Fatalf("server name %s, want %s", k.serverName, want)
	}
	if samePublicKey(k.dialer.Leaf, &k.listener) || !samePublicKey(k.dialer.Leaf, &k.dialer) {
		t.Fatal("the two ends must have different keys")
	}
}
