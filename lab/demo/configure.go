package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"warren/lab/topo"
)

// keys makes the keys of both routers.
func (d *demo) keys(ctx context.Context) error {
	d.step("make keys: what each prints, the other's configuration needs")
	for _, e := range []struct {
		router **topo.Warren
		host   *topo.Host
	}{{&d.a, d.sites.SiteA}, {&d.b, d.sites.SiteB}} {
		w, err := topo.NewWarren(ctx, e.host, filepath.Join(d.bin, "warren"))
		if err != nil {
			return err
		}
		d.typed(e.host, "warren", "keygen", "-d", w.Dir)
		fmt.Printf("    fingerprint = %q\n", w.Fingerprint)
		*e.router = w
	}
	return nil
}

// site is what the two configurations differ in.
type site struct {
	name, peer      string
	asn, peerASN    int
	routerID        string
	net             int // the LANs are 10.net.0.0/16 and 2001:db8:net::/48
	peerNet         int
	tls, remotes    string
	socket, http    string
	peerFingerprint string
}

// end is one router and its part of the configuration.
type end struct {
	w *topo.Warren
	s site
}

func ends(a, b *topo.Warren) [2]end {
	return [2]end{
		{a, site{name: "site-a", peer: "site-b", asn: 64512, peerASN: 64513,
			routerID: "10.1.0.1", net: 1, peerNet: 2, socket: a.Socket(), http: pageSocket(a), peerFingerprint: b.Fingerprint,
			remotes: fmt.Sprintf("remotes     = [\"%s:443\"]\n", topo.UnderlayB4)}},
		{b, site{name: "site-b", peer: "site-a", asn: 64513, peerASN: 64512,
			routerID: "10.2.0.1", net: 2, peerNet: 1, socket: b.Socket(), http: pageSocket(b), peerFingerprint: a.Fingerprint,
			tls: "[tls]\nlisten = [\"0.0.0.0:443\"]\n\n"}},
	}
}

// write writes the router's two files.
func (e end) write() error {
	if err := e.w.Configure(e.s.router()); err != nil {
		return err
	}
	return e.w.ConfigurePeer(e.s.peer, e.s.tunnel())
}

// configure writes both configurations, shows one, and lets warren check them.
func (d *demo) configure(ctx context.Context) error {
	d.step("configure: two files for site-a; site-b's mirror them, and it listens instead of dialling")
	both := ends(d.a, d.b)
	a := both[0]
	d.file(a.w.ConfigFile(), a.s.router())
	d.file(filepath.Join(a.w.Dir, "peers.d", a.s.peer+".toml"), a.s.tunnel())
	for _, e := range both {
		if err := e.write(); err != nil {
			return err
		}
		d.typed(e.w.Host, "warren", "check", "-c", e.w.ConfigFile())
		if _, err := e.w.Command(ctx, "check"); err != nil {
			return err
		}
	}
	return nil
}

// router is the text of warren.toml.
func (s site) router() string {
	return fmt.Sprintf(`name      = %q
asn       = %d
router_id = %q

[announce]
redistribute = ["connected"]       # whatever is on the LAN, as it comes and goes
interfaces   = ["lan*"]

%s[fib]
source = ["10.%d.0.1", "2001:db8:%d::1"]  # for what the router itself sends

[api]
socket = %q
http   = "unix:%s"  # the status page, and /metrics
`, s.name, s.asn, s.routerID, s.tls, s.net, s.net, s.socket, s.http)
}

// tunnel is the text of the peer's file.
func (s site) tunnel() string {
	return fmt.Sprintf(`[tunnel]
transport   = "tls"
%sfingerprint = %q

[bgp]
asn    = %d
import = ["10.%d.0.0/16 le 24", "2001:db8:%d::/48 le 64"]
`, s.remotes, s.peerFingerprint, s.peerASN, s.peerNet, s.peerNet)
}

// file shows a file that the user has written.
func (d *demo) file(path, text string) {
	fmt.Printf("  %s:\n    %s\n", path, strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n    "))
}
