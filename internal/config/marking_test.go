package config

import (
	"fmt"
	"strings"
	"testing"
)

const wireguardTunnel = "[tunnel]\ntransport = \"wireguard\"\nremotes = [\"192.0.2.1:51820\"]\nsecret_file = \"b.secret\"\n"

// TestMarking checks what outer packets have by what the file says: nothing unless it is asked for.
func TestMarking(t *testing.T) {
	for lines, want := range map[string]string{
		"":                            "false 0",
		"ecn = false":                 "false 0",
		"ecn = true":                  "true 0",
		"dscp = 0":                    "false 0",
		"dscp = 46":                   "false 46",
		"dscp = 63":                   "false 63",
		"dscp = \"ef\"":               "false 46",
		"dscp = \"EF\"":               "false 46",
		"dscp = \"LE\"":               "false 1",
		"dscp = \"CS0\"":              "false 0",
		"dscp = \"cs1\"":              "false 8",
		"dscp = \"cs7\"":              "false 56",
		"dscp = \"af11\"":             "false 10",
		"dscp = \"af23\"":             "false 22",
		"dscp = \"AF41\"":             "false 34",
		"dscp = \"copy\"":             "false -1",
		"ecn = true\ndscp = \"copy\"": "true -1",
	} {
		for _, transport := range []string{TransportWireGuard, TransportAuto} {
			cfg := several(t, strings.Replace(wireguardTunnel, TransportWireGuard, transport, 1)+lines+"\n")
			if got := cfg.Peers[0].Tunnels[0]; fmt.Sprint(got.ECN, " ", got.DSCP) != want {
				t.Errorf("%s, %q: ecn %v, dscp %d, want %s", transport, lines, got.ECN, got.DSCP, want)
			}
		}
	}
	for _, lines := range []string{"dscp = -1", "dscp = 64", "dscp = 256", "dscp = \"\"", "dscp = \"cs8\"", "dscp = \"af44\"", "dscp = \"af51\"", "dscp = \"af4\"",
		"dscp = \"cs\"", "dscp = \"inherit\"", "dscp = 1.5", "dscp = true", "dscp = [46]", "ecn = 1", "ecn = \"true\""} {
		key, _, _ := strings.Cut(lines, " ")
		mustFail(t, setUp(t, routerText+"[wireguard]\nlisten_port = 51820\n", map[string]string{"peers.d/b.toml": severalText + wireguardTunnel + lines + "\n"}), "tunnel."+key+": ")
	}
}

// TestMarkingOfOtherTransports checks that a key is refused where it could do nothing, and that one which the first
// tunnel has for its own transport is in no other's way.
func TestMarkingOfOtherTransports(t *testing.T) {
	const tls = "[tunnel]\nsecret_file = \"b.secret\"\n"
	const external = "[tunnel]\ntransport = \"external\"\ninterface = \"tun0\"\npeer_address = \"10.9.0.2\"\n"
	for file, want := range map[string]string{
		tls + "ecn = true\n":      `tunnel.ecn: means nothing with transport = "tls": no mark of congestion passes a TCP connection`,
		tls + "ecn = false\n":     `tunnel.ecn: means nothing`,
		tls + "dscp = \"copy\"\n": `tunnel.dscp: means nothing with transport = "tls"`,
		external + "ecn = true\n": `tunnel.ecn: means nothing with transport = "external"`,
		external + "dscp = 8\n":   `tunnel.dscp: means nothing with transport = "external"`,
	} {
		mustFail(t, setUp(t, routerText, map[string]string{"peers.d/b.toml": severalText + file}), want)
	}
	cfg := several(t, strings.ReplaceAll(wireguardTunnel, "[tunnel]", "[[tunnel]]")+"ecn = true\ndscp = 8\n"+
		"[[tunnel]]\ntransport = \"tls\"\n[[tunnel]]\nremotes = [\"192.0.2.2:51820\"]\n[[tunnel]]\nremotes = [\"192.0.2.3:51820\"]\necn = false\ndscp = 0\n")
	for i, want := range []string{"true 8", "false 0", "true 8", "false 0"} {
		if got := cfg.Peers[0].Tunnels[i]; fmt.Sprint(got.ECN, " ", got.DSCP) != want {
			t.Errorf("%d: ecn %v, dscp %d, want %s", i, got.ECN, got.DSCP, want)
		}
	}
}

// TestMarkingIsNoOtherTunnel checks what a reload sees where only the marking changes.
func TestMarkingIsNoOtherTunnel(t *testing.T) {
	old := several(t, wireguardTunnel).Peers[0].Tunnels[0]
	for lines, want := range map[string]string{
		"": "[]", "ecn = true\n": "[tunnel.ecn]", "dscp = 8\n": "[tunnel.dscp]", "ecn = true\ndscp = \"copy\"\n": "[tunnel.ecn tunnel.dscp]",
	} {
		next := several(t, wireguardTunnel+lines).Peers[0].Tunnels[0]
		next.Trust = old.Trust // of another directory
		if got := fmt.Sprint(old.MarkedBy(next)); got != want || old.Equal(next) != (want == "[]") || !old.EqualButShare(next) {
			t.Errorf("%q: %s, want %s; equal %v, stays %v", lines, got, want, old.Equal(next), old.EqualButShare(next))
		}
	}
}
