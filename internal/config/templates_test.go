package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"warren/internal/keys"
)

// TestTemplate checks what a peer takes from its template, key by key.
func TestTemplate(t *testing.T) {
	path := setUp(t, routerText+`
[wireguard]
listen_port = 51820
[template.spoke.tunnel]
secret_file = "{name}.secret"
remotes = ["{name}.example.net:443", "192.0.2.1:443"]
interface = "w-{name}"
mtu = 1400
keepalive = "100ms"
dead_after = "500ms"
[template.spoke.bgp]
asn = 64513
import = ["10.9.0.0/16 le 32"]
export = ["any"]
max_prefixes = 10
unreachable = true
[[template.double.tunnel]]
secret_file = "{name}.secret"
underlay = "wan0"
weight = 2
[[template.double.tunnel]]
underlay = "wan1"
preference = 3
[template.double.bgp]
asn = 64514
import = []
`, map[string]string{
		"peers.d/a.toml": "template = \"spoke\"\n",
		"peers.d/b.toml": "template = \"spoke\"\n[tunnel]\nremotes = []\nmtu = 1500\nkeepalive = \"200ms\"\n[bgp]\nimport = []\nmax_prefixes = 5\nunreachable = false\n",
		"peers.d/many of them.toml": `
[peer]
c = { template = "double" }
d = { template = "double", tunnel.mtu = 1300, bgp.asn = 64599 }
[peer.e]
template = "double"
[[peer.e.tunnel]]
underlay = "lte0"
[[peer.e.tunnel]]
weight = 7
[[peer.e.tunnel]]
secret_file = "f.secret"
[peer.g]
template = "spoke"
tunnel.transport = "wireguard"
[peer.x.tunnel]
ca_file = "ca.crt"
peer_name = "{name}.example.net"
[peer.x.bgp]
asn = 64530
import = []
`,
	})
	cfg := load(t, path)
	got := map[string]Peer{}
	for _, p := range cfg.Peers {
		got[p.Name] = p
	}
	if len(got) != 7 {
		t.Fatalf("%d peers", len(got))
	}
	a, b := got["a"].Tunnels[0], got["b"].Tunnels[0]
	if a.MTU != 1400 || a.Interface != "w-a" || a.Keepalive != 100*time.Millisecond || a.DeadAfter != 500*time.Millisecond ||
		len(a.Remotes) != 2 || a.Remotes[0].Host != "a.example.net" || filepath.Base(a.Trust.Secrets[0].File) != "a.secret" || len(got["a"].Tunnels) != 1 {
		t.Errorf("a: %+v", a)
	}
	if b.MTU != 1500 || b.Interface != "w-b" || b.Keepalive != 200*time.Millisecond || b.DeadAfter != 500*time.Millisecond || len(b.Remotes) != 0 ||
		filepath.Base(b.Trust.Secrets[0].File) != "b.secret" {
		t.Errorf("b: %+v", b)
	}
	if bgp := got["a"].BGP; bgp.ASN != 64513 || len(bgp.Import.Prefixes) != 1 || !bgp.Export.Any || bgp.MaxPrefixes != 10 || !bgp.KeepLearned {
		t.Errorf("a: %+v", bgp)
	}
	if bgp := got["b"].BGP; bgp.ASN != 64513 || len(bgp.Import.Prefixes) != 0 || !bgp.Export.Any || bgp.MaxPrefixes != 5 || bgp.KeepLearned {
		t.Errorf("b: %+v", bgp)
	}
	for name, want := range map[string][]string{
		"c": {"wan0 c 2 0 1500 c.secret", "wan1 c.1 2 3 1500 c.secret"},
		"d": {"wan0 d 2 0 1300 d.secret", "wan1 d.1 2 3 1300 d.secret"},
		"e": {"lte0 e 2 0 1500 e.secret", "wan1 e.1 7 3 1500 e.secret", " e.2 2 0 1500 f.secret"},
		"g": {" w-g 1 0 1400 g.secret"},
	} {
		var is []string
		for _, tunnel := range got[name].Tunnels {
			is = append(is, fmt.Sprintf("%s %s %d %d %d %s", tunnel.Underlay, tunnel.Interface, tunnel.Weight, tunnel.Preference, tunnel.MTU, filepath.Base(tunnel.Trust.Secrets[0].File)))
		}
		if !slices.Equal(is, want) {
			t.Errorf("%s: %q, want %q", name, is, want)
		}
	}
	if got["d"].BGP.ASN != 64599 || got["c"].BGP.ASN != 64514 || got["g"].Tunnels[0].Transport != TransportWireGuard {
		t.Errorf("c, d, g: %+v", got)
	}
	if x := got["x"]; x.Tunnels[0].Trust.PeerName != "x.example.net" || x.Line != 16 || filepath.Base(x.File) != "many of them.toml" || got["a"].Line != 0 || got["c"].Line != 3 {
		t.Errorf("x: %+v", x)
	}
}

