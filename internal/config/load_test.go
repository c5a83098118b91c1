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

	"warren/internal/keys"
)

const (
	routerText = "name = \"r\"\nasn = 64512\nrouter_id = \"10.0.0.1\"\n[tls]\nlisten = [\"[::]:443\"]\n"
	peerText   = "[bgp]\nasn = 64513\nimport = []\n[tunnel]\n"
)

// setUp writes warren.toml and files beside it into a directory with keys.
func setUp(t *testing.T, router string, files map[string]string) (path string) {
	t.Helper()
	dir := keyDir(t)
	write(t, filepath.Join(dir, "warren.toml"), router)
	for name, text := range files {
		write(t, filepath.Join(dir, name), text)
	}
	return filepath.Join(dir, "warren.toml")
}

func load(t *testing.T, path string) *Config {
	t.Helper()
	cfg, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func mustFail(t *testing.T, path, want string) {
	t.Helper()
	_, err := Load(path)
	var all Errors
	if !errors.As(err, &all) || len(all) != 1 || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want one mistake with %q", err, want)
	}
}

func TestDefaults(t *testing.T) {
	path := setUp(t, "asn = 64512\nrouter_id = \"10.0.0.1\"\n", map[string]string{
		"peers.d/b.toml": peerText + "secret_file = \"b.secret\"\nremotes = [\"192.0.2.1:443\"]\n",
	})
	cfg := load(t, path)
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Name != host || cfg.Path != path {
		t.Errorf("name %q, path %q", cfg.Name, cfg.Path)
	}
	if !cfg.Announce.Equal(Announce{Interfaces: []string{"*"}}) {
		t.Errorf("announce %+v", cfg.Announce)
	}
	if want := (FIB{Table: 254, Metric: 20, Protocol: 186}); cfg.FIB != want {
		t.Errorf("fib %+v", cfg.FIB)
	}
	if want := (API{Gobgp: "127.0.0.1:50051", Socket: "/run/warren/warren.sock"}); cfg.API != want {
		t.Errorf("api %+v", cfg.API)
	}
	want := Tunnel{
		Transport: "tls", Remotes: []Remote{{"192.0.2.1", 443}}, Trust: cfg.Peers[0].Tunnels[0].Trust,
		Interface: "b", MTU: 1500, Keepalive: time.Second, DeadAfter: 3 * time.Second,
		RemoteOrder: RemotesListed, ConnectTimeout: 2 * time.Second, Weight: 1, Congestion: CongestionAuto,
	}
	if got := cfg.Peers[0].Tunnels[0]; !got.Equal(want) || len(got.Trust.Secrets) != 1 || len(got.Trust.Secrets[0].Secret) != SecretSize {
		t.Errorf("tunnel %+v", got)
	}
	if got := cfg.Peers[0].BGP; !got.Equal(PeerBGP{ASN: 64513, Export: Policy{Own: true}, MaxPrefixes: 1000, HardMaxPrefixes: 2000}) {
		t.Errorf("bgp %+v", got)
	}
}

func TestWhichFilesArePeers(t *testing.T) {
	peer := peerText + "secret_file = \"%.secret\"\n"
	path := setUp(t, routerText, map[string]string{
		"peers.d/b.toml":          strings.Replace(peer, "%", "b", 1),
		"peers.d/a.toml":          strings.Replace(peer, "%", "a", 1),
		"peers.d/.c.toml":         "wrong",
		"peers.d/.#c.toml":        "wrong",
		"peers.d/c.toml~":         "wrong",
		"peers.d/#c.toml#":        "wrong",
		"peers.d/c.toml.bak":      "wrong",
		"peers.d/README":          "wrong",
		"peers.d/c/ignored":       "wrong",
		"elsewhere/from-afar.txt": strings.Replace(peer, "%", "c", 1),
	})
	dir := filepath.Dir(path)
	if err := os.Symlink("../elsewhere/from-afar.txt", filepath.Join(dir, "peers.d", "linked.toml")); err != nil {
		t.Fatal(err)
	}
	cfg := load(t, path)
	var names []string
	for _, p := range cfg.Peers {
		names = append(names, p.Name)
	}
	if !slices.Equal(names, []string{"a", "b", "linked"}) {
		t.Errorf("peers %v", names)
	}
	var unread []string
	for _, f := range cfg.Unread {
		unread = append(unread, filepath.Base(f))
	}
	if !slices.Equal(unread, []string{"#c.toml#", "README", "c", "c.toml.bak", "c.toml~"}) {
		t.Errorf("unread %v", unread)
	}

	if err := os.Mkdir(filepath.Join(dir, "peers.d", "dir.toml"), 0o700); err != nil {
		t.Fatal(err)
	}
	mustFail(t, path, "dir.toml: cannot be read: is not a regular file")
	if err := os.RemoveAll(filepath.Join(dir, "peers.d")); err != nil {
		t.Fatal(err)
	}
	if cfg := load(t, path); len(cfg.Peers) != 0 {
		t.Errorf("without peers.d: %v", cfg.Peers)
	}
	write(t, filepath.Join(dir, "peers.d"), "")
	mustFail(t, path, "peers.d: cannot be read: not a directory")
	mustFail(t, filepath.Join(dir, "nowhere.toml"), "nowhere.toml: cannot be read: no such file or directory")
}

