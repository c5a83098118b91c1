package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	"warren/lab/topo"
)

// The transports of Warren, as its configuration names them.
const (
	transportTLS       = "tls"
	transportWireGuard = "wireguard"
)

const (
	warrenPort          = 443
	warrenWireGuardPort = 51820
)

// warren is Warren as it comes over one of its transports, with IPv4 addresses
// on the tunnel so that the load needs no routes.
type warren struct {
	bin       string
	transport string
	// congestion is that of the TLS connections, "" for what Warren takes by itself.
	congestion string
	a, b       *topo.Warren
}

func (w *warren) name() string {
	if w.congestion != "" {
		return nameWarren + "-" + w.congestion
	}
	if w.transport == transportTLS {
		return nameWarren
	}
	return nameWarrenWireGuard
}

func (w *warren) title() string {
	if w.congestion != "" {
		return "Warren " + transportTitle(w.transport) + ", " + w.congestion
	}
	return "Warren " + transportTitle(w.transport)
}

func transportTitle(transport string) string {
	if transport == transportTLS {
		return "TLS"
	}
	return "WireGuard"
}

func (*warren) binary() string { return "warren" }

func (w *warren) version(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, filepath.Join(w.bin, w.binary()), "version").Output()
	if err != nil {
		return "", fmt.Errorf("version of warren: %w", err)
	}
	first, _, _ := strings.Cut(string(out), "\n") // the commit's date follows
	return strings.TrimSpace(first), nil
}

func (w *warren) prepare(ctx context.Context, p *pair) (err error) {
	bin := filepath.Join(w.bin, w.binary())
	// Both transports race in one pair: each has a directory of its own.
	if w.a, err = topo.NewWarrenIn(ctx, "a-"+w.transport, p.a, bin); err != nil {
		return err
	}
	if w.b, err = topo.NewWarrenIn(ctx, "b-"+w.transport, p.b, bin); err != nil {
		return err
	}
	if err := configureRouters(w.a, w.b, w.transport); err != nil {
		return err
	}
	return configureTunnel(w.a, w.b, tunnel{transport: w.transport, name: "bench", forLoad: true, congestion: w.congestion})
}

func (w *warren) start(context.Context, *pair) (*session, error) {
	s := &session{addrB: tunnelB}
	if w.transport == transportTLS {
		s.tcpPort = warrenPort
	}
	for _, r := range []*topo.Warren{w.a, w.b} {
		if err := r.Start(); err != nil {
			return s, err
		}
		s.ends = append(s.ends, r.Process)
	}
	return s, nil
}

// configureRouters writes warren.toml of both ends. Over TLS A listens; over
// WireGuard both have the one port.
func configureRouters(a, b *topo.Warren, transport string) error {
	const text = `asn = %d
router_id = %q

[announce]
networks = [%q]

%s[api]
socket = %q
`
	listenA := fmt.Sprintf("[tls]\nlisten = [\"%s:%d\"]\n\n", underlayA, warrenPort)
	listenB := ""
	if transport == transportWireGuard {
		listenA = fmt.Sprintf("[wireguard]\nlisten_port = %d\nprivate_key_file = \"wireguard.key\"\n\n", warrenWireGuardPort)
		listenB = listenA
	}
	err := a.Configure(fmt.Sprintf(text, 64512, "10.255.0.1", "10.1.0.0/16", listenA, a.Socket()))
	if err != nil {
		return err
	}
	return b.Configure(fmt.Sprintf(text, 64513, "10.255.0.2", "10.2.0.0/16", listenB, b.Socket()))
}

// tunnel describes one tunnel between the two routers.
type tunnel struct {
	transport string
	name      string // of the peer, at both ends, and of the interface
	link      int
	forLoad   bool // with addresses to send the load to
	// congestion is as in warren.
	congestion string
	// secretFile is shared by both ends instead of public keys, "" for those:
	// over WireGuard links with one peer are told apart by nothing else.
	secretFile string
}

// configureTunnel writes the peer's file at both ends. Over TLS B dials; over
// WireGuard each knows where the other is, as the ends of wireguard-go do.
func configureTunnel(a, b *topo.Warren, t tunnel) error {
	remotes := func(addr string, port int) string { return fmt.Sprintf("remotes = [\"%s:%d\"]\n", addr, port) }
	toA, toB := remotes(underlayA, warrenPort), ""
	if t.transport == transportWireGuard {
		toA, toB = remotes(underlayA, warrenWireGuardPort), remotes(underlayB, warrenWireGuardPort)
	}
	if err := a.ConfigurePeer(t.name, t.peerFile(toB, b, 64513, tunnelA, 2, 3)); err != nil {
		return err
	}
	return b.ConfigurePeer(t.name, t.peerFile(toA, a, 64512, tunnelB, 3, 2))
}

// peerFile is the file of a tunnel at one end. own and other are the hosts in fd99::/127.
func (t tunnel) peerFile(remotes string, peer *topo.Warren, asn int, addr string, own, other int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[tunnel]\ntransport = %q\n%s", t.transport, remotes)
	switch {
	case t.secretFile != "":
		fmt.Fprintf(&b, "secret_file = %q\n", t.secretFile)
	case t.transport == transportWireGuard:
		fmt.Fprintf(&b, "public_key = %q\n", peer.PublicKey)
	default:
		fmt.Fprintf(&b, "fingerprint = %q\n", peer.Fingerprint)
	}
	fmt.Fprintf(&b, "link = %d\ninterface = %q\n", t.link, t.name)
	if t.congestion != "" {
		fmt.Fprintf(&b, "congestion = %q\n", t.congestion)
	}
	if t.forLoad {
		fmt.Fprintf(&b, "address = [\"fd99::%d/127\", \"%s/30\"]\npeer_address = \"fd99::%d\"\n", own, addr, other)
	}
	fmt.Fprintf(&b, "\n[bgp]\nasn = %d\nimport = [\"any\"]\n", asn)
	return b.String()
}
