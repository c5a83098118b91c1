package config

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// warnedAlone compares what is said about the tunnels of one peer, and of another with one.
func warnedAlone(t *testing.T, tunnels string, want ...string) {
	t.Helper()
	path := setUp(t, lanRouter, map[string]string{
		"peers.d/b.toml": severalText + tunnels,
		"peers.d/c.toml": peerOf("preference = 9", ""),
	})
	text := strings.ReplaceAll(load(t, path).Warnings(lanHost(), time.Now()).Error(), filepath.Dir(path)+"/", "")
	if text != strings.Join(want, "\n") {
		t.Errorf("%s\ngot:\n%s\nwant:\n%s", tunnels, text, strings.Join(want, "\n"))
	}
}

func TestWarnsOfTunnelsOnOneLine(t *testing.T) {
	const one = `leaves by the same interface for the same remotes as the tunnel in line 4, with the same preference: one line carries both, and is shared for nothing; set another underlay, remotes or preference`
	const first = "[[tunnel]]\nsecret_file = \"a.secret\"\nremotes = [\"192.0.2.1:443\", \"192.0.2.2:443\"]\n"
	warnedAlone(t, first+"[[tunnel]]\nremotes = [\"192.0.2.2:443\", \"192.0.2.1:443\"]\n", "peers.d/b.toml:7: tunnel: "+one)
	warnedAlone(t, first+"[[tunnel]]\nremotes = [\"192.0.2.2:443\", \"192.0.2.3:443\"]\n")
	warnedAlone(t, first+"[[tunnel]]\nremotes = [\"192.0.2.2:443\"]\n")
	warnedAlone(t, first+"[[tunnel]]\nremotes = [\"192.0.2.2:443\", \"192.0.2.1:443\"]\nunderlay = \"wan1\"\n")
	warnedAlone(t, first+"[[tunnel]]\nremotes = [\"192.0.2.2:443\", \"192.0.2.1:443\"]\npreference = 1\n")
	// The peer dials, and chooses its lines.
	warnedAlone(t, "[[tunnel]]\nsecret_file = \"a.secret\"\n[[tunnel]]\n")
	warnedAlone(t, "[[tunnel]]\nsecret_file = \"a.secret\"\nunderlay = \"wan0\"\n[[tunnel]]\nunderlay = \"wan0\"\n", "peers.d/b.toml:7: tunnel: "+one)
	// What keeps an interface chooses the line.
	warnedAlone(t, "[[tunnel]]\ntransport = \"external\"\ninterface = \"t0\"\npeer_address = \"10.9.0.2\"\n[[tunnel]]\ninterface = \"t1\"\npeer_address = \"10.9.0.6\"\n")
}

func TestWarnsOfSharesWithoutADifference(t *testing.T) {
	const pair = "[[tunnel]]\nsecret_file = \"a.secret\"\nunderlay = \"wan0\"\n%[[tunnel]]\nunderlay = \"wan1\"\n"
	const same = " is that of the other tunnels to the peer too, which take it from here: it makes no difference among them; write into each [[tunnel]] what is meant for it"
	at := func(first string) string { return strings.Replace(pair, "%", first, 1) }
	warnedAlone(t, at("preference = 10\n"), "peers.d/b.toml:7: tunnel.preference: 10"+same)
	warnedAlone(t, at("preference = 10\n")+"preference = 10\n")
	warnedAlone(t, at("preference = 10\n")+"preference = 0\n")
	warnedAlone(t, at("weight = 4\n"), "peers.d/b.toml:7: tunnel.weight: 4"+same)
	warnedAlone(t, at("weight = 4\n")+"weight = 1\n")
	warnedAlone(t, at("preference = 10\nweight = 4\n")+"preference = 5\nweight = 1\n",
		"peers.d/b.toml:8: tunnel.weight: 4 means nothing: it is for shares among tunnels with the same preference, and no other tunnel of this router has the preference 10")
	// Another peer has a tunnel with that preference.
	warnedAlone(t, "[tunnel]\nsecret_file = \"a.secret\"\nweight = 2\npreference = 9\n")
	warnedAlone(t, "[tunnel]\nsecret_file = \"a.secret\"\nweight = 2\n",
		"peers.d/b.toml:6: tunnel.weight: 2 means nothing: it is for shares among tunnels with the same preference, and no other tunnel of this router has the preference 0")
}