func TestRelativePath(t *testing.T) {
	path := setUp(t, routerText, map[string]string{"peers.d/b.toml": peerText + "secret_file = \"b.secret\"\n"})
	t.Chdir(filepath.Dir(path))
	cfg := load(t, "warren.toml")
	if cfg.Path != path || cfg.TLS.KeyFile != filepath.Join(filepath.Dir(path), "tls.key") || cfg.Peers[0].File != "peers.d/b.toml" {
		t.Errorf("%q %q %q", cfg.Path, cfg.TLS.KeyFile, cfg.Peers[0].File)
	}
}

// TestCertificate checks when the router needs a certificate of its own.
func TestCertificate(t *testing.T) {
	path := setUp(t, routerText, map[string]string{"peers.d/b.toml": peerText + "secret_file = \"b.secret\"\n"})
	dir := filepath.Dir(path)
	crt, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")

	own := load(t, path).TLS.Certificate
	if own == nil || own.Leaf == nil {
		t.Fatal("the default files were not loaded")
	}
	write(t, filepath.Join(dir, "peers.d", "b.toml"), peerText+"fingerprint = \""+keys.Fingerprint(own.Leaf.Raw)+"\"\n")
	mustFail(t, path, "b.toml:5: tunnel.fingerprint: is the fingerprint of this router's own certificate")

	if err := os.Chmod(key, 0o640); err != nil {
		t.Fatal(err)
	}
	mustFail(t, path, "warren.toml:4: tls.key_file: "+key+": others than the owner can use it (mode 0640); run: chmod 600 "+key)

	other := t.TempDir()
	if _, err := keys.Router(other); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(other, "tls.key"), key); err != nil {
		t.Fatal(err)
	}
	mustFail(t, path, "private key does not match public key")

	os.Remove(key)
	mustFail(t, path, key+": no such file or directory; `warren keygen` makes it")
	os.Remove(crt)
	write(t, filepath.Join(dir, "peers.d", "b.toml"), peerText+"secret_file = \"b.secret\"\n")
	if cfg := load(t, path); cfg.TLS.Certificate != nil {
		t.Error("a certificate out of nothing")
	}
	write(t, path, routerText+"cert_file = \"tls.crt\"\nkey_file = \""+filepath.Join(other, "tls.key")+"\"\n")
	if _, err := Load(path); err == nil {
		t.Error("named files may be missing")
	}
}

// TestEqual changes one thing at a time and asks what a reload would see.
func TestEqual(t *testing.T) {
	const tunnel = "address = [\"fe80::1/64\"]\npeer_address = \"fe80::2\"\nremotes = [\"192.0.2.1:443\"]\n"
	path := setUp(t, routerText, map[string]string{"peers.d/b.toml": peerText + tunnel + "secret_file = \"b.secret\"\n"})
	dir := filepath.Dir(path)
	peer := filepath.Join(dir, "peers.d", "b.toml")
	now := func() Peer { return load(t, path).Peers[0] }
	expect := func(what string, old Peer, tunnel, bgp bool) {
		t.Helper()
		p := now()
		if p.Tunnels[0].Equal(old.Tunnels[0]) != tunnel || p.BGP.Equal(old.BGP) != bgp || p.Equal(old) != (tunnel && bgp) {
			t.Errorf("%s: tunnel equal %v, bgp equal %v", what, p.Tunnels[0].Equal(old.Tunnels[0]), p.BGP.Equal(old.BGP))
		}
	}

	old := now()
	expect("nothing", old, true, true)
	if err := os.Rename(filepath.Join(dir, "b.secret"), filepath.Join(dir, "moved")); err != nil {
		t.Fatal(err)
	}
	write(t, peer, "# comment\n"+peerText+tunnel+"secret_file = \"moved\"\nmtu = 1500")
	expect("another place, the defaults spelled out", old, true, true)
	os.Remove(filepath.Join(dir, "moved"))
	if err := keys.Secret(filepath.Join(dir, "moved")); err != nil {
		t.Fatal(err)
	}
	expect("another secret in the same file", old, false, true)

	for _, ca := range []string{"peer_name = \"b\"\n", "peer_name = \"c\"\n"} {
		write(t, peer, peerText+tunnel+"ca_file = \"ca.crt\"\n"+ca)
		expect("another trust", old, false, true)
		old = now()
		expect("the same CA", old, true, true)
	}
	write(t, filepath.Join(dir, "ca.crt"), makeCA(t))
	expect("another CA in the same file", old, false, true)

	base := peerText + tunnel + "secret_file = \"a.secret\"\n"
	write(t, peer, base)
	old = now()
	for _, more := range []string{"link = 1", "interface = \"t\"", "mtu = 9000", "underlay = \"eth0\"", "keepalive = \"500ms\"", "dead_after = \"4s\""} {
		write(t, peer, base+more)
		expect(more, old, false, true)
	}
	for from, to := range map[string]string{"fe80::1/64": "fe80::3/64", "fe80::2": "fe80::4", "192.0.2.1": "192.0.2.2"} {
		write(t, peer, strings.Replace(base, from, to, 1))
		expect(to, old, false, true)
	}
	for _, change := range []string{"asn = 64514\nimport = []", "asn = 64513\nimport = [\"any\"]", "asn = 64513\nimport = [\"10.0.0.0/8 le 9\"]",
		"asn = 64513\nimport = []\nexport = [\"own\", \"default\"]", "asn = 64513\nimport = []\nmax_prefixes = 5"} {
		write(t, peer, strings.Replace(base, "asn = 64513\nimport = []", change, 1))
		expect(change, old, true, false)
	}
}

