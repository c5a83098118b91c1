package config

import (
	"encoding/base64"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

const severalText = "[bgp]\nasn = 64513\nimport = []\n"

// several loads a peer b with a file of this text, which [bgp] comes before.
func several(t *testing.T, text string) *Config {
	t.Helper()
	return load(t, setUp(t, routerText+"[wireguard]\nlisten_port = 51820\n", map[string]string{"peers.d/b.toml": severalText + text}))
}

// TestSeveralTunnels checks what a further tunnel takes from the first, and what it does not.
func TestSeveralTunnels(t *testing.T) {
	cfg := several(t, `
[[tunnel]]
secret_file = "b.secret"
remotes = ["192.0.2.1:443", "192.0.2.2:443"]
underlay = "wan0"
address = ["fe80::1/64"]
peer_address = "fe80::2"
mtu = 9000
keepalive = "20ms"
dead_after = "50ms"
remote_order = "random"
return_to_first = true
connect_timeout = "500ms"
congestion = "reno"
weight = 3
preference = 7
[[tunnel]]
[[tunnel]]
remotes = ["198.51.100.1:443"]
underlay = "wan1"
interface = "other"
link = 12
keepalive = "1s"
dead_after = "3s"
remote_order = "listed"
return_to_first = false
weight = 256
preference = 0
[[tunnel]]
transport = "wireguard"
`)
	b := cfg.Peers[0]
	want := Tunnel{
		Transport: TransportTLS, Trust: b.Tunnels[0].Trust, Remotes: []Remote{{"192.0.2.1", 443}, {"192.0.2.2", 443}}, Underlay: "wan0",
		Interface: "b", MTU: 9000, Address: b.Tunnels[0].Address, PeerAddress: b.Tunnels[0].PeerAddress,
		Keepalive: 20 * time.Millisecond, DeadAfter: 50 * time.Millisecond,
		RemoteOrder: RemotesRandom, ReturnToFirst: true, ConnectTimeout: 500 * time.Millisecond, Weight: 3, Preference: 7, Congestion: "reno",
	}
	if len(b.Tunnels) != 4 || len(b.Tunnels[0].Trust.Secrets) != 1 || !b.Tunnels[0].Equal(want) {
		t.Fatalf("first of %d: %+v", len(b.Tunnels), b.Tunnels[0])
	}
	want.Remotes, want.Underlay, want.Address, want.PeerAddress = nil, "", nil, b.Tunnels[1].PeerAddress
	want.Link, want.Interface = 1, "b.1"
	if got := b.Tunnels[1]; got.PeerAddress.IsValid() || !got.Equal(want) {
		t.Errorf("second: %+v", got)
	}
	third := want
	third.Link, third.Interface, third.Underlay, third.Remotes = 12, "other", "wan1", []Remote{{"198.51.100.1", 443}}
	third.Keepalive, third.DeadAfter, third.RemoteOrder, third.ReturnToFirst = time.Second, 3*time.Second, RemotesListed, false
	third.Weight, third.Preference = 256, 0
	if got := b.Tunnels[2]; !got.Equal(third) {
		t.Errorf("third: %+v", got)
	}
	fourth := want
	fourth.Transport, fourth.Probe, fourth.Link, fourth.Interface = TransportWireGuard, ProbeICMP, 3, "b.3"
	fourth.Trust.First, fourth.Congestion = true, ""
	if got := b.Tunnels[3]; !got.Equal(fourth) {
		t.Errorf("fourth: %+v", got)
	}
}

// TestInheritedKeysThatMeanNothing checks that what the first tunnel has for its transport is
// in no other's way.
func TestInheritedKeysThatMeanNothing(t *testing.T) {
	cfg := several(t, `
[[tunnel]]
transport = "wireguard"
public_key = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="
preshared_key_file = "site-f.psk"
private_key_files = ["own.key"]
mtu = 1400
keepalive = "1m"
dead_after = "3m"
persistent_keepalive = "30s"
[[tunnel]]
transport = "tls"
secret_file = "b.secret"
[[tunnel]]
transport = "external"
interface = "tun0"
peer_address = "10.9.0.2"
[[tunnel]]
secret_file = "c.secret"
probe = "none"
[[tunnel]]
secret_file = "d.secret"
keepalive = "2s"
dead_after = "9s"
[[tunnel]]
transport = "tls"
ca_file = "ca.crt"
peer_name = "b.example.net"
[[tunnel]]
transport = "external"
interface = "tun1"
peer_address = "10.9.0.6"
`)
	tunnels := cfg.Peers[0].Tunnels
	for i, want := range []Tunnel{
		{Transport: TransportWireGuard, MTU: 1400, Probe: ProbeICMP, Keepalive: time.Minute, DeadAfter: 3 * time.Minute, PersistentKeepalive: 30 * time.Second},
		{Transport: TransportTLS, MTU: 1400, Keepalive: time.Minute, DeadAfter: 3 * time.Minute},
		{Transport: TransportExternal, Probe: ProbeICMP, Keepalive: time.Minute, DeadAfter: 3 * time.Minute},
		{Transport: TransportWireGuard, MTU: 1400, Probe: ProbeNone, PersistentKeepalive: 30 * time.Second},
		{Transport: TransportWireGuard, MTU: 1400, Probe: ProbeICMP, Keepalive: 2 * time.Second, DeadAfter: 9 * time.Second},
		{Transport: TransportTLS, MTU: 1400, Keepalive: time.Minute, DeadAfter: 3 * time.Minute},
		{Transport: TransportExternal, Probe: ProbeICMP, Keepalive: time.Minute, DeadAfter: 3 * time.Minute},
	} {
		got := tunnels[i]
		if got.Transport != want.Transport || got.MTU != want.MTU || got.Probe != want.Probe || got.Keepalive != want.Keepalive ||
			got.DeadAfter != want.DeadAfter || got.PersistentKeepalive != want.PersistentKeepalive || got.Link != i {
			t.Errorf("%d: %+v", i, got)
		}
	}
	if m := tunnels[5].Trust; m.Method != TrustCA || m.PeerName != "b.example.net" {
		t.Errorf("trust %+v", m)
	}
}

// TestLinksCount checks how tunnels are numbered that have no number.
func TestLinksCount(t *testing.T) {
	external := 0
	for text, want := range map[string][]int{
		"first":           {0},
		"first 5":         {5},
		"5,,":             {5, 6, 7},
		",,":              {0, 1, 2},
		",9,":             {0, 9, 2},
		"1,0":             {1, 0},
		"x,,":             {0, 1, 2},
		",x,1":            {0, 2, 1},
		"2,x,x,3":         {2, 4, 5, 3},
		"65534,":          {65534, 65535},
		"x,x,1,0":         {2, 3, 1, 0},
		",,,,,,,,,,,,,,,": {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
	} {
		var file strings.Builder
		parts := strings.Split(text, ",")
		if one, ok := strings.CutPrefix(text, "first"); ok {
			parts = []string{strings.TrimSpace(one)}
		}
		for _, p := range parts {
			file.WriteString("[[tunnel]]\n")
			if p == "x" {
				external++
				fmt.Fprintf(&file, "transport = \"external\"\ninterface = \"tun%d\"\npeer_address = \"10.9.0.%d\"\n", external, external)
				continue
			}
			file.WriteString("transport = \"tls\"\nsecret_file = \"b.secret\"\n")
			if p != "" {
				file.WriteString("link = " + p + "\n")
			}
		}
		var got []int
		for _, tunnel := range several(t, file.String()).Peers[0].Tunnels {
			got = append(got, tunnel.Link)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

// TestKeysForEachLink checks how WireGuard's keys are dealt out: in the order of links,
// whatever that of the tables is.
func TestKeysForEachLink(t *testing.T) {
	const one, two, three = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=", "HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=", "TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0="
	const public = "transport = \"wireguard\"\npublic_keys = [\"" + one + "\",\n\"" + two + "\"]\n"
	for name, c := range map[string]struct {
		text    string
		public  []string // of each tunnel, the first bytes of its keys
		private []string // of each tunnel, the file
	}{
		"one tunnel, two keys": {"[tunnel]\n" + public, []string{one + two}, []string{""}},
		"a key each":           {"[[tunnel]]\n" + public + "[[tunnel]]\n", []string{one, two}, []string{"", ""}},
		"in the order of links": {"[[tunnel]]\nlink = 1\n" + public + "private_key_files = [\"one.key\", \"two.key\"]\n[[tunnel]]\nlink = 0\n",
			[]string{two, one}, []string{"two.key", "one.key"}},
		"one key of the peer, two of this end": {"[[tunnel]]\ntransport = \"wireguard\"\npublic_key = \"" + one + "\"\nprivate_key_files = [\"one.key\", \"two.key\"]\n[[tunnel]]\n",
			[]string{one, one}, []string{"one.key", "two.key"}},
		"the others have their own": {"[[tunnel]]\n" + public + "[[tunnel]]\npublic_key = \"" + three + "\"\n",
			[]string{one + two, three}, []string{"", ""}},
		"one of the others has its own": {"[[tunnel]]\n" + public + "[[tunnel]]\npublic_key = \"" + three + "\"\n[[tunnel]]\n",
			[]string{one, three, two}, []string{"", "", ""}},
		"another transport in between": {"[[tunnel]]\n" + public + "[[tunnel]]\ntransport = \"tls\"\nsecret_file = \"b.secret\"\n[[tunnel]]\n",
			[]string{one, "", two}, []string{"", "", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := several(t, c.text)
			read := func(file string) Secret {
				if file == "" {
					return nil
				}
				l := &loader{dir: filepath.Dir(cfg.Path)}
				return l.privateKeyOf(value[list]{v: list{{text: file}}, state: given})
			}
			for i, tunnel := range cfg.Peers[0].Tunnels {
				public := ""
				for _, k := range tunnel.Trust.PublicKeys {
					public += base64.StdEncoding.EncodeToString(k[:])
				}
				if public != c.public[i] {
					t.Errorf("%d: public %s", i, public)
				}
				if want := read(c.private[i]); string(tunnel.Trust.PrivateKey) != string(want) || (want == nil) != (c.private[i] == "") {
					t.Errorf("%d: not the private key of %q", i, c.private[i])
				}
			}
		})
	}
}

// TestEveryKeyIsInheritedOrNot checks that none of the keys is forgotten.
func TestEveryKeyIsInheritedOrNot(t *testing.T) {
	var raw rawTunnel
	times := map[any]int{}
	for _, group := range [][]inheritable{raw.methods(), raw.common(), raw.single()} {
		for _, key := range group {
			times[key]++
		}
	}
	fields := reflect.ValueOf(&raw).Elem()
	for i := range fields.NumField() {
		if n := times[fields.Field(i).Addr().Interface()]; n != 1 {
			t.Errorf("%s is in %d groups", fields.Type().Field(i).Name, n)
		}
	}
}

// TestShareIsNoOtherTunnel checks what a reload sees where only shares change.
func TestShareIsNoOtherTunnel(t *testing.T) {
	const base = "[[tunnel]]\nsecret_file = \"b.secret\"\nremotes = [\"192.0.2.1:443\"]\n[[tunnel]]\n"
	path := setUp(t, routerText, map[string]string{"peers.d/b.toml": severalText + base})
	old := load(t, path).Peers[0]
	for _, c := range []struct {
		more        string
		equal, stay bool
	}{
		{"", true, true}, {"weight = 1", true, true}, {"preference = 0", true, true},
		{"weight = 2", false, true}, {"preference = 1", false, true}, {"weight = 2\npreference = 1", false, true}, {"congestion = \"reno\"", false, true},
		{"mtu = 1400", false, false}, {"remote_order = \"random\"", false, false}, {"return_to_first = true", false, false},
		{"connect_timeout = \"3s\"", false, false}, {"secret_file = \"a.secret\"\nweight = 2", false, false},
	} {
		write(t, filepath.Join(filepath.Dir(path), "peers.d", "b.toml"), severalText+base+c.more+"\n")
		p := load(t, path).Peers[0]
		if p.Equal(old) != c.equal || !p.Tunnels[0].Equal(old.Tunnels[0]) || p.Tunnels[1].Equal(old.Tunnels[1]) != c.equal ||
			p.Tunnels[1].EqualButShare(old.Tunnels[1]) != c.stay || !p.BGP.Equal(old.BGP) {
			t.Errorf("%q: equal %v, stays %v", c.more, p.Equal(old), p.Tunnels[1].EqualButShare(old.Tunnels[1]))
		}
		if strings.HasPrefix(c.more, "secret_file") != !p.Tunnels[1].Trust.Equal(old.Tunnels[1].Trust) ||
			strings.HasPrefix(c.more, "secret_file") && !p.Tunnels[1].EqualButTrust(old.Tunnels[1]) {
			t.Errorf("%q: but for trust", c.more)
		}
	}
	write(t, filepath.Join(filepath.Dir(path), "peers.d", "b.toml"), severalText+base+"[[tunnel]]\n")
	if load(t, path).Peers[0].Equal(old) {
		t.Error("another tunnel is no difference")
	}
}