// TestTemplateOfAnotherKind checks that what a template says for its own transport is in no
// peer's way that has another, or another way to be known.
func TestTemplateOfAnotherKind(t *testing.T) {
	path := setUp(t, routerText+`
[wireguard]
listen_port = 51820
[template.ca.tunnel]
ca_file = "ca.crt"
peer_name = "{name}.example.net"
keepalive = "2s"
dead_after = "9s"
[template.wg.tunnel]
transport = "wireguard"
public_key = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="
preshared_key_file = "site-f.psk"
probe = "none"
persistent_keepalive = "10s"
[template.ca.bgp]
asn = 64513
import = []
[template.wg.bgp]
asn = 64513
import = []
`, map[string]string{
		"peers.d/all.toml": `
[peer]
a = { template = "ca" }
b = { template = "ca", tunnel.secret_file = "b.secret" }
c = { template = "ca", tunnel = { transport = "wireguard", secret_file = "c.secret" } }
d = { template = "ca", tunnel = { transport = "external", interface = "tun0", peer_address = "10.8.0.2" } }
e = { template = "wg" }
f = { template = "wg", tunnel.public_key = "HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=" }
g = { template = "wg", tunnel.secret_file = "g.secret" }
x = { template = "wg", tunnel = { transport = "tls", secret_file = "x.secret" } }
a-b = { template = "wg", tunnel = { secret_file = "a-b.secret", probe = "icmp" } }
`,
	})
	got := map[string]Tunnel{}
	for _, p := range load(t, path).Peers {
		got[p.Name] = p.Tunnels[0]
	}
	for name, want := range map[string]Tunnel{
		"a":   {Transport: TransportTLS, Trust: Trust{Method: TrustCA, PeerName: "a.example.net"}, DeadAfter: 9 * time.Second},
		"b":   {Transport: TransportTLS, Trust: Trust{Method: TrustSecret}, DeadAfter: 9 * time.Second},
		"c":   {Transport: TransportWireGuard, Trust: Trust{Method: TrustSecret}, DeadAfter: 9 * time.Second},
		"d":   {Transport: TransportExternal, DeadAfter: 9 * time.Second},
		"e":   {Transport: TransportWireGuard, Trust: Trust{Method: TrustPublicKey}, PersistentKeepalive: 10 * time.Second},
		"f":   {Transport: TransportWireGuard, Trust: Trust{Method: TrustPublicKey}, PersistentKeepalive: 10 * time.Second},
		"g":   {Transport: TransportWireGuard, Trust: Trust{Method: TrustSecret}, PersistentKeepalive: 10 * time.Second},
		"x":   {Transport: TransportTLS, Trust: Trust{Method: TrustSecret}, DeadAfter: 3 * time.Second},
		"a-b": {Transport: TransportWireGuard, Trust: Trust{Method: TrustSecret}, DeadAfter: 3 * time.Second},
	} {
		is := got[name]
		if is.Transport != want.Transport || is.Trust.Method != want.Trust.Method || is.Trust.PeerName != want.Trust.PeerName ||
			is.DeadAfter != want.DeadAfter || is.PersistentKeepalive != want.PersistentKeepalive {
			t.Errorf("%s: %+v", name, is)
		}
	}
	if len(got["f"].Trust.PresharedKey) != KeySize || got["f"].Trust.PublicKeys[0] == got["e"].Trust.PublicKeys[0] {
		t.Errorf("f: %+v", got["f"].Trust)
	}
}

