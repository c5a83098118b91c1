package config

import (
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func hostOf(interfaces ...HostInterface) Host { return Host{Interfaces: interfaces} }

func hostInterface(name string, addresses ...string) HostInterface {
	i := HostInterface{Name: name, Loopback: name == "lo", Tunnel: strings.HasPrefix(name, "warren")}
	for _, a := range addresses {
		i.Addresses = append(i.Addresses, netip.MustParsePrefix(a))
	}
	return i
}

// warned compares all warnings about a config with those that are wanted, in order.
func warned(t *testing.T, path string, h Host, now time.Time, want ...string) {
	t.Helper()
	got := load(t, path).Warnings(h, now)
	text := strings.ReplaceAll(got.Error(), filepath.Dir(path)+"/", "")
	if text != strings.Join(want, "\n") {
		t.Errorf("got:\n%s\nwant:\n%s", text, strings.Join(want, "\n"))
	}
}

const lanRouter = "asn = 64512\nrouter_id = \"10.0.0.1\"\n[announce]\nnetworks = [\"10.1.0.0/24\"]\n[tls]\nlisten = [\"0.0.0.0:443\"]\n[wireguard]\nlisten_port = 51820\n"

// lanHost is a router of a usual site.
func lanHost(more ...HostInterface) Host {
	return hostOf(append([]HostInterface{
		hostInterface("lo", "127.0.0.1/8", "::1/128"),
		hostInterface("lan0", "10.1.0.1/24", "fe80::1/64"),
		hostInterface("wan0", "198.51.100.2/30", "2001:db8::2/64"),
	}, more...)...)
}

func peerOf(tunnel, imports string) string {
	return "[tunnel]\nsecret_file = \"b.secret\"\n" + tunnel + "\n[bgp]\nasn = 64513\nimport = [" + imports + "]\n"
}

func TestWarnsOfTheCertificate(t *testing.T) {
	path := setUp(t, lanRouter, map[string]string{"peers.d/site-b.toml": peerOf("", "")})
	leaf := load(t, path).TLS.Certificate.Leaf
	day := func(at time.Time) string { return at.UTC().Format("2006-01-02 15:04 MST") }
	const refused = "peers that know this router by ca_file refuse it"
	warned(t, path, lanHost(), leaf.NotBefore.Add(time.Hour))
	warned(t, path, lanHost(), leaf.NotAfter.Add(-15*24*time.Hour))
	warned(t, path, lanHost(), leaf.NotAfter.Add(-13*24*time.Hour),
		"warren.toml:5: tls.cert_file: tls.crt: the certificate expires on "+day(leaf.NotAfter)+": after that "+refused+"; renew it")
	warned(t, path, lanHost(), leaf.NotAfter.Add(time.Second),
		"warren.toml:5: tls.cert_file: tls.crt: the certificate expired on "+day(leaf.NotAfter)+": "+refused+"; renew it, or check the clock")
	warned(t, path, lanHost(), leaf.NotBefore.Add(-time.Second),
		"warren.toml:5: tls.cert_file: tls.crt: the certificate is valid from "+day(leaf.NotBefore)+" on: until then "+refused+"; check the clock")
}

// What is answered over HTTP has no password.
func TestWarnsOfHTTPForOthers(t *testing.T) {
	for address, warns := range map[string]string{
		"127.0.0.1:8179": "", "[::1]:8179": "", "unix:/run/warren/http.sock": "", "": "",
		"0.0.0.0:8179": "127.0.0.1:8179", "[2001:db8::2]:80": "127.0.0.1:80", "10.1.0.1:8179": "127.0.0.1:8179",
	} {
		path := setUp(t, lanRouter+"[api]\nhttp = \""+address+"\"\n", nil)
		got := load(t, path).Warnings(lanHost(), time.Now()).Error()
		if (warns != "") != strings.Contains(got, "warren.toml:10: api.http: "+address+" is not a loopback address") || !strings.Contains(got, warns) {
			t.Errorf("%s: %q", address, got)
		}
	}
}

func TestWarnsOfAnInterfaceThatIsThere(t *testing.T) {
	path := setUp(t, lanRouter, map[string]string{
		"peers.d/a.toml":      strings.Replace(peerOf("interface = \"warren-a\"", ""), "b.secret", "a.secret", 1),
		"peers.d/eth1.toml":   peerOf("", ""),
		"peers.d/site-c.toml": strings.Replace(peerOf("interface = \"wan0\"", ""), "b.secret", "c.secret", 1),
		"peers.d/x.toml":      "[tunnel]\ntransport = \"external\"\ninterface = \"ovpn0\"\npeer_address = \"10.9.0.2\"\n[bgp]\nasn = 64513\nimport = []\n",
	})
	warned(t, path, lanHost(hostInterface("eth1"), hostInterface("warren-a"), hostInterface("ovpn0", "10.9.0.1/30")), time.Now(),
		`peers.d/eth1.toml:1: tunnel.interface: is absent, and the peer's name "eth1" is an interface of this host that is not a tunnel of warren's: the tunnel cannot be made; set another interface`,
		`peers.d/site-c.toml:3: tunnel.interface: "wan0" is an interface of this host that is not a tunnel of warren's: the tunnel cannot be made; set another interface`)
}

func TestWarnsOfDialingItself(t *testing.T) {
	const self = " is this router itself: "
	for _, c := range []struct{ tunnel, host string }{
		{`remotes = ["198.51.100.1:443", "198.51.100.2:443"]`, "198.51.100.2"},
		{`remotes = ["127.0.0.7:443"]`, "127.0.0.7"},
		{`remotes = ["localhost:443"]`, "127.0.0.1"},
		{`remotes = ["198.51.100.2:444"]`, ""},       // another program's port
		{`remotes = ["[2001:db8::2]:443"]`, ""},      // it listens over IPv4 alone
		{`remotes = ["site-b.example.net:443"]`, ""}, // names are not resolved
		{"transport = \"wireguard\"\nremotes = [\"[2001:db8::2]:51820\"]", "2001:db8::2"},
		{"transport = \"wireguard\"\nremotes = [\"198.51.100.2:443\"]", ""},
	} {
		path := setUp(t, lanRouter, map[string]string{"peers.d/site-b.toml": peerOf(c.tunnel, "")})
		text := load(t, path).Warnings(lanHost(), time.Now()).Error()
		said := strings.Contains(text, "site-b.toml:") && strings.Contains(text, self+c.host+" is an address of this host, and it listens on port ")
		if said != (c.host != "") || !said && text != "" {
			t.Errorf("%s: %q", c.tunnel, text)
		}
	}
}

func TestWarnsOfNetworksWithoutAnAddress(t *testing.T) {
	path := setUp(t, strings.Replace(lanRouter, `["10.1.0.0/24"]`, "[\n\"10.1.0.0/24\", \"10.7.0.0/16\",\n\"10.9.0.0/24\", \"2001:db8::/64\", \"0.0.0.0/0\", \"::/0\"]", 1),
		map[string]string{"peers.d/site-b.toml": strings.Replace(peerOf("interface = \"tun0\"", ""), "[tunnel]\nsecret_file = \"b.secret\"",
			"[tunnel]\ntransport = \"external\"\npeer_address = \"10.9.0.2\"", 1)})
	const lost = " has no address of this host inside: unless another router behind this one has the network, packets that peers send there get lost"
	// An address of a tunnel is not one of the site.
	warned(t, path, lanHost(hostInterface("warren-b", "10.7.0.1/16"), hostInterface("tun0", "10.9.0.1/24")), time.Now(),
		`warren.toml:5: announce.networks: "10.7.0.0/16"`+lost,
		`warren.toml:6: announce.networks: "10.9.0.0/24"`+lost)
}

func TestWarnsOfOverlappingNetworks(t *testing.T) {
	const twoOwn = `is one of this router's own announce.networks, and never imported: two routers cannot have the same network; correct one of the two`
	const twoPeers = `: two peers seem to have the same network, and what the longer prefix holds goes to one of them; correct it if it is not meant`
	for name, c := range map[string]struct {
		networks, b, c string
		want           []string
	}{
		"sites beside one another": {`"10.1.0.0/24"`, `"10.2.0.0/16 le 24"`, `"10.3.0.0/16 le 24"`, nil},
		"words":                    {`"10.1.0.0/24"`, `"any", "default"`, `"10.3.0.0/16 le 24"`, nil},
		"two ways to one site":     {`"10.1.0.0/24"`, `"10.2.0.0/16 le 24"`, `"10.2.0.0/16"`, nil},
		"two ways to a part":       {`"10.1.0.0/24"`, `"10.2.0.0/16", "10.2.5.0/24"`, `"10.2.5.0/24"`, nil},
		"the plan of the network":  {`"10.1.0.0/24"`, `"10.0.0.0/8 le 24"`, `"10.3.0.0/16"`, nil},
		"a hub's aggregate":        {`"10.0.0.0/8"`, `"10.2.0.0/16"`, `"10.3.0.0/16"`, nil},
		"the own network": {`"10.1.0.0/24"`, `"10.1.0.0/24"`, ``,
			[]string{`peers.d/b.toml:6: bgp.import: "10.1.0.0/24" ` + twoOwn}},
		"a part of the LAN": {`"10.1.0.0/24"`, ``, `"10.1.0.128/25"`,
			[]string{`peers.d/c.toml:6: bgp.import: "10.1.0.128/25" lies inside 10.1.0.0/24, the network of this host's interface lan0: packets to it go to the peer and not to that network`}},
		"the uplink's subnet": {`"10.1.0.0/24"`, `"198.51.100.0/30 le 32"`, ``,
			[]string{`peers.d/b.toml:6: bgp.import: "198.51.100.0/30 le 32" is the network of this host's interface wan0, and never imported: two routers cannot have the same network; correct one of the two`}},
		"a part of the own network": {`"2001:db8:1::/48", "2001:db8:1:1::/64"`, `"2001:db8:1:7::/64"`, ``,
			[]string{`peers.d/b.toml:6: bgp.import: "2001:db8:1:7::/64" lies inside 2001:db8:1::/48, one of this router's own announce.networks: two routers have this part of it`,
				`warren.toml:4: announce.networks: "2001:db8:1::/48" has no`, `warren.toml:4: announce.networks: "2001:db8:1:1::/64" has no`}},
		"a part of another peer's": {`"10.1.0.0/24"`, `"10.2.5.0/24"`, `"10.4.0.0/16", "10.2.0.0/16"`,
			[]string{`peers.d/c.toml:6: bgp.import: "10.2.0.0/16" overlaps with "10.2.5.0/24" of peers.d/b.toml` + twoPeers}},
		"two parts of another peer's": {`"10.1.0.0/24"`, `"10.2.0.0/16 le 24"`, `"10.2.5.0/24", "10.2.6.0/24"`,
			[]string{`peers.d/b.toml:6: bgp.import: "10.2.0.0/16 le 24" overlaps with "10.2.5.0/24" of peers.d/c.toml and 1 more` + twoPeers}},
	} {
		t.Run(name, func(t *testing.T) {
			path := setUp(t, strings.Replace(lanRouter, `"10.1.0.0/24"`, c.networks, 1), map[string]string{
				"peers.d/b.toml": peerOf("", c.b),
				"peers.d/c.toml": strings.Replace(peerOf("", c.c), "b.secret", "c.secret", 1),
			})
			got := load(t, path).Warnings(lanHost(), time.Now())
			if len(got) != len(c.want) {
				t.Fatalf("got:\n%v\nwant:\n%s", got, strings.Join(c.want, "\n"))
			}
			for i, want := range c.want {
				if text := strings.ReplaceAll(got[i].Error(), filepath.Dir(path)+"/", ""); !strings.HasPrefix(text, want) {
					t.Errorf("got:\n%s\nwant:\n%s", text, want)
				}
			}
		})
	}
}
