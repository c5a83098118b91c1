package config

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var congestionRouter = strings.Replace(routerText, "[tls]\n", "[tls]\ncongestion = \"cubic\"\n", 1)

// TestCongestionOfTunnels checks where each tunnel has its congestion control from.
func TestCongestionOfTunnels(t *testing.T) {
	const bgp = "[bgp]\nasn = 64513\nimport = []\n"
	const known = "[[tunnel]]\nsecret_file = \"b.secret\"\n"
	peers := map[string]string{
		"peers.d/b.toml": bgp + known + "congestion = \"bbr\"\n[[tunnel]]\n[[tunnel]]\ncongestion = \"auto\"\n[[tunnel]]\ntransport = \"wireguard\"\nremotes = [\"192.0.2.1:51820\"]\n",
		"peers.d/c.toml": bgp + "[tunnel]\nsecret_file = \"c.secret\"\n",
	}
	for router, want := range map[string][]string{
		congestionRouter: {"bbr", "bbr", "auto", "", "cubic"},
		routerText:       {"bbr", "bbr", "auto", "", "auto"},
	} {
		var got []string
		cfg := load(t, setUp(t, router, peers))
		for _, tunnel := range cfg.tunnels() {
			got = append(got, tunnel.Congestion)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
		if !cfg.UsesAutoCongestion() {
			t.Error("no tunnel is said to leave it to the transport")
		}
	}
	delete(peers, "peers.d/b.toml")
	if load(t, setUp(t, congestionRouter, peers)).UsesAutoCongestion() {
		t.Error("a tunnel is said to leave it to the transport")
	}
}

// TestCheckCongestion checks that each name is asked for once, and what is said of those that
// the kernel does not give.
func TestCheckCongestion(t *testing.T) {
	path := setUp(t, strings.Replace(congestionRouter, "cubic", "vegas", 1)+"[template.t.tunnel]\ncongestion = \"westwood\"\n", map[string]string{
		"peers.d/b.toml": "[bgp]\nasn = 64513\nimport = []\n[[tunnel]]\nsecret_file = \"b.secret\"\ncongestion = \"vegas\"\n[[tunnel]]\n[[tunnel]]\ncongestion = \"reno\"\n",
		"peers.d/c.toml": "template = \"t\"\n[tunnel]\nsecret_file = \"c.secret\"\nkeepalive = \"500ms\"\n[bgp]\nasn = 64513\nimport = []\n",
		"peers.d/d.toml": "template = \"t\"\n[tunnel]\nsecret_file = \"d.secret\"\ncongestion = \"auto\"\n[bgp]\nasn = 64513\nimport = []\n",
	})
	var asked []string
	err := load(t, path).CheckCongestion(func(name string) error {
		asked = append(asked, name)
		if name == "reno" {
			return nil
		}
		return errors.New("is not here")
	})
	if slices.Sort(asked); !slices.Equal(asked, []string{"reno", "vegas", "westwood"}) {
		t.Errorf("asked for %q", asked)
	}
	var mistakes Errors
	if !errors.As(err, &mistakes) {
		t.Fatalf("error %v", err)
	}
	var got []string
	for _, m := range mistakes {
		got = append(got, filepath.Base(m.File)+" "+m.Key+" "+m.Text)
	}
	if len(got) != 3 || got[0] != `b.toml tunnel.congestion "vegas" is not here` ||
		got[1] != `warren.toml tls.congestion "vegas" is not here` || !strings.HasPrefix(got[2], `warren.toml template.t.tunnel.congestion "westwood" is not here; so for peer c (`) {
		t.Errorf("%q", got)
	}
	if err := load(t, path).CheckCongestion(func(string) error { return nil }); err != nil {
		t.Errorf("error %v", err)
	}
}

// TestCongestionOfAcceptedPeers checks what is asked for the template that only [accept] takes.
func TestCongestionOfAcceptedPeers(t *testing.T) {
	text := acceptText + strings.Replace(acceptTemplate, "keepalive", "congestion = \"vegas\"\nkeepalive", 1)
	err := load(t, setUp(t, text, nil)).CheckCongestion(func(string) error { return errors.New("is not here") })
	if err == nil || !strings.Contains(err.Error(), "warren.toml:11: template.spoke.tunnel.congestion: \"vegas\" is not here; so for peer *.spokes.example.net, extra? (") {
		t.Errorf("error %v", err)
	}
	for template, want := range map[string]bool{"vegas": false, CongestionAuto: true} {
		cfg := load(t, setUp(t, strings.Replace(text, "vegas", template, 1), nil))
		if p, err := cfg.AcceptedPeer("extra1"); err != nil || p.Tunnels[0].Congestion != template || cfg.UsesAutoCongestion() != want {
			t.Errorf("%s: %+v, %v", template, p, err)
		}
	}
	if !load(t, setUp(t, acceptText+acceptTemplate, nil)).UsesAutoCongestion() {
		t.Error("an accepted peer without congestion is not said to leave it to the transport")
	}
}
