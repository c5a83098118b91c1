package agent

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"warren/bgp"
	"warren/internal/config"
)

// filtersOf loads a config with the peers' files and says what the filters of b come to.
func filtersOf(t *testing.T, router, peer string, connected ...string) (cfg *config.Config, text string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "peers.d"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"warren.toml": "asn = 64512\nrouter_id = \"10.0.0.1\"\n" + router, "peers.d/b.toml": peer} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := config.Load(filepath.Join(dir, "warren.toml"))
	if err != nil {
		t.Fatal(err)
	}
	return cfg, strings.ReplaceAll(strings.Join(filtersText(cfg, "b", netips(strings.Join(connected, " "))), "\n"), dir+"/", "")
}

const lan = "address = \"192.0.2.2\"\n"

// What is written, by the peer's file and by its template, what is default, and what holds anyway.
func TestFiltersText(t *testing.T) {
	cfg, text := filtersOf(t, `
[announce]
networks = ["10.1.0.0/16", "2001:db8:1::/48"]
redistribute = ["connected", "static"]
interfaces = ["lan*"]
[template.site]
bgp.export = ["own", "10.0.0.0/8 le 24"]
bgp.max_prefixes = 7
`, "template = \"site\"\n[bgp]\nasn = 64513\n"+lan+"import = [\"any\", \"10.0.0.0/8 ge 16 le 24\",\n\"10.1.9.0/24\", \"default\"]\nunreachable = [\"10.2.0.0/16\"]\n", "10.1.0.0/24", "192.0.2.0/24")
	expect(t, "text", strings.Split(text, "\n"), []string{
		"import: what is accepted from b (AS 64513)",
		"  never     martians: 0.0.0.0/8, 127.0.0.0/8, 169.254.0.0/16, 192.0.0.8/32, 224.0.0.0/4, 240.0.0.0/4, ::/16, fe80::/10, ff00::/8",
		"  never     10.1.0.0/16, which this router announces (warren.toml:5 networks)",
		"  never     2001:db8:1::/48, which this router announces (warren.toml:5 networks)",
		"  never     what is connected to this host, now: 10.1.0.0/24, 192.0.2.0/24",
		"  never     addresses of tunnels and of gateways, and what would take their traffic",
		"  accepted  any: every prefix of /8 to /32 and, of IPv6, of /16 to /128, but nothing inside 10.1.0.0/16, 10.1.0.0/24, 192.0.2.0/24 and 1 more (peers.d/b.toml:5 import)",
		"  accepted  10.0.0.0/8 ge 16 le 24: prefixes of /16 to /24, but nothing inside 10.1.0.0/16, 10.1.0.0/24 (peers.d/b.toml:5 import)",
		"  accepted  10.1.9.0/24: that prefix alone, although that is inside 10.1.0.0/16 (peers.d/b.toml:6 import)",
		"  accepted  default: 0.0.0.0/0 and ::/0 (peers.d/b.toml:6 import)",
		"  refused   everything else",
		"  refused   what comes past 7 prefixes of a family (warren.toml:10 max_prefixes, of template site); past 1007 that the peer announces the session ends (hard_max_prefixes, by default)",
		"  refused   what has AS 64512, this router's, in its path (allow_own_as, by default)",
		"export: what b is told",
		"  never     martians, what is learned from this peer, and what has NO_ADVERTISE",
		"  told      own: 10.1.0.0/16 (warren.toml:5 networks), 2001:db8:1::/48 (warren.toml:5 networks), connected, static prefixes of interfaces lan* (warren.toml:6 redistribute) (warren.toml:9 export, of template site)",
		"  told      10.0.0.0/8 le 24: prefixes of /8 to /24 (warren.toml:9 export, of template site)",
		"  not told  anything else",
		"  not told  what is learned from other peers in AS 64513 (as_override, by default)",
		"  not told  what has NO_EXPORT",
		"unreachable: what takes no other way while b is gone",
		"  always    10.2.0.0/16 (peers.d/b.toml:7 unreachable)",
	})
	// What is said is what is decided.
	prot := bgp.NewProtected(announced(cfg.Announce.Networks, netips("10.1.0.0/24 192.0.2.0/24")), nil)
	for prefix, want := range map[string]bool{
		"10.2.0.0/16": true, "10.1.9.0/24": true, "10.1.8.0/24": false, "10.1.0.0/16": false, "0.0.0.0/0": true, "8.0.0.0/7": false,
		"127.1.0.0/16": false, "10.1.0.128/25": false, "192.0.2.0/25": false, "2001:db8:1:1::/64": false, "2001:db8:2::/48": true, "2000::/3": false,
	} {
		if got, _ := policy(cfg.Peers[0].BGP.Import).Accepts(netip.MustParsePrefix(prefix), prot); got != want {
			t.Errorf("%s is accepted: %v", prefix, got)
		}
	}
}

// Nothing written, and a peer in this router's own AS.
func TestFiltersTextOfLittle(t *testing.T) {
	_, text := filtersOf(t, "", "[bgp]\nasn = 64512\n"+lan+"import = []\nunreachable = true\nallow_own_as = 1\n")
	for _, want := range []string{
		"\n  refused   everything (peers.d/b.toml:4 import)\n", "\n  never     what is connected to this host\n",
		"\n  refused   what has AS 64512, this router's, more than once in its path (peers.d/b.toml:6 allow_own_as)\n",
		"\n  told      own: nothing is announced, as [announce] has neither networks nor redistribute (export, by default)\n",
		"\n  not told  what is learned from other peers in AS 64512, unless they are clients (route_reflector_client, by default)\n",
		"\n  kept      what was learned from it (peers.d/b.toml:5 unreachable)",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "NO_EXPORT") || strings.Contains(text, "as_override") {
		t.Errorf("%s", text)
	}
	_, text = filtersOf(t, "", "[bgp]\nasn = 64513\n"+lan+"import = [\"any\"]\nexport = []\nas_override = true\n")
	if !strings.HasSuffix(text, "\n  not told  anything (peers.d/b.toml:5 export)") {
		t.Errorf("%s", text)
	}
}