// hub writes a config whose one template 200 peers take, and returns where it is.
func hub(t *testing.T, tunnel, bgp string) (path string) {
	t.Helper()
	secret := "secret_file = \"{name}.secret\"\n"
	if strings.Contains(tunnel, "secret_file") {
		secret = ""
	}
	path = setUp(t, routerText+"[template.spoke]\n[template.spoke.tunnel]\n"+secret+tunnel+"[template.spoke.bgp]\nasn = 64513\n"+bgp, nil)
	text := "[peer]\n"
	for i := range 200 {
		name := fmt.Sprintf("s%03d", i)
		text += name + " = { template = \"spoke\" }\n"
		if err := keys.Secret(filepath.Join(filepath.Dir(path), name+".secret")); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(filepath.Dir(path), "peers.d", "spokes.toml"), text)
	return path
}

// TestTwoHundredSpokes checks that each needs one line, and that what is wrong in their
// template is said once, with the template's line and one of the peers.
func TestTwoHundredSpokes(t *testing.T) {
	cfg := load(t, hub(t, "", "import = []\n"))
	if len(cfg.Peers) != 200 || cfg.Peers[7].Name != "s007" || cfg.Peers[7].Line != 9 {
		t.Fatalf("%d peers, %+v", len(cfg.Peers), cfg.Peers[0])
	}
	for _, c := range []struct{ tunnel, bgp, want string }{
		{"dead_after = '1s'\n", "import = []\n", "warren.toml:9: template.spoke.tunnel.dead_after: 1s is less than twice keepalive, which is 1s; allowed are 2s to 10m; so for peer s000"},
		{"mtu = 99\n", "import = []\n", "warren.toml:9: template.spoke.tunnel.mtu: 99 is out of range; allowed are 1280 to 65521; so for peer s000 (DIR/peers.d/spokes.toml:2), which takes it from here, and for 199 more"},
		{"", "import = ['10.0.0.0/8 le 7']\n", "warren.toml:11: template.spoke.bgp.import: \"10.0.0.0/8 le 7\" has le 7; allowed for this prefix are 8 to 32; so for peer s000 (DIR/peers.d/spokes.toml:2), which takes it from here, and for 199 more"},
		{"interface = 'tun0'\n", "import = []\n", "warren.toml:9: template.spoke.tunnel.interface: \"tun0\" is the interface of DIR/peers.d/spokes.toml:2 already; each tunnel needs its own; so for peer s001 (DIR/peers.d/spokes.toml:3), which takes it from here, and for 198 more"},
		{"interface = 'fifteen-b{name}.x'\n", "import = ['any']\n", ""},
		{"interface = 'sixteen-by{name}.x'\n", "import = ['any']\n", "warren.toml:9: template.spoke.tunnel.interface: \"sixteen-bys000.x\" has 16 bytes; an interface name has at most 15; so for peer s000"},
		{"public_key = 'x'\n", "import = []\n", "warren.toml:9: template.spoke.tunnel.public_key: means nothing with transport = \"tls\""},
		{"mtu = '99'\n", "import = []\n", "warren.toml:9: template.spoke.tunnel.mtu: is a string; it must be a whole number, without quotes"},
		{"", "", "peers.d/spokes.toml:2: peer.s000.bgp.import: is required: what to accept from the peer, such as [\"10.2.0.0/16 le 24\"]; [] accepts nothing, [\"any\"] all but a default route and what is shorter than /8 (IPv6 /16); so for 199 more that take the template spoke, in which it may be set for all"},
		{"secret_file = 's000.secret'\n", "import = []\n", "peers.d/spokes.toml:3: peer.s001.tunnel.link: 0 belongs to the tunnel of DIR/peers.d/spokes.toml:2, which trusts the same peer; give each tunnel to one peer another link, the same at both ends; so for 198 more that"},
		{"address = ['fd00::1/64']\npeer_address = 'fd00::2'\n", "import = []\n", "warren.toml:10: template.spoke.tunnel.peer_address: fd00::2 is the peer_address of DIR/peers.d/spokes.toml:2 already"},
	} {
		path := hub(t, c.tunnel, c.bgp)
		if c.want == "" {
			load(t, path)
			continue
		}
		_, err := Load(path)
		var all Errors
		if want := filepath.Dir(path) + "/" + strings.ReplaceAll(c.want, "DIR", filepath.Dir(path)); !errors.As(err, &all) || len(all) != 1 || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %.600s\nwant %s", err, want)
		}
	}
}

