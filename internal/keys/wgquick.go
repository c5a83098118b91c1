package keys

import (
	"encoding/base64"
	"fmt"
	"strings"

	"warren/tunnel"
)

// FarEnd returns a configuration for wg-quick(8), with a new private key in it:
// the far end of a WireGuard tunnel to the router name, whose key dir holds.
// Its comments say what the router has to know of it, and where the two ends
// are for BGP. endpoint is host:port where the far end finds the router; "" if
// the router is to begin. It is no template: those keep the linker from leaving out methods that nobody calls (Makefile).
func FarEnd(made Made, name, endpoint string) (string, error) {
	ours, err := base64.StdEncoding.DecodeString(made.WireGuardPublic)
	if err != nil {
		return "", fmt.Errorf("keys: %w", err)
	}
	private, public, err := newWireGuard()
	if err != nil {
		return "", err
	}
	far, router := tunnel.Addresses(tunnel.Identity(public), tunnel.Identity(ours), 0)
	var out strings.Builder
	say := func(format string, values ...any) { fmt.Fprintf(&out, format+"\n", values...) }
	say("# The far end of a WireGuard tunnel to the Warren router %s, for wg-quick(8).", name)
	say("# The private key is nowhere else: keep this file, and keep it from others.")
	say("#")
	say("# In peers.d of %s, a file with this end's name:", name)
	say("#")
	say("#   [tunnel]")
	say(`#   transport  = "wireguard"`)
	say("#   public_key = %q", base64.StdEncoding.EncodeToString(public))
	if endpoint == "" {
		say(`#   remotes    = ["THIS-HOST:51820"]`)
	}
	say("#")
	say("#   [bgp]")
	say("#   asn    = THIS-AS")
	say(`#   import = ["THIS-PREFIX"]`)
	say("#")
	say("# The routing daemon of this end speaks BGP from %s", far)
	say("# to %s, both families in one session (RFC 8950);", router)
	say("# it decides what goes into the tunnel, so wg-quick sets no routes.")
	say("")
	say("[Interface]")
	say("PrivateKey = %s", base64.StdEncoding.EncodeToString(private))
	say("Address = %s/%d", far, tunnel.AddressBits)
	say("MTU = 1420")
	say("Table = off")
	if endpoint == "" {
		say("ListenPort = 51820")
	}
	say("")
	say("[Peer]")
	say("PublicKey = %s", made.WireGuardPublic)
	say("AllowedIPs = 0.0.0.0/0, ::/0")
	if endpoint != "" {
		say("Endpoint = %s", endpoint)
		say("# Begins without waiting for traffic.")
		say("PersistentKeepalive = 25")
	}
	return out.String(), nil
}
