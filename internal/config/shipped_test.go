package config

import (
	"bytes"
	"crypto/x509"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"warren/internal/manual"
)

const shipped = "../../configs"

// shippedCopy copies a shipped config into a directory that has the keys.
func shippedCopy(t *testing.T, name string) (path string) {
	t.Helper()
	dir := keyDir(t)
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(shipped, name))); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "warren.toml")
}

// TestShippedConfigsLoad loads every warren.toml below configs.
func TestShippedConfigsLoad(t *testing.T) {
	var names []string
	err := filepath.WalkDir(shipped, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Name() == "warren.toml" {
			names = append(names, strings.TrimPrefix(filepath.Dir(path), shipped+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"reference", "minimal/site-a", "minimal/site-b"} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is not there", want)
		}
	}
	for _, name := range names {
		if cfg := load(t, shippedCopy(t, name)); len(cfg.Peers) == 0 {
			t.Errorf("%s has no peers", name)
		}
	}
}

// TestMinimalPairFits checks that the two minimal configs are two ends of one
// tunnel: either end trusts, reaches and accepts the other.
func TestMinimalPairFits(t *testing.T) {
	a, b := load(t, shippedCopy(t, "minimal/site-a")), load(t, shippedCopy(t, "minimal/site-b"))
	if a.RouterID == b.RouterID {
		t.Error("both have one router ID")
	}
	remote := b.Peers[0].Tunnels[0].Remotes[0]
	if !slices.ContainsFunc(a.TLS.Listen, func(l netip.AddrPort) bool { return l.Port() == remote.Port }) {
		t.Errorf("b dials %v, a listens at %v", remote, a.TLS.Listen)
	}
	for _, pair := range [][2]*Config{{a, b}, {b, a}} {
		own, peer := pair[0], pair[1].Peers[0]
		if peer.BGP.ASN != own.ASN {
			t.Errorf("AS %d is expected to be %d", own.ASN, peer.BGP.ASN)
		}
		if peer.Tunnels[0].Trust.Method != TrustSecret || peer.Tunnels[0].Link != own.Peers[0].Tunnels[0].Link {
			t.Errorf("the ends differ: %+v", peer.Tunnels[0])
		}
		for _, n := range own.Announce.Networks {
			accepted := slices.ContainsFunc(peer.BGP.Import.Prefixes, func(f PrefixFilter) bool {
				return f.Prefix.Contains(n.Addr()) && f.Ge <= n.Bits() && n.Bits() <= f.Le
			})
			if !accepted {
				t.Errorf("%v is announced but not accepted", n)
			}
		}
		if len(own.Announce.Networks) == 0 {
			t.Error("nothing is announced")
		}
	}
	// Both name the file alike, so that it can be copied as it is.
	for _, file := range []string{"minimal/site-a/peers.d/site-b.toml", "minimal/site-b/peers.d/site-a.toml"} {
		if text := readShipped(t, file); !strings.Contains(text, `secret_file = "a-b.secret"`) {
			t.Errorf("%s names another secret", file)
		}
	}
}

func readShipped(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(shipped, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestReferenceIsComplete checks that the reference has every key there is,
// each with a comment right above. That it has no others is checked by
// loading it.
func TestReferenceIsComplete(t *testing.T) {
	for _, c := range []struct {
		schema reflect.Type
		files  []string
	}{
		{reflect.TypeFor[rawRouter](), []string{"warren.toml"}},
		{reflect.TypeFor[rawPeerFile](), []string{"peers.d/site-b.toml", "peers.d/site-c.toml", "peers.d/site-d.toml", "peers.d/site-e.toml", "peers.d/site-f.toml",
			"peers.d/site-g.toml", "peers.d/site-h.toml", "peers.d/site-i.toml", "peers.d/site-j.toml", "peers.d/site-k.toml", "peers.d/site-l.toml", "peers.d/site-m.toml", "peers.d/site-n.toml", "peers.d/site-o.toml"}},
	} {
		var explained []string
		for _, file := range c.files {
			for _, k := range referenceKeys(t, file) {
				if k.comment != "" {
					explained = append(explained, k.full)
				}
			}
		}
		for _, k := range keysOf(c.schema, "") {
			if !k.isTable && !slices.Contains(explained, k.full) {
				t.Errorf("%s is not explained in %v", k.full, c.files)
			}
		}
	}
}

type referenceKey struct {
	full, comment string // the last line of the comment
	line          int    // from 0
}

// referenceKeys finds the keys of a reference file, which are all on lines of
// their own.
func referenceKeys(t *testing.T, file string) []referenceKey {
	t.Helper()
	var keys []referenceKey
	table, comment := "", ""
	for i, line := range strings.Split(readShipped(t, "reference/"+file), "\n") {
		if m := regexp.MustCompile(`^\[\[?([^\[\]]*)\]\]?$`).FindStringSubmatch(line); m != nil {
			table = m[1]
		} else if m := regexp.MustCompile(`^(\w+) *= `).FindStringSubmatch(line); m != nil {
			keys = append(keys, referenceKey{join(table, m[1]), comment, i})
		}
		comment = ""
		if strings.HasPrefix(line, "# ") {
			comment = strings.TrimPrefix(line, "# ")
		}
	}
	return keys
}

// TestReferenceIsTrue takes each key out of the reference in turn and checks
// that what happens then is what its comment ends with.
func TestReferenceIsTrue(t *testing.T) {
	path := shippedCopy(t, "reference")
	whole := load(t, path)
	for _, file := range []string{"warren.toml", "peers.d/site-b.toml", "peers.d/site-e.toml", "peers.d/site-f.toml", "peers.d/site-l.toml", "peers.d/site-m.toml", "peers.d/site-n.toml", "peers.d/site-o.toml"} {
		target := filepath.Join(filepath.Dir(path), file)
		text := readShipped(t, "reference/"+file)
		for _, k := range referenceKeys(t, file) {
			if k.comment == "" && file != "warren.toml" && file != "peers.d/site-b.toml" {
				continue // explained in site-b.toml
			}
			if strings.HasPrefix(k.full, "template.") {
				continue // so is what peers take from here
			}
			lines := strings.Split(text, "\n")
			lines[k.line] = ""
			write(t, target, strings.Join(lines, "\n"))
			cfg, err := Load(path)
			switch {
			case strings.HasPrefix(k.comment, "Required"):
				if err == nil {
					t.Errorf("%s is not required", k.full)
				}
			case strings.HasPrefix(k.comment, "Default: as shown"):
				if err != nil || !sameConfig(cfg, whole) {
					t.Errorf("%s has another default: %v", k.full, err)
				}
			case strings.HasPrefix(k.comment, "Default: "):
				if err == nil && sameConfig(cfg, whole) {
					t.Errorf("%s has the default that is shown", k.full)
				}
			default:
				t.Errorf("%s: the comment does not end with Required or Default, but %q", k.full, k.comment)
			}
		}
		write(t, target, text)
	}
}

func sameConfig(a, b *Config) bool {
	return a.Name == b.Name && a.ASN == b.ASN && a.RouterID == b.RouterID && a.Announce.Equal(b.Announce) &&
		a.TLS.Equal(b.TLS) && a.WireGuard.Equal(b.WireGuard) && a.BGP == b.BGP && a.FIB == b.FIB && a.API == b.API && a.Log == b.Log && a.Accept.Equal(b.Accept) && slices.EqualFunc(a.Peers, b.Peers, Peer.Equal)
}

// TestReferenceValues checks that the values arrive where they belong.
func TestReferenceValues(t *testing.T) {
	cfg := load(t, shippedCopy(t, "reference"))
	if cfg.Name != "site-a" || cfg.ASN != 64512 || cfg.RouterID != netip.MustParseAddr("10.0.0.1") {
		t.Errorf("router %+v", cfg)
	}
	if !cfg.Announce.Equal(Announce{
		Networks:     []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("2001:db8:1::/48")},
		Redistribute: Redistribute{Connected: true},
		Interfaces:   []string{"lan*"},
	}) {
		t.Errorf("announce %+v", cfg.Announce)
	}
	if cfg.FIB.Source4 != netip.MustParseAddr("10.1.0.1") || cfg.FIB.Source6 != netip.MustParseAddr("2001:db8:1::1") {
		t.Errorf("fib %+v", cfg.FIB)
	}
	if cfg.WireGuard.ListenPort != 51820 || len(cfg.WireGuard.PrivateKey) != KeySize {
		t.Errorf("wireguard %+v", cfg.WireGuard)
	}
	if !cfg.FIB.KeepUnreachable || !cfg.Peers[0].BGP.KeepLearned || cfg.Peers[1].BGP.KeepLearned {
		t.Errorf("unreachable: %+v, %+v", cfg.FIB, cfg.Peers[0].BGP)
	}
	if len(cfg.Peers) != 17 {
		t.Fatalf("peers %v", cfg.Peers)
	}
	b, c, d := cfg.Peers[0].Tunnels[0], cfg.Peers[1].Tunnels[0], cfg.Peers[2].Tunnels[0]
	if b.Trust.Method != TrustFingerprint || b.Trust.Fingerprints[0][0] != 0x9f || b.Trust.Fingerprints[0][31] != 0x08 {
		t.Errorf("site-b: %+v", b.Trust)
	}
	if got := b.Remotes[2].String(); len(b.Remotes) != 3 || got != "[2001:db8:b::1]:443" {
		t.Errorf("site-b: %v", b.Remotes)
	}
	if len(b.Address) != 2 || b.Address[0].String() != "fe80::1/64" || b.PeerAddress.String() != "fe80::2" || b.Underlay != "eth0" {
		t.Errorf("site-b: %+v", b)
	}
	if c.Trust.Method != TrustSecret || len(c.Trust.Secrets) != 1 || len(c.Trust.Secrets[0].Secret) != SecretSize || len(c.Address) != 0 || c.PeerAddress.IsValid() {
		t.Errorf("site-c: %+v", c)
	}
	if d.Trust.Method != TrustCA || d.Trust.PeerName != "d.example.net" || d.Trust.CA.Equal(x509.NewCertPool()) {
		t.Errorf("site-d: %+v", d.Trust)
	}
	e := cfg.Peers[3].Tunnels[0]
	if e.Transport != TransportExternal || e.Interface != "tun-ovpn" || e.PeerAddress.String() != "10.8.0.2" || e.Probe != ProbeICMP {
		t.Errorf("site-e: %+v", e)
	}
	f := cfg.Peers[4].Tunnels[0]
	if f.Transport != TransportWireGuard || f.Trust.Method != TrustPublicKey || f.Trust.PublicKeys[0][0] != 0xc5 ||
		len(f.Trust.PresharedKey) != KeySize || f.MTU != 1420 || f.Probe != ProbeICMP ||
		f.Keepalive != 30*time.Second || f.DeadAfter != 90*time.Second || f.PersistentKeepalive != 25*time.Second ||
		!f.ECN || f.DSCP != DSCPCopy {
		t.Errorf("site-f: %+v", f)
	}
	g, h, i := cfg.Peers[5].Tunnels[0].Trust, cfg.Peers[6].Tunnels[0].Trust, cfg.Peers[7].Tunnels[0].Trust
	if len(g.Fingerprints) != 2 || g.Fingerprints[0][0] != 0x2c || g.Fingerprints[1][0] != 0x48 {
		t.Errorf("site-g: %+v", g)
	}
	if len(h.Secrets) != 2 || filepath.Base(h.Secrets[0].File) != "site-h.2.secret" || filepath.Base(h.Secrets[1].File) != "site-h.secret" {
		t.Errorf("site-h: %+v", h)
	}
	if len(i.PublicKeys) != 2 || i.PublicKeys[0][0] != 0x1c || i.PublicKeys[1][0] != 0x4e {
		t.Errorf("site-i: %+v", i)
	}
	j, k := cfg.Peers[8].Tunnels, cfg.Peers[9].Tunnels
	for n, want := range []Tunnel{
		{Transport: TransportTLS, Interface: "site-j", Underlay: "wan0", Preference: 10, Weight: 3},
		{Transport: TransportTLS, Interface: "site-j.1", Underlay: "wan1", Preference: 10, Weight: 1},
		{Transport: TransportWireGuard, Interface: "site-j.2", Underlay: "lte0", Preference: 0, Weight: 3},
	} {
		if len(j) != 3 || j[n].Link != n || j[n].Transport != want.Transport || j[n].Interface != want.Interface || j[n].Underlay != want.Underlay ||
			j[n].Preference != want.Preference || j[n].Weight != want.Weight || len(j[n].Trust.Secrets) != 1 {
			t.Errorf("site-j: %+v", j)
		}
	}
	if len(k) != 2 || k[0].Trust.PublicKeys[0][0] != 0xb3 || k[1].Trust.PublicKeys[0][0] != 0x57 || bytes.Equal(k[0].Trust.PrivateKey, k[1].Trust.PrivateKey) {
		t.Errorf("site-k: %+v", k)
	}
	for n, want := range []struct {
		name, imports string
		asn           uint32
		weight        int
	}{{"site-l", "10.12.0.0/16", 64523, 1}, {"spoke-1", "10.100.1.0/24", 64530, 1}, {"spoke-2", "10.100.2.0/24", 64530, 1}, {"spoke-3", "10.100.3.0/24", 64531, 2}} {
		p := cfg.Peers[[]int{10, 14, 15, 16}[n]]
		if tunnel := p.Tunnels[0]; p.Name != want.name || p.BGP.ASN != want.asn || p.BGP.Import.Prefixes[0].String() != want.imports || p.BGP.MaxPrefixes != 10 ||
			tunnel.Interface != "t-"+want.name || filepath.Base(tunnel.Trust.Secrets[0].File) != want.name+".secret" || tunnel.Keepalive != 500*time.Millisecond || tunnel.Weight != want.weight {
			t.Errorf("%s: %+v", want.name, p)
		}
	}
	if m := cfg.Peers[11]; len(m.Tunnels) > 0 || m.BGP.LAN.Address.String() != "10.1.0.2" || m.BGP.LAN.Interface != "eth0" ||
		filepath.Base(m.BGP.LAN.PasswordFile) != "site-m.password" || string(m.BGP.LAN.Password) != "a b c" || !m.BGP.LAN.TTLSecurity {
		t.Errorf("site-m: %+v", m)
	}
	if n := cfg.Peers[12].Tunnels[0]; n.Transport != TransportAuto || n.UDPPort != 51820 || n.Trust.Method != TrustFingerprint || n.Trust.Fingerprints[0][0] != 0x3d ||
		n.Trust.PublicKeys[0][0] != 0xe1 || n.MTU != 1420 || n.Probe != "" || n.Congestion != CongestionAuto {
		t.Errorf("site-n: %+v", n)
	}
	if o := cfg.Peers[13].Tunnels[0]; o.Transport != TransportWireGuard || o.Datapath != DatapathKernel || o.ListenPort != 51821 || o.Probe != ProbeICMP ||
		!bytes.Equal(o.Trust.PrivateKey, cfg.WireGuard.PrivateKey) {
		t.Errorf("site-o: %+v", o)
	}
	if a := cfg.Accept; !a.CA.Equal(d.Trust.CA) || a.Template != "branch" || !slices.Equal(a.Names, []string{"*.branches.example.net"}) {
		t.Errorf("accept %+v", a)
	}
	imported := cfg.Peers[0].BGP.Import
	if imported.Any || imported.Default || len(imported.Prefixes) != 2 || imported.Prefixes[0].String() != "10.2.0.0/16 le 24" {
		t.Errorf("site-b: %+v", imported)
	}
}

// TestManualHasEveryKey holds warren.toml(5) to what this package reads.
func TestManualHasEveryKey(t *testing.T) {
	page, err := manual.Config(os.DirFS(filepath.Join(shipped, "reference")))
	if err != nil {
		t.Fatal(err)
	}
	roff := string(page.Roff("1.2.3", time.Unix(1790000000, 0)))
	for _, schema := range []reflect.Type{reflect.TypeFor[rawRouter](), reflect.TypeFor[rawPeerFile]()} {
		for _, k := range keysOf(schema, "") {
			if !k.isTable && !strings.Contains(roff, "\n.SS "+k.name+"\n.EX\n"+k.name+" ") {
				t.Errorf("%s is not in warren.toml(5)", k.full)
			}
		}
	}
}
