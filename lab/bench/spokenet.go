package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"warren/lab/topo"
)

// maxSpokes is how many spokes there may be: each has the same last number in two networks.
const maxSpokes = 250

// spokeNet is two hubs and many spokes, each behind a link of its own to one host that forwards.
type spokeNet struct {
	*topo.Topology
	hubHosts, spokeHosts []*topo.Host
	links                []*topo.Link // of the hubs
	hubs, spokes         []*topo.Warren
}

func hubUnderlay(i int) string   { return fmt.Sprintf("192.0.2.%d", i+1) }
func spokeUnderlay(i int) string { return fmt.Sprintf("198.51.100.%d", i+1) }

// spokeAddr is what a spoke announces, and has on its loopback interface.
func spokeAddr(i int) string { return fmt.Sprintf("10.100.100.%d", i+1) }

// between is the address of the forwarding host in all links.
const between = "203.0.113.1"

// newSpokeNet makes the hosts and their links.
func newSpokeNet(ctx context.Context, n int) (_ *spokeNet, err error) {
	t, err := topo.New(ctx, "bench")
	if err != nil {
		return nil, err
	}
	net := &spokeNet{Topology: t}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.Close())
		}
	}()
	middle, err := t.Host(ctx, "middle", topo.Forwarding())
	if err != nil {
		return nil, err
	}
	add := func(name, addr string, opts ...topo.HostOption) (*topo.Host, *topo.Link, error) {
		h, err := t.Host(ctx, name, opts...)
		if err != nil {
			return nil, nil, err
		}
		l, err := t.Connect(ctx, h, "wan0", []string{addr + "/32"}, middle, name, []string{between + "/32"})
		if err != nil {
			return nil, nil, err
		}
		return h, l, errors.Join(h.IP(ctx, "route add "+between+"/32 dev wan0", "route add default via "+between),
			middle.IP(ctx, "route add "+addr+"/32 dev "+name))
	}
	for i := range 2 {
		h, l, err := add(fmt.Sprintf("h%d", i+1), hubUnderlay(i), topo.Forwarding())
		if err != nil {
			return nil, err
		}
		net.hubHosts, net.links = append(net.hubHosts, h), append(net.links, l)
	}
	for i := range n {
		h, _, err := add(fmt.Sprintf("s%d", i+1), spokeUnderlay(i))
		if err != nil {
			return nil, err
		}
		if err := h.IP(ctx, "addr add "+spokeAddr(i)+"/32 dev lo"); err != nil {
			return nil, err
		}
		net.spokeHosts = append(net.spokeHosts, h)
	}
	return net, nil
}

// start configures all routers and starts them, the hubs first.
func (net *spokeNet) start(ctx context.Context, bin, transport string) error {
	for i, h := range net.hubHosts {
		w, err := topo.NewWarren(ctx, h, bin)
		if err != nil {
			return err
		}
		if err := net.configureHub(w, i, transport); err != nil {
			return err
		}
		net.hubs = append(net.hubs, w)
	}
	port := lineConfig{transport: transport}.port()
	for i, w := range net.hubs {
		if err := w.Start(); err != nil {
			return err
		}
		if err := awaitPort(ctx, net.hubHosts[i], port); err != nil {
			return fmt.Errorf("%w\nits log:\n%s", err, tail(w.Process.Log()))
		}
	}
	for i, h := range net.spokeHosts {
		w, err := topo.NewWarren(ctx, h, bin)
		if err != nil {
			return err
		}
		if err := errors.Join(net.configureSpoke(w, i, transport), w.Start()); err != nil {
			return err
		}
		net.spokes = append(net.spokes, w)
	}
	return nil
}

// routers are all that have been configured.
func (net *spokeNet) routers() []*topo.Warren {
	return append(append([]*topo.Warren(nil), net.hubs...), net.spokes...)
}

// secret is the file with the secret of a tunnel; it is made when it is first asked for.
func (net *spokeNet) secret(name string) (string, error) {
	file := filepath.Join(net.Dir(), name+".secret")
	if _, err := os.Stat(file); err == nil {
		return file, nil
	}
	var key [32]byte
	if _, err := rand.Read(key[:]); err != nil {
		return "", err
	}
	return file, os.WriteFile(file, []byte(base64.StdEncoding.EncodeToString(key[:])+"\n"), 0o600)
}

// spokesTemplate is a template of tunnels with a transport, and of their BGP.
func spokesTemplate(name, transport, bgp string) string {
	return fmt.Sprintf("[template.%s.tunnel]\ntransport = %q\nkeepalive = %q\ndead_after = %q\n[template.%s.bgp]\n%s\n",
		name, transport, spokesKeepalive, spokesDeadAfter, name, bgp)
}

const spokesImport = `import = ["10.100.100.0/24 ge 32"]`