// TestTemplateWarnings checks that what is probably wrong in a template is said once, and that
// one that nobody takes is noticed.
func TestTemplateWarnings(t *testing.T) {
	said := func(path string) string {
		return strings.ReplaceAll(load(t, path).Warnings(Host{}, time.Now()).Error(), filepath.Dir(path)+"/", "")
	}
	if got := said(hub(t, "weight = 3\nremote_order = 'random'\nconnect_timeout = '5s'\n", "import = ['10.9.0.0/16']\n")); got != "" {
		t.Errorf("of good ones: %.600s", got)
	}
	got := said(hub(t, "keepalive = '20ms'\ndead_after = '50ms'\n", "import = []\n"))
	if strings.Count(got, "\n") > 0 || !strings.HasPrefix(got, "warren.toml:10: template.spoke.tunnel.dead_after: 50ms is short") || !strings.HasSuffix(got, "and for 199 more") {
		t.Errorf("of dead_after: %.600s", got)
	}
	got = said(setUp(t, routerText+"[template.a.tunnel]\nmtu = 1300\n\n[template.b]\n", map[string]string{"peers.d/a.toml": "template = \"a\"\n" + peerText + "secret_file = \"a.secret\"\n"}))
	if !strings.HasPrefix(got, "warren.toml:9: template.b: no peer takes this template") || strings.Count(got, "\n") > 0 {
		t.Errorf("of one that nobody takes: %s", got)
	}
}

// TestEqualWhereverItIsWritten checks that a reload sees no change where only the place of
// what is said of a peer changes, and sees those of a template.
func TestEqualWhereverItIsWritten(t *testing.T) {
	const own = peerText + "secret_file = \"a.secret\"\nmtu = 1400\n"
	path := setUp(t, routerText, map[string]string{"peers.d/a.toml": own})
	file := filepath.Join(filepath.Dir(path), "peers.d", "a.toml")
	old := load(t, path).Peers[0]
	template := func(mtu, asn int) string {
		return fmt.Sprintf("%s[template.t.tunnel]\nmtu = %d\nsecret_file = \"{name}.secret\"\n[template.t.bgp]\nasn = %d\nimport = []\n", routerText, mtu, asn)
	}
	for _, c := range []struct {
		what, router, peer string
		tunnel, bgp        bool
	}{
		{"another form", routerText, "[peer.a]\nbgp = { asn = 64513, import = [] }\ntunnel = { secret_file = \"a.secret\", mtu = 1400 }\n", true, true},
		{"a template", template(1400, 64513), "template = \"t\"\n", true, true},
		{"another value in the template", template(1401, 64513), "template = \"t\"\n", false, true},
		{"another AS in the template", template(1400, 64514), "template = \"t\"\n", true, false},
		{"that is not taken", template(1401, 64514), "template = \"t\"\n" + own, true, true},
	} {
		write(t, path, c.router)
		write(t, file, c.peer)
		p := load(t, path).Peers[0]
		if p.Tunnels[0].Equal(old.Tunnels[0]) != c.tunnel || p.BGP.Equal(old.BGP) != c.bgp || p.Equal(old) != (c.tunnel && c.bgp) {
			t.Errorf("%s: %+v", c.what, p)
		}
	}
}
