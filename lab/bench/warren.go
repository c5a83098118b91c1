package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	"warren/lab/topo"
)

const warrenPort = 443

// warren is Warren over TLS as it comes, with IPv4 addresses on the tunnel so
// that the load needs no routes.
type warren struct {
	bin  string
	a, b *topo.Warren
}

func (*warren) name() string   { return nameWarren }
func (*warren) title() string  { return "Warren TLS" }
func (*warren) binary() string { return "warren" }

func (w *warren) version(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, filepath.Join(w.bin, w.binary()), "version").Output()
	if err != nil {
		return "", fmt.Errorf("version of warren: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

func (w *warren) prepare(ctx context.Context, p *pair) (err error) {
	bin := filepath.Join(w.bin, w.binary())
	if w.a, err = topo.NewWarren(ctx, p.a, bin); err != nil {
		return err
	}
	if w.b, err = topo.NewWarren(ctx, p.b, bin); err != nil {
		return err
	}
	if err := configureRouters(w.a, w.b); err != nil {
		return err
	}
	return configureTunnel(w.a, w.b, tunnel{name: "bench", forLoad: true})
}

func (w *warren) start(context.Context, *pair) (*session, error) {
	s := &session{addrB: tunnelB, tcpPort: warrenPort}
	for _, r := range []*topo.Warren{w.a, w.b} {
		if err := r.Start(); err != nil {
			return s, err
		}
		s.ends = append(s.ends, r.Process)
	}
	return s, nil
}

// configureRouters writes warren.toml of both ends: A listens.
func configureRouters(a, b *topo.Warren) error {
	const text = `asn = %d
router_id = %q

[announce]
networks = [%q]

%s[api]
socket = %q
`
	listen := fmt.Sprintf("[tls]\nlisten = [\"%s:%d\"]\n\n", underlayA, warrenPort)
	err := a.Configure(fmt.Sprintf(text, 64512, "10.255.0.1", "10.1.0.0/16", listen, a.Socket()))
	if err != nil {
		return err
	}
	return b.Configure(fmt.Sprintf(text, 64513, "10.255.0.2", "10.2.0.0/16", "", b.Socket()))
}

// tunnel describes one tunnel between the two routers.
type tunnel struct {
	name    string // of the peer, at both ends, and of the interface
	link    int
	forLoad bool // with addresses to send the load to
}

// configureTunnel writes the peer's file at both ends: B dials.
func configureTunnel(a, b *topo.Warren, t tunnel) error {
	const text = `[tunnel]
transport = "tls"
%sfingerprint = %q
link = %d
interface = %q
%s
[bgp]
asn = %d
import = ["any"]
`
	var addrA, addrB string
	if t.forLoad {
		addrA = fmt.Sprintf("address = [\"fd99::2/127\", \"%s/30\"]\npeer_address = \"fd99::3\"\n", tunnelA)
		addrB = fmt.Sprintf("address = [\"fd99::3/127\", \"%s/30\"]\npeer_address = \"fd99::2\"\n", tunnelB)
	}
	err := a.ConfigurePeer(t.name, fmt.Sprintf(text, "", b.Fingerprint, t.link, t.name, addrA, 64513))
	if err != nil {
		return err
	}
	remotes := fmt.Sprintf("remotes = [\"%s:%d\"]\n", underlayA, warrenPort)
	return b.ConfigurePeer(t.name, fmt.Sprintf(text, remotes, a.Fingerprint, t.link, t.name, addrB, 64512))
}