func (net *spokeNet) configureHub(w *topo.Warren, i int, transport string) error {
	listen := fmt.Sprintf("[tls]\nlisten = [\"0.0.0.0:%d\"]\n", warrenPort)
	if transport == transportWireGuard {
		listen = fmt.Sprintf("[wireguard]\nlisten_port = %d\n", warrenWireGuardPort)
	}
	text := fmt.Sprintf("asn = 64512\nrouter_id = \"10.100.0.%d\"\n%s[api]\nsocket = %q\n", i+1, listen, w.Socket()) +
		spokesTemplate("spoke", transport, "asn = 65000\nimport = []\nexport = [\"any\"]\nas_override = true")
	var peers strings.Builder
	peers.WriteString("[peer]\n")
	for k, h := range net.spokeHosts {
		secret, err := net.secret(fmt.Sprintf("%s-%s", h.Name, w.Host.Name))
		if err != nil {
			return err
		}
		fmt.Fprintf(&peers, "%s = { template = \"spoke\", tunnel.secret_file = %q, bgp.import = [\"%s/32\"] }\n", h.Name, secret, spokeAddr(k))
	}
	secret, err := net.secret("hubs")
	if err != nil {
		return err
	}
	// With one AS number the ends of a WireGuard tunnel are told apart by their addresses.
	other := fmt.Sprintf("[tunnel]\ntransport = %q\nsecret_file = %q\nremotes = [\"%s:%d\"]\naddress = [\"10.100.1.%d/31\"]\n"+
		"keepalive = %q\ndead_after = %q\n[bgp]\nasn = 64512\n%s\nexport = [\"any\"]\n", transport, secret, hubUnderlay(1-i),
		lineConfig{transport: transport}.port(), i, spokesKeepalive, spokesDeadAfter, spokesImport)
	return errors.Join(w.Configure(text), w.ConfigurePeer("spokes", peers.String()), w.ConfigurePeer("other", other))
}

func (net *spokeNet) configureSpoke(w *topo.Warren, i int, transport string) error {
	text := fmt.Sprintf("asn = 65000\nrouter_id = %q\n[announce]\nnetworks = [\"%s/32\"]\n[api]\nsocket = %q\n",
		spokeAddr(i), spokeAddr(i), w.Socket()) + spokesTemplate("hub", transport, "asn = 64512\n"+spokesImport)
	var peers strings.Builder
	peers.WriteString("[peer]\n")
	for k, h := range net.hubHosts {
		secret, err := net.secret(fmt.Sprintf("%s-%s", w.Host.Name, h.Name))
		if err != nil {
			return err
		}
		fmt.Fprintf(&peers, "%s = { template = \"hub\", tunnel = { secret_file = %q, remotes = [\"%s:%d\"] } }\n",
			h.Name, secret, hubUnderlay(k), lineConfig{transport: transport}.port())
	}
	return errors.Join(w.Configure(text), w.ConfigurePeer("hubs", peers.String()))
}

// spokesWithin bounds how long all spokes together may take for something: on a busy machine hundreds of routers come to it one
// after the other.
const spokesWithin = 4 * time.Minute

// revive starts the first hub, which was killed, again, and waits until it carries its part. What was killed still has its sockets
// and its interfaces, of which the kernel removes some a second, until it is gone.
func (net *spokeNet) revive(ctx context.Context) error {
	hub := net.hubs[0]
	within, cancel := context.WithTimeout(ctx, spokesWithin)
	defer cancel()
	if err := hub.Process.Wait(within); within.Err() != nil {
		return err
	}
	if err := hub.Start(); err != nil {
		return err
	}
	ctx, stop := giveUpWith(ctx, []*topo.Process{hub.Process})
	defer stop()
	err := net.awaitReady(ctx, 2)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = fmt.Errorf("%w: %w", cause, err)
	}
	return err
}

// lacking says what hubs still lack.
func (net *spokeNet) lacking(ctx context.Context) string {
	var b strings.Builder
	for _, w := range net.hubs {
		st, err := w.Status(ctx)
		if err != nil {
			fmt.Fprintf(&b, "hub %s says nothing: %v\n", w.Host.Name, err)
			continue
		}
		down := 0
		for _, p := range st.Peers {
			if p.BGP.State == "established" {
				continue
			}
			if down++; down <= 5 {
				fmt.Fprintf(&b, "hub %s: tunnel to %s is %s (%s), session %s (%s)\n", w.Host.Name, p.Name,
					p.Tunnel.State, p.Tunnel.LastError, p.BGP.State, p.BGP.LastError)
			}
		}
		fmt.Fprintf(&b, "hub %s lacks %d of %d sessions; routes: %+v\n", w.Host.Name, down, len(st.Peers), st.FIB)
		b.WriteString(net.unreached(ctx, w))
	}
	return b.String()
}

// unreached says of some spokes that a hub has no route to what it knows of that, and what the spoke does.
func (net *spokeNet) unreached(ctx context.Context, hub *topo.Warren) string {
	out, err := hub.Host.Run(ctx, "ip", "route", "show", "proto", "bgp")
	if err != nil {
		return fmt.Sprintln(err)
	}
	var b strings.Builder
	for i, w := range net.spokes {
		if addr := spokeAddr(i); !strings.Contains(out, addr+" ") && b.Len() < 20_000 {
			why, errWhy := hub.Command(ctx, "why", addr)
			peers, errPeers := w.Command(ctx, "status")
			fmt.Fprintf(&b, "hub %s has no route to %s:\n%s\nlog:\n%s\nits status:\n%s\nits log:\n%s\n", hub.Host.Name, addr,
				why, tail(hub.Process.Log()), peers, tail(w.Process.Log()))
			if err := errors.Join(errWhy, errPeers); err != nil {
				fmt.Fprintln(&b, err)
			}
		}
	}
	return b.String()
}

// spokesLook is between two looks at a spoke, each of which is a process that starts on the machine that is measured.
const spokesLook = 500 * time.Millisecond

// awaitReady waits until each spoke has a route to each other one by so many hubs, and no more.
func (net *spokeNet) awaitReady(ctx context.Context, hubs int) error {
	deadline := time.Now().Add(spokesWithin)
	for i, h := range net.spokeHosts {
		_, err := topo.Eventually(ctx, spokesLook, time.Until(deadline), func() error {
			out, err := h.Run(ctx, "ip", "route", "show", "proto", "bgp")
			if err != nil {
				return err
			}
			if got, want := strings.Count(out, " dev h"), hubs*(len(net.spokeHosts)-1); got != want {
				return fmt.Errorf("%s, after %d others, has %d ways to other spokes, want %d", spokeAddr(i), i, got, want)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
