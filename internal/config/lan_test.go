package config

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// lanConfig loads a config with one peer, whose [bgp] has more.
func lanConfig(t *testing.T, more string) *Config {
	t.Helper()
	dir := keyDir(t)
	write(t, filepath.Join(dir, "warren.toml"), "asn = 64512\nrouter_id = \"10.0.0.1\"\n")
	write(t, filepath.Join(dir, "peers.d", "b.toml"), "[bgp]\nasn = 64513\nimport = [\"any\"]\n"+more)
	return load(t, filepath.Join(dir, "warren.toml"))
}

// TestLAN: a peer without a tunnel has where it is, and what makes another session of it.
func TestLAN(t *testing.T) {
	const whole = "address = \"192.0.2.2\"\ninterface = \"eth0\"\npassword_file = \"site-m.password\"\nttl_security = true\n"
	p := lanConfig(t, whole).Peers[0]
	lan := p.BGP.LAN
	if len(p.Tunnels) > 0 || !lan.IsSet() || lan.Address != netip.MustParseAddr("192.0.2.2") || lan.Interface != "eth0" || string(lan.Password) != "a b c" || !lan.TTLSecurity {
		t.Errorf("%+v", p)
	}
	if text := fmt.Sprintf("%v %+v %#v", lan, lan, lan); strings.Contains(text, "a b c") {
		t.Errorf("the password shows itself: %s", text)
	}
	if again := lanConfig(t, whole).Peers[0]; !again.Equal(p) {
		t.Error("the same is not equal")
	}
	for _, more := range []string{
		"address = \"192.0.2.3\"\ninterface = \"eth0\"\npassword_file = \"site-m.password\"\nttl_security = true\n",
		"address = \"192.0.2.2\"\npassword_file = \"site-m.password\"\nttl_security = true\n",
		"address = \"192.0.2.2\"\ninterface = \"eth0\"\nttl_security = true\n",
		"address = \"192.0.2.2\"\ninterface = \"eth0\"\npassword_file = \"a.secret\"\nttl_security = true\n",
		"address = \"192.0.2.2\"\ninterface = \"eth0\"\npassword_file = \"site-m.password\"\n",
	} {
		if other := lanConfig(t, more).Peers[0]; other.Equal(p) || other.BGP.SameSession(p.BGP) {
			t.Errorf("%q makes the same session", more)
		}
	}
	if p := lanConfig(t, "address = \"fe80::2\"\ninterface = \"eth0\"\n").Peers[0]; p.BGP.LAN.Password != nil || p.BGP.LAN.TTLSecurity {
		t.Errorf("%+v", p)
	}
}

// TestWarnsOfLANs: an address that is nowhere near, or this host's own.
func TestWarnsOfLANs(t *testing.T) {
	host := Host{Interfaces: []HostInterface{
		{Name: "eth0", Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("fe80::1/64")}},
		{Name: "eth1", Addresses: []netip.Prefix{netip.MustParsePrefix("fe80::1/64")}},
	}}
	for more, want := range map[string]string{
		"address = \"192.0.2.2\"":                       "",
		"address = \"192.0.2.2\"\ninterface = \"eth0\"": "",
		"address = \"fe80::2\"\ninterface = \"eth1\"":   "",
		"address = \"192.0.2.2\"\ninterface = \"eth1\"": "b.toml:4: bgp.address: 192.0.2.2 is in no network of interface eth1",
		"address = \"198.51.100.1\"":                    "b.toml:4: bgp.address: 198.51.100.1 is in no network of this host",
		"address = \"192.0.2.1\"":                       "b.toml:4: bgp.address: 192.0.2.1 is an address of this host, of its interface eth0; set the peer's",
		"address = \"fe80::1\"\ninterface = \"eth1\"\n": "b.toml:4: bgp.address: fe80::1 is an address of this host",
	} {
		got := lanConfig(t, more+"\n").Warnings(host, time.Now()).Error()
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%q: %q, want %q", more, got, want)
		}
	}
}