func TestWarnsOfAShortDeadAfter(t *testing.T) {
	const short = " is short: false alarms become possible on a line with jitter, where nothing may come through for as long now and then; measure the line, or set at least 200ms"
	for _, transport := range []string{"tls", "wireguard"} {
		first := "[[tunnel]]\ntransport = \"" + transport + "\"\nsecret_file = \"a.secret\"\nunderlay = \"wan0\"\nkeepalive = \"20ms\"\n"
		warnedAlone(t, first+"dead_after = \"50ms\"\n[[tunnel]]\nunderlay = \"wan1\"\n", "peers.d/b.toml:9: tunnel.dead_after: 50ms"+short)
		warnedAlone(t, first+"dead_after = \"199ms\"\n", "peers.d/b.toml:9: tunnel.dead_after: 199ms"+short)
		warnedAlone(t, first+"dead_after = \"200ms\"\n")
	}
}

func TestWarnsOfRemotesWithoutAChoice(t *testing.T) {
	const nobody = "means nothing without remotes: this end waits for the peer to dial"
	tunnel := func(more string) string { return "[tunnel]\nsecret_file = \"a.secret\"\n" + more }
	warnedAlone(t, tunnel("remote_order = \"random\"\nreturn_to_first = true\nconnect_timeout = \"1s\"\n"),
		"peers.d/b.toml:6: tunnel.remote_order: "+nobody,
		"peers.d/b.toml:7: tunnel.return_to_first: "+nobody,
		"peers.d/b.toml:8: tunnel.connect_timeout: "+nobody)
	warnedAlone(t, tunnel("remote_order = \"listed\"\nreturn_to_first = false\n"))
	const one = "means nothing with one of remotes, 192.0.2.1:443: there is no other to choose"
	warnedAlone(t, tunnel("remotes = [\"192.0.2.1:443\"]\nremote_order = \"random\"\nreturn_to_first = true\nconnect_timeout = \"1s\"\n"),
		"peers.d/b.toml:7: tunnel.remote_order: "+one,
		"peers.d/b.toml:8: tunnel.return_to_first: "+one)
	// A name may have several addresses.
	warnedAlone(t, tunnel("remotes = [\"b.example.net:443\"]\nremote_order = \"random\"\n"))
	const two, undoes = "remotes = [\"192.0.2.1:443\", \"192.0.2.2:443\"]\n", "return_to_first goes back to 192.0.2.1:443, the first that is listed, and so undoes remote_order = \"random\": leave one of the two out"
	warnedAlone(t, tunnel(two+"remote_order = \"random\"\nreturn_to_first = true\n"), "peers.d/b.toml:8: tunnel.return_to_first: "+undoes)
	warnedAlone(t, tunnel(two+"remote_order = \"random\"\n"))
	warnedAlone(t, tunnel(two+"return_to_first = true\n"))
	warnedAlone(t, "[[tunnel]]\nsecret_file = \"a.secret\"\n"+two+"return_to_first = true\n[[tunnel]]\nremotes = [\"192.0.2.1:443\", \"192.0.2.3:443\"]\nremote_order = \"random\"\n",
		"peers.d/b.toml:10: tunnel.remote_order: "+undoes)
}

