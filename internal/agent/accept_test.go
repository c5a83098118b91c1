package agent

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"warren/internal/config"
	"warren/tunnel/tlslink"
	"warren/tunnel/tun"
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

// rewrite replaces text in the acceptor's warren.toml.
func rewrite(t *testing.T, dir, before, after string) {
	t.Helper()
	path := filepath.Join(dir, "warren.toml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), before) {
		t.Fatalf("%q is not in %s", before, text)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), before, after, 1)), 0o600); err != nil {
		t.Fatal(err)
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

// After `warren restart` the accepted peers are there at once, as those with a file are: their tunnels take the interfaces that were
// left, and are waited for; what is remembered of them stays. Only what the config does not accept any more goes.
func TestAcceptedPeersAreHandedOver(t *testing.T) {
	for _, older := range []bool{false, true} { // older: a daemon that does not say which peers were accepted
		t.Run(fmt.Sprintf("older=%v", older), func(t *testing.T) { testAcceptedPeersAreHandedOver(t, older) })
	}
}

func testAcceptedPeersAreHandedOver(t *testing.T, older bool) {
	dir, load := acceptor(t)
	rewrite(t, dir, `import = ["any"]`, "import = [\"any\"]\nunreachable = true")
	before := newWorld(t, load())
	const s1, s2, s3 = "s1.spokes.example", "s2.spokes.example", "s3.spokes.example"
	for _, name := range []string{s1, s2, s3} {
		if err := before.connects(t, name); err != nil {
			t.Fatal(err)
		}
		before.up(t, name)
	}
	before.learns(t, "10.2.0.0/16", s1)
	before.orders(t, "drain", s2)
	came := before.now().Add(-time.Hour)
	is := left{Version: HandoverVersion, Kept: before.state.kept.peers(), Orders: &before.m.orders, Accepted: before.leaveAccepted()}
	if older {
		is.Accepted = nil
	}
	for _, name := range []string{s1, s2, s3} {
		fd, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		device := tun.Handover{Name: before.attachment(name).cfg.Interface, Queues: []int{fd}, Writer: fd}
		is.Tunnels = append(is.Tunnels, leftTunnel{Name: name, Device: device, TLS: &tlslink.Handover{}, Came: came})
	}
	state, err := json.Marshal(is)
	if err != nil {
		t.Fatal(err)
	}
	var n left
	if err := json.Unmarshal(state, &n); err != nil {
		t.Fatal(err)
	}
	rewrite(t, dir, `"*.spokes.example"`, `"s[12].spokes.example"`)
	next := newWorldWith(t, load(), func(w *world) { w.resuming, w.left = newResumption(&n), newLeftovers(&n) })

	for _, name := range []string{s1, s2} {
		a := next.attachment(name)
		if a == nil {
			t.Fatalf("%s is not known: %q", name, next.diary)
		}
		if !slices.Contains(next.diary, "open "+name+" on "+a.cfg.Interface) {
			t.Errorf("the tunnel of %s is not opened: %q", name, next.diary)
		}
		if was := next.left.take(a.cfg.Interface); was == nil || was.Device.Close() != nil {
			t.Errorf("nothing is left of the interface of %s", name)
		}
	}
	if next.attachment(s3) != nil || len(next.left.all) != 1 || next.left.all[0].Name != s3 {
		t.Errorf("left are %+v", next.left.all)
	}
	if kept := next.state.kept.peers(); len(kept) != 1 || !next.m.orders.isDrained(s2) {
		t.Errorf("remembered are %v, and %s is drained: %v", kept, s2, next.m.orders.isDrained(s2))
	}
	next.up(t, s1)
	if next.resumed(false); next.resuming == nil {
		t.Fatal("a tunnel that was up is not waited for")
	}
	next.up(t, s2)
	if next.resumed(false); next.resuming != nil {
		t.Fatal("all tunnels are up, and waited for still")
	}
	if a := next.attachment(s1); !a.session.came.Equal(came) || len(next.left.all) > 0 {
		t.Errorf("up since %v, left are %+v", a.session.came, next.left.all)
	}
	next.ahead += acceptedFor + time.Second
	next.forgetAccepted(next.now())
	if len(next.accepted) != 2 {
		t.Errorf("accepted are %v", next.accepted)
	}
}

// A peer that is configured no longer is no accepted one after a restart, whatever [accept] lets in.
func TestRemovedPeersAreNotAccepted(t *testing.T) {
	_, load := acceptor(t)
	n := &left{Accepted: map[string]time.Time{}, Up: []string{"b.spokes.example"}, Orders: &orders{Down: map[string]*takenDown{"b.spokes.example": {}}}}
	w := newWorldWith(t, load(), func(w *world) { w.resuming, w.left = newResumption(n), newLeftovers(n) })
	if len(w.accepted) > 0 || len(w.m.peers) > 0 {
		t.Errorf("accepted %v, peers %v", w.accepted, w.m.peers)
	}
}
