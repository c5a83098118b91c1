package config

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestAssign checks both ends of an assigned address.
func TestAssign(t *testing.T) {
	path := setUp(t, routerText+"[wireguard]\nlisten_port = 51820\n[template.spoke.tunnel]\nsecret_file = \"{name}.secret\"\n[template.spoke.bgp]\nasn = 64530\nimport = []\n", map[string]string{
		"peers.d/spokes.toml": `
[peer]
a = { template = "spoke", tunnel.assign = ["10.100.100.1/32", "2001:db8:100::1/128"] }
b = { template = "spoke", tunnel.address = "assigned" }
c = { template = "spoke", tunnel = { transport = "wireguard", address = "assigned", assign = [] } }
[peer.d]
template = "spoke"
[[peer.d.tunnel]]
assign = ["10.100.100.4/32"]
[[peer.d.tunnel]]
[[peer.d.tunnel]]
assign = ["10.100.100.4/32", "10.100.100.5/32"]
`})
	peers := load(t, path).Peers
	for i, want := range [][]string{{"10.100.100.1/32 2001:db8:100::1/128"}, {"assigned"}, {"assigned"}, {"10.100.100.4/32", "10.100.100.4/32", "10.100.100.4/32 10.100.100.5/32"}} {
		var got []string
		for _, tunnel := range peers[i].Tunnels {
			text := strings.Trim(fmt.Sprint(tunnel.Assign), "[]")
			if tunnel.Assigned {
				text += assignedWord
			}
			if got = append(got, text); len(tunnel.Address) != 0 || tunnel.PeerAddress.IsValid() {
				t.Errorf("%s: %+v", peers[i].Name, tunnel)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", peers[i].Name, got, want)
		}
	}
	a, b := peers[0].Tunnels[0], peers[1].Tunnels[0]
	other := a
	other.Assign = []netip.Prefix{a.Assign[0]}
	if a.Equal(other) || a.EqualButTrust(other) {
		t.Error("another address is no difference")
	}
	if other = b; other.Equal(b) {
		other.Assigned = false
	}
	if b.Equal(other) {
		t.Error("that it is assigned is no difference")
	}
}

// TestAssignedIsForAllTunnels checks that the address is there by whichever of several tunnels is up, as the hub assigns it in all.
func TestAssignedIsForAllTunnels(t *testing.T) {
	const head = "[[tunnel]]\nsecret_file = \"b.secret\"\nremotes = [\"192.0.2.1:443\"]\naddress = \"assigned\"\n[[tunnel]]\n"
	for more, want := range map[string]string{
		"": "[true true]",
		"remotes = [\"192.0.2.2:443\"]\n[[tunnel]]\n":                                         "[true true true]",
		"address = [\"10.0.0.1/31\"]\n":                                                       "[true false]",
		"transport = \"external\"\ninterface = \"tun0\"\npeer_address = \"10.8.0.2\"\n":       "[true false]",
		"transport = \"wireguard\"\nremotes = [\"192.0.2.2:51820\"]\n":                        "[true true]",
		"transport = \"wireguard\"\ndatapath = \"kernel\"\nremotes = [\"192.0.2.2:51820\"]\n": "[true false]",
	} {
		var got []bool
		for _, tunnel := range several(t, head+more).Peers[0].Tunnels {
			got = append(got, tunnel.Assigned)
		}
		if fmt.Sprint(got) != want {
			t.Errorf("%q: %v, want %s", more, got, want)
		}
	}
	mustFail(t, setUp(t, routerText, map[string]string{"peers.d/b.toml": severalText + head + "peer_address = \"10.0.0.0\"\n"}),
		"b.toml:9: tunnel.peer_address: \"10.0.0.0\" needs address")
}

// TestAssignMistakes gives peer b one mistake; a, whose file is right, has an address.
func TestAssignMistakes(t *testing.T) {
	for tunnel, want := range map[string]string{
		"assign = [\"10.100.100.0/24\"]":                            "b.toml:6: tunnel.assign: \"10.100.100.0/24\" is a network; write one address that the peer is to have, such as 10.100.100.1/32",
		"assign = [\n\"10.0.9.1/32\",\n\"10.100.100.1/32\"]":        "b.toml:8: tunnel.assign: \"10.100.100.1/32\" is assigned to the peer in DIR/peers.d/a.toml already; two peers cannot have one address",
		"assign = [\"10.0.9.1/32\",\n\"10.0.9.1/32\"]":              "b.toml:7: tunnel.assign: \"10.0.9.1/32\" is there twice",
		"assign = [\"10.0.9.1\"]":                                   "b.toml:6: tunnel.assign: \"10.0.9.1\" has no length: write 10.0.9.1/32",
		"assign = [\"127.0.0.1/32\"]":                               "b.toml:6: tunnel.assign: \"127.0.0.1/32\" can never be routed",
		"assign = [\"fd00::1/128\"]":                                "b.toml:6: tunnel.assign: \"fd00::1/128\" is this router's own, in the tunnel of DIR/peers.d/a.toml; the peer cannot have it",
		"assign = \"10.0.9.1/32\"":                                  "b.toml:6: tunnel.assign: is a string; it must be a list of strings",
		"assign = [" + strings.Repeat("\"10.0.9.1/32\",", 17) + "]": "b.toml:6: tunnel.assign: has 17 addresses; allowed are at most 16",
		"address = \"dhcp\"":                                        "b.toml:6: tunnel.address: \"dhcp\" is neither \"assigned\" nor a list of addresses",
		"address = 7":                                               "b.toml:6: tunnel.address: is a whole number; it must be a list of strings",
		"address = [\n\"x\"]":                                       "b.toml:7: tunnel.address: \"x\" is not an address with a length",
		"address = \"assigned\"\npeer_address = \"fd00:1::1\"":      "b.toml:7: tunnel.peer_address: means nothing with address = \"assigned\"",
	} {
		path := setUp(t, routerText, map[string]string{
			"peers.d/a.toml": peerText + "secret_file = \"a.secret\"\naddress = [\"fd00::1/127\"]\nassign = [\"10.100.100.1/32\"]\n",
			"peers.d/b.toml": peerText + "secret_file = \"b.secret\"\n" + tunnel + "\n",
		})
		mustFail(t, path, strings.ReplaceAll(want, "DIR", filepath.Dir(path)))
	}
	for key, want := range map[string]string{
		"address = \"assigned\"": "tunnel.address: means nothing with transport = \"external\"", "assign = [\"10.0.9.1/32\"]": "tunnel.assign: means nothing with transport = \"external\"",
	} {
		mustFail(t, setUp(t, routerText, map[string]string{
			"peers.d/b.toml": peerText + "transport = \"external\"\ninterface = \"tun0\"\npeer_address = \"10.8.0.2\"\n" + key + "\n",
		}), want)
	}
	mustFail(t, setUp(t, routerText+"[wireguard]\nlisten_port = 51820\n", map[string]string{
		"peers.d/b.toml": strings.Replace(peerText, "64513", "64512", 1) + "transport = \"wireguard\"\nsecret_file = \"b.secret\"\naddress = \"assigned\"\n",
	}), "both ends are AS 64512, so that nothing tells which of the secret's two keys is whose")
}
