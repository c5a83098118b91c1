package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"warren/lab/topo"
)

// lineWarren is two Warrens with a tunnel over each line.
type lineWarren struct {
	a, b *topo.Warren
}

// lineConfig is how the two are configured.
type lineConfig struct {
	transport            string
	keepalive, deadAfter time.Duration // 0: the defaults
	prefixes             int           // how many each takes from the other, and from a feeder
	fed                  *topo.Host    // the end that is fed
	transit              bool          // it exports what it is fed to the other
	probed               bool          // and gives the feeder up when that does not answer pings
	onePeer              bool          // the lines' tunnels are one peer's, else each is a peer of its own
}

// startLineWarrens starts both ends.
func startLineWarrens(ctx context.Context, l *lines, bin string, c lineConfig, f *feed) (*lineWarren, error) {
	w := &lineWarren{}
	var err error
	if w.a, err = topo.NewWarren(ctx, l.a, bin); err != nil {
		return nil, err
	}
	if w.b, err = topo.NewWarren(ctx, l.b(), bin); err != nil {
		return nil, err
	}
	secret := filepath.Join(l.Dir(), "lines.secret")
	if _, err := l.a.Run(ctx, bin, "keygen", "--secret", secret); err != nil {
		return nil, err
	}
	if err := configureLines(w.a, w.b, l.providers, secret, c); err != nil {
		return nil, err
	}
	for _, r := range []*topo.Warren{w.a, w.b} {
		if r.Host == c.fed {
			if err := configureFeed(r, f.lines, feedPeers{imports: `["any"]`, prefixes: c.prefixes, probed: c.probed}); err != nil {
				return nil, err
			}
		}
		if err := r.Start(); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// configureLines writes the files of both ends. Each line's tunnel has an interface that is named after the line, and so has
// its peer, where it is a peer of its own. All are known by one secret.
func configureLines(a, b *topo.Warren, providers []provider, secret string, c lineConfig) error {
	for _, end := range []struct {
		router       *topo.Warren
		asn, peerASN int
		id, network  string
		remote       func(provider) string
	}{
		{a, 64512, 64513, siteA, networkA, func(p provider) string { return p.farAddr }},
		{b, 64513, 64512, siteB, networkB, func(p provider) string { return p.nearAddr }},
	} {
		if err := configureSite(end.router, end.asn, end.id, end.network, c.transport); err != nil {
			return err
		}
		files := map[string]string{}
		var tunnels, bgp string
		for i, p := range providers {
			text := linePeer(c, secret, []string{end.remote(p)}, end.peerASN, c.transit && end.router.Host == c.fed)
			text = strings.Replace(text, "[tunnel]\n", fmt.Sprintf("[tunnel]\nlink = %d\nunderlay = %q\n", i, wan(i)), 1)
			if !c.onePeer {
				files[linePeerName(i)] = text
				continue
			}
			text, bgp, _ = strings.Cut(text, "[bgp]\n")
			tunnels += strings.Replace(text, "[tunnel]\n", fmt.Sprintf("[[tunnel]]\ninterface = %q\n", linePeerName(i)), 1)
		}
		if c.onePeer {
			files[linesPeerName] = tunnels + "[bgp]\n" + bgp
		}
		for name, text := range files {
			if err := end.router.ConfigurePeer(name, text); err != nil {
				return err
			}
		}
	}
	return nil
}

// port is where an end can be dialed.
func (c lineConfig) port() int {
	if c.transport == transportWireGuard {
		return warrenWireGuardPort
	}
	return warrenPort
}

func linePeerName(i int) string { return fmt.Sprintf("line%d", i) }

// linesPeerName is the peer's that all lines are to.
const linesPeerName = "lines"

// configureSite writes warren.toml of a router that announces its network and can be dialed.
func configureSite(r *topo.Warren, asn int, id, network, transport string) error {
	listen := fmt.Sprintf("[tls]\nlisten = [\"0.0.0.0:%d\"]\n", warrenPort)
	if transport == transportWireGuard {
		listen = fmt.Sprintf("[wireguard]\nlisten_port = %d\nprivate_key_file = \"wireguard.key\"\n", warrenWireGuardPort)
	}
	return r.Configure(fmt.Sprintf("asn = %d\nrouter_id = %q\n\n[announce]\nnetworks = [%q]\n\n%s\n[api]\nsocket = %q\n",
		asn, id, network, listen, r.Socket()))
}

// linePeer is the file of a peer with a shared secret; transit says that all routes are exported to it.
// Without remotes it dials.
func linePeer(c lineConfig, secret string, remotes []string, asn int, transit bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[tunnel]\ntransport = %q\nsecret_file = %q\n", c.transport, secret)
	var quoted []string
	for _, r := range remotes {
		quoted = append(quoted, fmt.Sprintf("\"%s:%d\"", r, c.port()))
	}
	if len(quoted) > 0 {
		fmt.Fprintf(&b, "remotes = [%s]\n", strings.Join(quoted, ", "))
	}
	if c.keepalive > 0 {
		fmt.Fprintf(&b, "keepalive = %q\ndead_after = %q\n", c.keepalive, c.deadAfter)
	}
	// Its own network comes too, and two routers may hold some prefixes for a moment that were withdrawn.
	fmt.Fprintf(&b, "\n[bgp]\nasn = %d\nimport = [\"any\"]\nmax_prefixes = %d\n", asn, c.prefixes+10)
	if transit {
		b.WriteString("export = [\"any\"]\n")
	}
	return b.String()
}

// procs are both daemons.
func (w *lineWarren) procs() []*topo.Process { return []*topo.Process{w.a.Process, w.b.Process} }

// ready returns nil when A has a session over each of so many lines, with so many prefixes, none of
// which is still on its way to the kernel, and B has the sessions too.
func (w *lineWarren) ready(ctx context.Context, lines, prefixes int) error {
	for _, r := range []*topo.Warren{w.a, w.b} {
		s, err := r.Status(ctx)
		if err != nil {
			return err
		}
		if r == w.a && s.FIB.Pending > 0 {
			return fmt.Errorf("%d routes of A wait for the kernel", s.FIB.Pending)
		}
		up := 0
		for _, p := range s.Peers {
			if !strings.HasPrefix(p.Name, "line") {
				continue
			}
			for _, t := range p.Tunnels {
				if t.BGP.State != "established" {
					continue
				}
				if r == w.a && t.BGP.Received < prefixes {
					return fmt.Errorf("%s has %d of %d prefixes", t.Interface, t.BGP.Received, prefixes)
				}
				up++
			}
		}
		if up < lines {
			return fmt.Errorf("%s: %d of %d sessions are established", r.Host.Name, up, lines)
		}
	}
	return nil
}

// tunnelDowns is how often the logs of the routers say that a tunnel went down.
func (w *lineWarren) tunnelDowns() int {
	n := 0
	for _, p := range w.procs() {
		n += strings.Count(p.Log(), "tunnel down")
	}
	return n
}