func TestTLSEqual(t *testing.T) {
	path := setUp(t, routerText, nil)
	a, b := load(t, path), load(t, path)
	if !a.TLS.Equal(b.TLS) {
		t.Error("the same is not equal")
	}
	b.TLS.Listen = []netip.AddrPort{netip.MustParseAddrPort("[::]:444")}
	if a.TLS.Equal(b.TLS) {
		t.Error("another port is equal")
	}
	b = load(t, setUp(t, routerText, nil))
	if a.TLS.Equal(b.TLS) {
		t.Error("another certificate is equal")
	}
	b.TLS.Certificate = nil
	if a.TLS.Equal(b.TLS) || b.TLS.Equal(a.TLS) {
		t.Error("no certificate is equal to one")
	}
}

func TestDerivedPeerAddress(t *testing.T) {
	for in, want := range map[string]string{
		"10.0.0.1/31": "10.0.0.0", "10.0.0.0/31": "10.0.0.1", "10.0.0.1/30": "10.0.0.2", "10.0.0.2/30": "10.0.0.1",
		"fd00::/127": "fd00::1", "fd00::1/127": "fd00::", "255.255.255.254/31": "255.255.255.255",
	} {
		if got, ok := otherHost(netip.MustParsePrefix(in)); !ok || got.String() != want {
			t.Errorf("%s: %v, want %s", in, got, want)
		}
	}
	for _, in := range []string{"10.0.0.1/29", "10.0.0.1/32", "fd00::1/126", "fd00::1/128"} {
		if got, ok := otherHost(netip.MustParsePrefix(in)); ok {
			t.Errorf("%s: %v", in, got)
		}
	}
}

func TestTables(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "rt_tables")
	write(t, file, "# a comment\n255\tlocal\n254 main\n\n100  peers # ours\n0x65 hex\n#7 off\nx bad\n")
	write(t, filepath.Join(dir, "d", "own.conf"), "102 own\n103 peers\n")
	defer func(files []string) { tableFiles = files }(tableFiles)
	tableFiles = []string{filepath.Join(dir, "absent"), file, filepath.Join(dir, "d", "*.conf")}
	for in, want := range map[string]uint32{"main": 254, "default": 253, "peers": 100, "hex": 101, "own": 102, "1": 1, "4294967295": 4294967295} {
		if got, err := parseTable(in); err != nil || uint32(got) != want {
			t.Errorf("%s: %d, %v", in, got, err)
		}
	}
	for _, in := range []string{"local", "255", "0", "", "off", "bad", "unspec", "-1", "4294967296", "ours", "1.0"} {
		if got, err := parseTable(in); err == nil {
			t.Errorf("%s: %d", in, got)
		}
	}
}

// TestExternalNeedsNothingElse: no listening, no certificate, no trust.
func TestExternalNeedsNothingElse(t *testing.T) {
	path := setUp(t, "asn = 64512\nrouter_id = \"10.0.0.1\"\n", map[string]string{
		"peers.d/b.toml": peerText + "transport = \"external\"\ninterface = \"tun0\"\npeer_address = \"fe80::2\"\n",
		"peers.d/c.toml": peerText + "transport = \"external\"\ninterface = \"wg0\"\npeer_address = \"10.8.0.2\"\nprobe = \"none\"\nkeepalive = \"5s\"\n",
	})
	for _, name := range []string{"tls.crt", "tls.key"} {
		if err := os.Remove(filepath.Join(filepath.Dir(path), name)); err != nil {
			t.Fatal(err)
		}
	}
	cfg := load(t, path)
	b, c := cfg.Peers[0].Tunnels[0], cfg.Peers[1].Tunnels[0]
	if b.Probe != ProbeICMP || b.Keepalive != time.Second || b.DeadAfter != 3*time.Second || len(b.Address) > 0 || b.MTU != 0 {
		t.Errorf("b: %+v", b)
	}
	if c.Probe != ProbeNone || c.Keepalive != 5*time.Second || c.DeadAfter != 0 {
		t.Errorf("c: %+v", c)
	}
	if cfg.TLS.Certificate != nil || b.Equal(c) {
		t.Errorf("%+v", cfg)
	}
}
