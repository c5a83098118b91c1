package config

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const acceptText = routerText + `[accept]
ca_file = "ca.crt"
template = "spoke"
names = ["*.Spokes.example.net", "extra?"]
`

const acceptTemplate = "[template.spoke.tunnel]\nkeepalive = \"500ms\"\n[template.spoke.bgp]\nasn = 64530\nimport = [\"10.100.0.0/16 le 32\"]\n"

// TestAcceptedPeer checks what is made of a name in a certificate.
func TestAcceptedPeer(t *testing.T) {
	path := setUp(t, acceptText+acceptTemplate, map[string]string{
		"peers.d/extra2.toml": peerText + "secret_file = \"a.secret\"\n",
		"peers.d/c.toml":      peerText + "ca_file = \"ca.crt\"\npeer_name = \"C.spokes.example.net\"\n",
		"peers.d/b.toml":      peerText + "secret_file = \"b.secret\"\ninterface = \"extra3\"\n",
	})
	cfg := load(t, path)
	p, err := cfg.AcceptedPeer("S1.spokes.Example.net")
	if err != nil {
		t.Fatal(err)
	}
	tunnel := p.Tunnels[0]
	if p.Name != "s1.spokes.example.net" || len(p.Tunnels) != 1 || p.BGP.ASN != 64530 || p.BGP.Import.Prefixes[0].String() != "10.100.0.0/16 le 32" ||
		tunnel.Trust.Method != TrustCA || tunnel.Trust.PeerName != "s1.spokes.example.net" || !tunnel.Trust.CA.Equal(cfg.Accept.CA) ||
		tunnel.Transport != TransportTLS || tunnel.Keepalive != 500*time.Millisecond || len(tunnel.Remotes) != 0 {
		t.Errorf("%+v", p)
	}
	if again, err := cfg.AcceptedPeer("s1.spokes.example.net"); err != nil || !again.Equal(p) {
		t.Errorf("another one the second time: %+v, %v", again, err)
	}
	if short, err := cfg.AcceptedPeer("extra1"); err != nil || short.Tunnels[0].Interface != "extra1" {
		t.Errorf("a short name: %+v, %v", short, err)
	}
	for name, want := range map[string]string{
		"spokes.example.net": "matches none of accept.names", "s1.example.net": "matches none", "s1.spokes.example.net.": "matches none", "": "is not a name", "a b.spokes.example.net": "is not a name",
		"../x.spokes.example.net": "is not a name", "s\x00.spokes.example.net": "is not a name", strings.Repeat("a", 60) + ".spokes.example.net": "is not a name",
		"a..b.spokes.example.net": "is not a DNS name", "c.spokes.example.net": "is the name of a peer that is configured", "extra2": "is the name of a peer that is configured", "extra3": "the interface of \"extra3\" would be extra3",
	} {
		if p, err := cfg.AcceptedPeer(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v, %v, want %q", name, p, err, want)
		}
	}
	if _, err := load(t, setUp(t, routerText, nil)).AcceptedPeer("extra1"); err == nil || !strings.Contains(err.Error(), "no [accept]") {
		t.Errorf("without [accept]: %v", err)
	}
}

