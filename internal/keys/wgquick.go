package keys

import (
	"encoding/base64"
	"fmt"
	"strings"
	"text/template"

	"warren/tunnel"
)

// FarEnd returns a configuration for wg-quick(8), with a new private key in it:
// the far end of a WireGuard tunnel to the router name, whose key dir holds.
// Its comments say what the router has to know of it, and where the two ends
// are for BGP. endpoint is host:port where the far end finds the router; "" if
// the router is to begin.
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
	err = farEnd.Execute(&out, map[string]any{
		"Name": name, "Endpoint": endpoint, "Bits": tunnel.AddressBits,
		"Private": base64.StdEncoding.EncodeToString(private), "Public": base64.StdEncoding.EncodeToString(public),
		"RouterPublic": made.WireGuardPublic, "Far": far, "Router": router,
	})
	if err != nil {
		return "", fmt.Errorf("keys: %w", err)
	}
	return out.String(), nil
}

var farEnd = template.Must(template.New("wg-quick").Parse(`# The far end of a WireGuard tunnel to the Warren router {{.Name}}, for wg-quick(8).
# The private key is nowhere else: keep this file, and keep it from others.
#
# In peers.d of {{.Name}}, a file with this end's name:
#
#   [tunnel]
#   transport  = "wireguard"
#   public_key = "{{.Public}}"
{{- if not .Endpoint}}
#   remotes    = ["THIS-HOST:51820"]
{{- end}}
#
#   [bgp]
#   asn    = THIS-AS
#   import = ["THIS-PREFIX"]
#
# The routing daemon of this end speaks BGP from {{.Far}}
# to {{.Router}}, both families in one session (RFC 8950);
# it decides what goes into the tunnel, so wg-quick sets no routes.

[Interface]
PrivateKey = {{.Private}}
Address = {{.Far}}/{{.Bits}}
MTU = 1420
Table = off
{{- if not .Endpoint}}
ListenPort = 51820
{{- end}}

[Peer]
PublicKey = {{.RouterPublic}}
AllowedIPs = 0.0.0.0/0, ::/0
{{- if .Endpoint}}
Endpoint = {{.Endpoint}}
# Begins without waiting for traffic.
PersistentKeepalive = 25
{{- end}}
`))
