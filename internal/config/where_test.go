package config

import (
	"net/netip"
	"testing"
)

// It is known where a key is written: in the peer's file, in a file of several peers, in a template. Of
// one that is not written nothing is said.
func TestWhere(t *testing.T) {
	l := &loader{}
	cfg, err := l.load(source{"warren.toml", []byte(`asn = 64512
router_id = "10.1.0.1"
[announce]
networks = ["10.1.0.0/16",
  "10.2.0.0/16"]
[template.t.bgp]
max_prefixes = 7
export = ["any"]
`)}, []source{
		{"peers.d/b.toml", []byte("[bgp]\nasn = 64513\naddress = \"192.0.2.2\"\nimport = [\n\"any\"]\n")},
		{"peers.d/more.toml", []byte("[peer.c.bgp]\nasn = 64514\naddress = \"192.0.2.3\"\nimport = []\n[peer.d]\ntemplate = \"t\"\n[peer.d.bgp]\nasn = 64515\naddress = \"192.0.2.4\"\nimport = []\nexport = []\n")},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ peer, key, want string }{
		{"b", "import", "peers.d/b.toml:4"}, {"b", "max_prefixes", ""}, {"c", "import", "peers.d/more.toml:4"},
		{"d", "max_prefixes", "warren.toml:7"}, {"d", "export", "peers.d/more.toml:11"}, {"c", "export", ""},
		{"nobody", "import", ""}, {"b", "frobnicate", ""},
	} {
		if got := cfg.Where(tt.peer, tt.key); got != tt.want {
			t.Errorf("%s of %s is at %q, want %q", tt.key, tt.peer, got, tt.want)
		}
	}
	for p, want := range map[string]string{"10.1.0.0/16": "warren.toml:4", "10.2.0.0/16": "warren.toml:5", "10.3.0.0/16": ""} {
		if got := cfg.WhereNetwork(netip.MustParsePrefix(p)); got != want {
			t.Errorf("network %s is at %q, want %q", p, got, want)
		}
	}
	if a, b := cfg.WhereRouter("router_id"), cfg.WhereRouter("cluster_id"); a != "warren.toml:2" || b != "" {
		t.Errorf("router_id is at %q, cluster_id at %q", a, b)
	}
}
