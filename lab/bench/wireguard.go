package main

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"debug/buildinfo"
	"encoding/base64"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"warren/lab/topo"
)

const wireGuardPort = 51820

// wireGuard is wireguard-go, its offloads on as it comes, with the MTU that
// wg-quick would choose.
type wireGuard struct {
	bin  string
	port int // on the underlay, of both ends
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
	w.port = wireGuardPort
	return w.makeKeys(p.Dir())
}

// makeKeys gives each end a key, which it writes to the directory.
func (w *wireGuard) makeKeys(dir string) error {
	for i := range w.ends {
		key, err := ecdh.X25519().GenerateKey(rand.Reader)
		if err != nil {
			return fmt.Errorf("WireGuard key: %w", err)
		}
		e := &w.ends[i]
		e.public = base64.StdEncoding.EncodeToString(key.PublicKey().Bytes())
		e.keyFile = filepath.Join(dir, e.ifname+".key")
		if err := writeFile(e.keyFile, base64.StdEncoding.EncodeToString(key.Bytes())+"\n"); err != nil {
			return err
		}
	}
	return nil
}

func (w *wireGuard) start(ctx context.Context, p *pair) (*session, error) {
	return w.startOn(ctx, p.a, p.b)
}

// startOn starts the two ends on their hosts.
func (w *wireGuard) startOn(ctx context.Context, hosts ...*topo.Host) (*session, error) {
	s := &session{addrB: tunnelB}
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
	port := strconv.Itoa(w.port)
	if _, err := h.Run(ctx, "wg", "set", own.ifname, "private-key", own.keyFile, "listen-port", port,
		"peer", peer.public, "endpoint", peer.underlay+":"+port, "allowed-ips", "0.0.0.0/0"); err != nil {
		return err
	}
	return h.IP(ctx, "address add "+own.addr+"/30 dev "+own.ifname, "link set dev "+own.ifname+" mtu 1420 up")
}