// Between two hubs in one AS preference overrides their own spokes; between routers that pass nothing on it does not.
func TestWarnsOfPreferenceBetweenHubs(t *testing.T) {
	const lines = "[[tunnel]]\nsecret_file = \"a.secret\"\nunderlay = \"wan0\"\npreference = %\n[[tunnel]]\nunderlay = \"wan1\"\npreference = 0\n"
	hub := func(preference, asn, more string) string {
		return strings.Replace(lines, "%", preference, 1) + "[bgp]\nasn = " + asn + "\nimport = [\"10.0.0.0/8 le 32\"]\n" + more
	}
	spoke := strings.Replace(peerOf("preference = 200", "\"10.100.100.25/32\""), "64513", "65000", 1)
	const said = "peers.d/hub-2.toml:4: tunnel.preference: 10 is for all that this peer announces, and over iBGP counts before everything else: what it passes on of spoke is preferred to what spoke announces here, " +
		"whatever preference that has; let the lines share the traffic by weight, such as 256 and 1, or give the two routers an AS number each, and spoke at least this preference"
	for _, c := range []struct{ what, hub, spoke, want string }{
		{"two lines, one in reserve", hub("10", "64512", ""), spoke, said},
		{"the spoke is a client", hub("10", "64512", ""), strings.Replace(spoke, "asn = 65000", "asn = 64512\nroute_reflector_client = true", 1), said},
		{"no reserve", hub("0", "64512", ""), spoke, ""},
		{"an AS number each", hub("10", "64511", ""), spoke, ""},
		{"a client with two lines", hub("10", "64512", "route_reflector_client = true\n"), spoke, ""},
		{"a spoke that announces nothing", hub("10", "64512", ""), strings.Replace(spoke, "[\"10.100.100.25/32\"]", "[]", 1), ""},
		{"a spoke elsewhere", hub("10", "64512", ""), strings.Replace(spoke, "10.100", "172.16", 1), ""},
		{"anything of both", strings.Replace(hub("10", "64512", ""), "10.0.0.0/8 le 32", "any", 1), strings.Replace(spoke, "10.100.100.25/32", "any", 1), said},
	} {
		path := setUp(t, lanRouter, map[string]string{"peers.d/hub-2.toml": c.hub, "peers.d/spoke.toml": c.spoke})
		if got := strings.ReplaceAll(load(t, path).Warnings(lanHost(), time.Now()).Error(), filepath.Dir(path)+"/", ""); got != c.want {
			t.Errorf("%s: got\n%s\nwant\n%s", c.what, got, c.want)
		}
	}
}

// The interface of a further tunnel is warned of under its own name.
func TestWarnsOfTheInterfaceOfAFurtherTunnel(t *testing.T) {
	path := setUp(t, lanRouter, map[string]string{
		"peers.d/b.toml": severalText + "[[tunnel]]\nsecret_file = \"a.secret\"\nunderlay = \"wan0\"\n[[tunnel]]\nunderlay = \"wan1\"\nremotes = [\"198.51.100.2:443\"]\n",
	})
	warned(t, path, lanHost(hostInterface("b.1")), time.Now(),
		`peers.d/b.toml:7: tunnel.interface: is absent, and "b.1" is an interface of this host that is not a tunnel of warren's: the tunnel cannot be made; set another interface`,
		`peers.d/b.toml:9: tunnel.remotes: "198.51.100.2:443" is this router itself: 198.51.100.2 is an address of this host, and it listens on port 443; set the peer's address`)
}

func TestWarnsOfSubnetsOfTwoTunnels(t *testing.T) {
	const first = "[[tunnel]]\nsecret_file = \"a.secret\"\nunderlay = \"wan0\"\naddress = [\"fe80::1/64\", \"10.9.0.1/24\"]\npeer_address = \"10.9.0.2\"\n[[tunnel]]\nunderlay = \"wan1\"\n"
	warnedAlone(t, first+"address = [\"fe80::1/64\",\n\"10.9.0.9/28\"]\npeer_address = \"10.9.0.3\"\n",
		`peers.d/b.toml:12: tunnel.address: "10.9.0.9/28" is in a subnet of the tunnel in line 4 too: the kernel sends to it by one of the two interfaces alone; take a subnet of its own for each tunnel`)
	warnedAlone(t, first+"address = [\"fe80::1/64\", \"10.9.1.9/28\"]\npeer_address = \"10.9.1.3\"\n")
	warnedAlone(t, first)
}
