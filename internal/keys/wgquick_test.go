package keys

import (
	"crypto/ecdh"
	"encoding/base64"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"warren/tunnel"
)

func TestFarEnd(t *testing.T) {
	made, err := Router(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, endpoint := range []string{"a.example.net:51820", ""} {
		text, err := FarEnd(made, "site-a", endpoint)
		if err != nil {
			t.Fatal(err)
		}
		get := func(pattern string) string {
			t.Helper()
			m := regexp.MustCompile(`(?m)` + pattern).FindStringSubmatch(text)
			if m == nil {
				t.Fatalf("no %s in\n%s", pattern, text)
			}
			return m[1]
		}
		public, err := base64.StdEncoding.DecodeString(get(`^#   public_key = "(.*)"$`))
		if err != nil {
			t.Fatal(err)
		}
		private, err := base64.StdEncoding.DecodeString(get(`^PrivateKey = (.*)$`))
		if err != nil || publicOf(t, private) != [32]byte(public) {
			t.Errorf("the two keys are no pair: %v", err)
		}
		if got := get(`^PublicKey = (.*)$`); got != made.WireGuardPublic {
			t.Errorf("peer %s, want %s", got, made.WireGuardPublic)
		}
		// What the router derives for its own end.
		ours, _ := base64.StdEncoding.DecodeString(made.WireGuardPublic)
		local, far := tunnel.Addresses(tunnel.Identity(ours), tunnel.Identity(public), 0)
		if got := get(`^Address = (.*)$`); got != netip.PrefixFrom(far, tunnel.AddressBits).String() {
			t.Errorf("address %s, want %s", got, far)
		}
		if !strings.Contains(text, local.String()+",") || !strings.Contains(text, "Table = off") {
			t.Errorf("the router's address or the table is missing:\n%s", text)
		}
		if strings.Contains(text, "Endpoint = "+endpoint+"\n") != (endpoint != "") || strings.Contains(text, "ListenPort") != (endpoint == "") {
			t.Errorf("endpoint %q:\n%s", endpoint, text)
		}
	}
}

func publicOf(t *testing.T, private []byte) [32]byte {
	t.Helper()
	k, err := ecdh.X25519().NewPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return [32]byte(k.PublicKey().Bytes())
}