// TestInterfacesOfAcceptedPeers checks that each has its own, which the kernel takes.
func TestInterfacesOfAcceptedPeers(t *testing.T) {
	for _, template := range []string{"", "t-{name}"} {
		taken := map[string]string{}
		for i := range 2000 {
			name := fmt.Sprintf("spoke-%d.spokes.example.net", i)
			for n := range 2 {
				if template != "" && n > 0 {
					continue // the second has another text there
				}
				ifname := acceptedInterface(template, name, n)
				if err := checkInterface(ifname); err != nil || taken[ifname] != "" || !strings.HasPrefix(ifname, "spok~") {
					t.Fatalf("%q of %s: %v, also of %s", ifname, name, err, taken[ifname])
				}
				taken[ifname] = name
			}
		}
	}
	for want, got := range map[string]string{
		"a.b.c": acceptedInterface("", "a.b.c", 0), "a.b.c.1": acceptedInterface("", "a.b.c", 1), "t-a.b.c": acceptedInterface("t-{name}", "a.b.c", 3),
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// TestAcceptedPeersHaveWhatIsTheRouters checks that an accepted peer has of the router what one with a file and the same template has.
func TestAcceptedPeersHaveWhatIsTheRouters(t *testing.T) {
	router := strings.Replace(acceptText, "[tls]\n", "[tls]\ncongestion = \"cubic\"\n", 1) + "[bgp]\ncluster_id = \"10.9.9.9\"\n"
	template := strings.Replace(acceptTemplate, "asn = 64530", "asn = 64512\nroute_reflector_client = true", 1)
	path := setUp(t, router+template, map[string]string{
		"peers.d/b.toml": "template = \"spoke\"\n[tunnel]\nca_file = \"ca.crt\"\npeer_name = \"b.example.net\"\n",
	})
	cfg := load(t, path)
	filed := cfg.Peer("b")
	accepted, err := cfg.AcceptedPeer("extra1")
	if err != nil {
		t.Fatal(err)
	}
	if b := accepted.BGP; !b.Equal(filed.BGP) || b.ClusterID.String() != "10.9.9.9" || !b.RouteReflectorClient {
		t.Errorf("BGP %+v, with a file %+v", b, filed.BGP)
	}
	if a, f := accepted.Tunnels[0], filed.Tunnels[0]; a.Congestion != "cubic" || !a.SameTuning(f) {
		t.Errorf("tunnel %+v, with a file %+v", a, f)
	}
	// A reload of the router's keys reaches them.
	for from, to := range map[string]string{"\"cubic\"": "\"reno\"", "10.9.9.9": "10.9.9.8"} {
		write(t, path, strings.Replace(router+template, from, to, 1))
		next := load(t, path)
		again, err := next.AcceptedPeer("extra1")
		if err != nil || again.Equal(accepted) || next.Accept.Equal(cfg.Accept) {
			t.Errorf("%s for %s: %+v, %v", to, from, again, err)
		}
	}
}

// TestAcceptedPeersStayApart checks that no accepted peer gets in the way of what a file says.
func TestAcceptedPeersStayApart(t *testing.T) {
	text := strings.Replace(acceptText+acceptTemplate, "keepalive", "underlay = \"b\"\nkeepalive", 1)
	b := map[string]string{"peers.d/b.toml": peerText + "secret_file = \"b.secret\"\n"}
	mustFail(t, setUp(t, text, b), "warren.toml:11: template.spoke.tunnel.underlay: \"b\" is the tunnel of ")
	if p, err := load(t, setUp(t, text, nil)).AcceptedPeer("extra1"); err != nil || p.Tunnels[0].Underlay != "b" {
		t.Errorf("where b is another interface: %+v, %v", p, err)
	}
	lan := map[string]string{"peers.d/c.toml": "[bgp]\nasn = 64513\nimport = []\naddress = \"192.0.2.2\"\ninterface = \"extra4\"\n"}
	if p, err := load(t, setUp(t, acceptText+acceptTemplate, lan)).AcceptedPeer("extra4"); err == nil || !strings.Contains(err.Error(), "the interface of \"extra4\" would be extra4, behind which the peer in ") {
		t.Errorf("an interface behind which a peer is: %+v, %v", p, err)
	}
}

// TestWarningsOfAcceptedPeers checks that a template that only [accept] takes is warned of too.
func TestWarningsOfAcceptedPeers(t *testing.T) {
	for change, want := range map[string]string{
		"keepalive = \"500ms\"->keepalive = \"40ms\"\ndead_after = \"100ms\"":                                                     "template.spoke.tunnel.dead_after: 100ms is short",
		"10.100.0.0/16 le 32->10.77.0.0/24":                                                                                       "template.spoke.bgp.import: \"10.77.0.0/24\" is one of this router's own announce.networks",
		"[template.spoke.tunnel]->[[template.spoke.tunnel]]\nunderlay = \"eth0\"\n[[template.spoke.tunnel]]\nunderlay = \"eth0\"": "template.spoke.tunnel: leaves by the same interface for the same remotes",
	} {
		from, to, _ := strings.Cut(change, "->")
		text := strings.Replace(acceptText+acceptTemplate, from, to, 1) + "[announce]\nnetworks = [\"10.77.0.0/24\"]\n"
		host := Host{Interfaces: []HostInterface{{Name: "lan0", Addresses: []netip.Prefix{netip.MustParsePrefix("10.77.0.1/25")}}}}
		said := load(t, setUp(t, text, nil)).Warnings(host, time.Now())
		if len(said) != 1 || !strings.Contains(said[0].Error(), want) || !strings.Contains(said[0].Error(), "so for peer *.spokes.example.net, extra? (") {
			t.Errorf("%s: %v, want %q", change, said, want)
		}
	}
}

// TestAcceptEqual checks what a reload sees of [accept].
func TestAcceptEqual(t *testing.T) {
	path := setUp(t, acceptText+acceptTemplate, nil)
	old := load(t, path)
	if said := old.Warnings(Host{}, time.Now()); len(said) > 0 {
		t.Error(said)
	}
	for change, want := range map[string]bool{
		"ca_file->ca_file": true, "extra?->other?": false, "64530->64531": false, "500ms->501ms": false, "10.100.0.0->10.101.0.0": false,
	} {
		from, to, _ := strings.Cut(change, "->")
		write(t, path, strings.ReplaceAll(acceptText+acceptTemplate, from, to))
		if got := load(t, path).Accept.Equal(old.Accept); got != want {
			t.Errorf("%s: %v", change, got)
		}
	}
	write(t, path, routerText)
	if none := load(t, path).Accept; none.Equal(old.Accept) || old.Accept.Equal(none) || !none.Equal(Accept{}) {
		t.Error("none is equal to one")
	}
	write(t, path, acceptText+acceptTemplate)
	write(t, filepath.Join(filepath.Dir(path), "ca.crt"), makeCA(t))
	if load(t, path).Accept.Equal(old.Accept) {
		t.Error("another CA is equal")
	}
}

// TestAcceptMistakes changes a good config to one with one mistake.
func TestAcceptMistakes(t *testing.T) {
	for change, want := range map[string]string{
		"ca_file = \"ca.crt\"\n->":                       "warren.toml:6: accept.ca_file: is required with [accept]",
		"ca.crt->tls.key":                                "warren.toml:7: accept.ca_file: DIR/tls.key: has no certificate",
		"template = \"spoke\"\n->":                       "warren.toml:6: accept.template: is required with [accept]",
		"template = \"spoke\"->template = \"spok\"":      "warren.toml:8: accept.template: \"spok\" is not a template; did you mean \"spoke\"?",
		"[\"*.Spokes.example.net\", \"extra?\"]->[]":     "warren.toml:9: accept.names: is empty, so that nobody is accepted",
		"asn = 64530->asn = 64530\naddress = '10.0.0.2'": "warren.toml:14: template.spoke.bgp.address: cannot be in the template of [accept]: the peers are reached by tunnels",
		"keepalive->assign = []\nkeepalive":              "warren.toml:11: template.spoke.tunnel.assign: cannot be in the template of [accept]: all peers would have the same",
		"\"extra?\"->\"[\"":                              "warren.toml:9: accept.names: \"[\" is not a pattern",
		"\"extra?\"->\"*.spokes.example.net\"":           "warren.toml:9: accept.names: \"*.spokes.example.net\" is there twice",
		"listen = [\"[::]:443\"]\n->":                    "warren.toml:4: tls.listen: is absent, and [accept] is for peers that connect",
		"500ms->5s":                                      "warren.toml:11: template.spoke.tunnel.keepalive: 5s is more than half of dead_after, which is 3s; set dead_after to at least 10s; so for peer *.spokes.example.net, extra? (DIR/warren.toml:8), which takes it from here",
		"asn = 64530->":                                  "warren.toml:10: template.spoke.bgp.asn: is required",
		"keepalive->secret_file = 'x'\nkeepalive":        "warren.toml:11: template.spoke.tunnel.secret_file: cannot be in the template of [accept]: the peers are known by ca_file",
		"keepalive->transport = 'wireguard'\nkeepalive":  "warren.toml:11: template.spoke.tunnel.transport: cannot be in the template of [accept]: the peers connect over TLS",
		"keepalive->remotes = ['a:1']\nkeepalive":        "warren.toml:11: template.spoke.tunnel.remotes: cannot be in the template of [accept]: the peers connect, and",
		"[template.spoke.tunnel]\nkeepalive = \"500ms\"->[[template.spoke.tunnel]]\ninterface = '{name}'\n[[template.spoke.tunnel]]\ninterface = '{name}'": "warren.toml:13: template.spoke.tunnel.interface: \"{name}\" is the interface of the tunnel in line 10 already",
		"keepalive->interface = 'tun0'\nkeepalive":                "warren.toml:11: template.spoke.tunnel.interface: cannot be in the template of [accept]: all peers would have the same",
		"asn = 64530->asn = 64512\nas_override = true":            "warren.toml:14: template.spoke.bgp.as_override: is for a peer in another AS, and this one is in this router's own AS 64512",
		"asn = 64530->asn = 64530\nroute_reflector_client = true": "warren.toml:14: template.spoke.bgp.route_reflector_client: is for a peer in this router's own AS 64512, and this one is in AS 64530",
	} {
		from, to, _ := strings.Cut(change, "->")
		path := setUp(t, strings.Replace(acceptText+acceptTemplate, from, to, 1), nil)
		mustFail(t, path, strings.ReplaceAll(want, "DIR", filepath.Dir(path)))
	}
	all := load(t, setUp(t, strings.Replace(acceptText, "names = ", "# ", 1)+acceptTemplate, nil))
	if p, err := all.AcceptedPeer("anybody.example.org"); err != nil || p.Name != "anybody.example.org" {
		t.Errorf("without names: %+v, %v", p, err)
	}
	names := load(t, setUp(t, acceptText+acceptTemplate, nil)).Accept.Names
	if !slices.Equal(names, []string{"*.spokes.example.net", "extra?"}) {
		t.Errorf("%q", names)
	}
}
