package main

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"debug/buildinfo"
	"encoding/base64"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"warren/lab/topo"
)

const wireGuardPort = "51820"

// wireGuard is wireguard-go, its offloads on as it comes, with the MTU that
// wg-quick would choose.
type wireGuard struct {
	bin  string
	ends []wireGuardEnd
}

type wireGuardEnd struct {
	ifname, keyFile, public string
	addr, underlay          string
}

func (*wireGuard) name() string   { return nameWireGuard }
func (*wireGuard) title() string  { return "wireguard-go" }
func (*wireGuard) binary() string { return "wireguard-go" }

func (w *wireGuard) version(context.Context) (string, error) {
	const module = "golang.zx2c4.com/wireguard"
	info, err := buildinfo.ReadFile(filepath.Join(w.bin, w.binary()))
	if err != nil {
		return "", fmt.Errorf("version of wireguard-go: %w", err)
	}
	for _, m := range append(info.Deps, &info.Main) {
		if m.Path == module {
			return "wireguard-go " + m.Version, nil
		}
	}
	return "", fmt.Errorf("version of wireguard-go: it was not built from module %s", module)
}

func (w *wireGuard) prepare(_ context.Context, p *pair) error {
	// The names differ because the control sockets of all namespaces share a directory.
	w.ends = []wireGuardEnd{
		{ifname: "wgbencha", addr: tunnelA, underlay: underlayA},
		{ifname: "wgbenchb", addr: tunnelB, underlay: underlayB},
	}
	for i := range w.ends {
		key, err := ecdh.X25519().GenerateKey(rand.Reader)
		if err != nil {
			return fmt.Errorf("WireGuard key: %w", err)
		}
		e := &w.ends[i]
		e.public = base64.StdEncoding.EncodeToString(key.PublicKey().Bytes())
		e.keyFile, err = p.file(e.ifname+".key", base64.StdEncoding.EncodeToString(key.Bytes())+"\n")
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *wireGuard) start(ctx context.Context, p *pair) (*session, error) {
	s := &session{addrB: tunnelB}
	hosts := []*topo.Host{p.a, p.b}
	for i, h := range hosts {
		proc, err := h.Start(filepath.Join(w.bin, w.binary()), "-f", w.ends[i].ifname)
		if err != nil {
			return s, err
		}
		s.ends = append(s.ends, proc)
	}
	for i, h := range hosts {
		if err := w.configure(ctx, h, w.ends[i], w.ends[1-i]); err != nil {
			return s, fmt.Errorf("%w\nits log:\n%s", err, s.ends[i].Log())
		}
	}
	return s, nil
}

func (w *wireGuard) configure(ctx context.Context, h *topo.Host, own, peer wireGuardEnd) error {
	// wg deletes a socket on which nobody listens yet.
	_, err := topo.Eventually(ctx, 2*time.Millisecond, 30*time.Second, func() error {
		out, err := h.Run(ctx, "ss", "-xlH")
		if err == nil && !strings.Contains(out, "/"+own.ifname+".sock ") {
			err = fmt.Errorf("wireguard-go does not listen for wg's commands")
		}
		return err
	})
	if err != nil {
		return err
	}
	if _, err := h.Run(ctx, "wg", "set", own.ifname, "private-key", own.keyFile, "listen-port", wireGuardPort,
		"peer", peer.public, "endpoint", peer.underlay+":"+wireGuardPort, "allowed-ips", "0.0.0.0/0"); err != nil {
		return err
	}
	return h.IP(ctx, "address add "+own.addr+"/30 dev "+own.ifname, "link set dev "+own.ifname+" mtu 1420 up")
}
