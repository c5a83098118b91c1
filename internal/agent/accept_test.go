package agent

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"warren/internal/config"
)

// acceptor writes a config with [accept] in which spokes are accepted, and returns what loads it.
func acceptor(t *testing.T) (dir string, load func() *config.Config) {
	t.Helper()
	dir = t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "peers.d"), 0o700); err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"}, IsCA: true, BasicConstraintsValid: true, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for name, data := range map[string][]byte{
		"ca.crt": cert, "tls.crt": cert, "tls.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
		"warren.toml": []byte(`name = "r"
asn = 64512
router_id = "10.0.0.1"
[tls]
listen = ["0.0.0.0:443"]
[accept]
ca_file = "ca.crt"
template = "spoke"
names = ["*.spokes.example"]
[template.spoke.bgp]
asn = 64530
import = ["any"]
`),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir, func() *config.Config {
		t.Helper()
		cfg, err := config.Load(filepath.Join(dir, "warren.toml"))
		if err != nil {
			t.Fatal(err)
		}
		return cfg
	}
}

// connects has a peer connect that a CA vouches for, and returns what it is told; it waits until
// the tunnel is there.
func (w *world) connects(t *testing.T, name string) error {
	t.Helper()
	told := make(chan error, 1)
	w.admission.Admit(name, func(err error) { told <- err })
	w.turn()
	select {
	case err := <-told:
		return err
	case <-time.After(patience):
		t.Fatal("nothing is said")
		return nil
	}
}

// patience of tests for what should take no time.
const patience = 40 * time.Second

// TestAccept: a peer that a CA vouches for gets a tunnel of its own, once, and keeps it over reloads
// while it is accepted.
func TestAccept(t *testing.T) {
	dir, load := acceptor(t)
	w := newWorld(t, load())
	if err := w.connects(t, "S1.spokes.example"); err != nil {
		t.Fatal(err)
	}
	for _, again := range []string{"s1.spokes.example", "s2.spokes.example"} {
		if err := w.connects(t, again); err != nil {
			t.Fatal(err)
		}
	}
	names := func() (all []string) {
		for _, p := range w.m.order {
			all = append(all, p.name)
		}
		return all
	}
	if got := names(); !slices.Equal(got, []string{"s1.spokes.example", "s2.spokes.example"}) || len(w.tunnels.open) != 2 {
		t.Fatalf("peers %q, tunnels %v", got, w.tunnels.open)
	}
	if err := w.connects(t, "s1.example"); err == nil || !strings.Contains(err.Error(), "matches none of accept.names") {
		t.Errorf("another name: %v", err)
	}
	w.up(t, "s1.spokes.example")
	if n := w.speaker.neighbors["s1.spokes.example"]; n.ASN != 64530 || len(w.speaker.neighbors) != 1 {
		t.Errorf("neighbors %v", w.speaker.neighbors)
	}
	mark := len(w.diary)
	if _, lines := w.reloads(t, load()); len(lines) > 0 || len(names()) != 2 || slices.Contains(w.since(mark), "close s1.spokes.example") {
		t.Errorf("a reload without a change: %q, %q", lines, w.since(mark))
	}
	// One gets a file of its own, which wins.
	file := "[tunnel]\nca_file = \"ca.crt\"\npeer_name = \"s2.spokes.example\"\n[bgp]\nasn = 64531\nimport = []\n"
	if err := os.WriteFile(filepath.Join(dir, "peers.d", "own.toml"), []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	w.reloads(t, load())
	if got := names(); !slices.Equal(got, []string{"own", "s1.spokes.example"}) {
		t.Errorf("with a file of its own: %q", got)
	}
	if err := w.connects(t, "s2.spokes.example"); err == nil || !strings.Contains(err.Error(), "is the name of a peer that is configured") {
		t.Errorf("with a file of its own: %v", err)
	}
}

// TestAcceptedIsForgotten: an accepted peer goes when it has had no tunnel for long.
func TestAcceptedIsForgotten(t *testing.T) {
	_, load := acceptor(t)
	w := newWorld(t, load())
	for _, name := range []string{"s1.spokes.example", "s2.spokes.example"} {
		if err := w.connects(t, name); err != nil {
			t.Fatal(err)
		}
	}
	w.up(t, "s1.spokes.example")
	w.ahead += acceptedFor - time.Second
	w.forgetAccepted(w.now())
	if len(w.accepted) != 2 {
		t.Errorf("too early: %v", w.accepted)
	}
	w.ahead += 2 * time.Second
	w.forgetAccepted(w.now())
	w.turn()
	if len(w.accepted) != 1 || w.m.peers["s1.spokes.example"] == nil || len(w.m.peers) != 1 {
		t.Errorf("accepted %v, peers %v", w.accepted, w.m.peers)
	}
	if err := w.connects(t, "s2.spokes.example"); err != nil {
		t.Errorf("again: %v", err)
	}
}
