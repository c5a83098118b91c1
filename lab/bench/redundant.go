package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"warren/lab/topo"
)

const (
	nameRedundantBIRD    = "bird-wireguard-go"
	nameRedundantOpenVPN = "openvpn"
)

// redundantWarren is Warren over one transport, with a tunnel over each line.
type redundantWarren struct {
	bin    string
	config lineConfig
}

func (r *redundantWarren) as() *warren     { return &warren{bin: r.bin, transport: r.config.transport} }
func (r *redundantWarren) name() string    { return r.as().name() }
func (r *redundantWarren) title() string   { return r.as().title() }
func (r *redundantWarren) needs() []string { return []string{warrenFile(r.bin)} }
func (*redundantWarren) routes() bool      { return true }
func (r *redundantWarren) version(ctx context.Context) (string, error) {
	return r.as().version(ctx)
}

func (r *redundantWarren) start(ctx context.Context, l *lines, f *feed, prefixes int) (*standing, error) {
	c := r.config
	c.prefixes, c.fed, c.transit = prefixes, l.b(), true
	w, err := startLineWarrens(ctx, l, warrenFile(r.bin), c, f)
	if err != nil {
		return nil, err
	}
	st := &standing{procs: w.procs(), lasting: []*topo.Process{w.b.Process}, addrA: siteA, addrB: siteB}
	st.ready = func(ctx context.Context) error { return w.ready(ctx, len(l.providers), prefixes) }
	st.stopStart = func(ctx context.Context) error {
		if err := stopWithin(ctx, w.a.Process); err != nil {
			return err
		}
		if err := w.a.Start(); err != nil {
			return err
		}
		st.procs = w.procs()
		return nil
	}
	if hasCommand(ctx, l.a, warrenFile(r.bin), "restart") {
		st.restart = func(ctx context.Context) error {
			_, err := w.a.Command(ctx, "restart")
			return err
		}
	}
	return st, nil
}

// hasCommand tells whether a warren has a subcommand.
func hasCommand(ctx context.Context, h *topo.Host, bin, name string) bool {
	out, err := h.Run(ctx, bin, "help")
	return err == nil && regexp.MustCompile(`(?m)^ +`+name+` `).MatchString(out)
}

// stopWithin stops a process, which is meant to end now.
func stopWithin(ctx context.Context, p *topo.Process) error {
	ctx, cancel := context.WithTimeout(ctx, fullReady)
	defer cancel()
	return p.Stop(ctx)
}

// redundantBIRD is BIRD with BFD over two wireguard-go interfaces.
type redundantBIRD struct{ *wireGuard }

func (*redundantBIRD) name() string  { return nameRedundantBIRD }
func (*redundantBIRD) title() string { return "BIRD, wireguard-go, BFD" }
func (*redundantBIRD) routes() bool  { return true }
func (r *redundantBIRD) needs() []string {
	return []string{"bird", "birdc", "wg", filepath.Join(r.bin, r.binary())}
}

func (r *redundantBIRD) version(ctx context.Context) (string, error) {
	w, err := r.wireGuard.version(ctx)
	if err != nil {
		return "", err
	}
	b, err := firstLine(ctx, "bird", "--version")
	return b + ", " + w, err
}

func (r *redundantBIRD) start(ctx context.Context, l *lines, f *feed, prefixes int) (*standing, error) {
	st := &standing{addrA: siteA, addrB: siteB}
	for i, p := range l.providers {
		wg := &wireGuard{bin: r.bin, port: wireGuardPort + i, ends: []wireGuardEnd{
			{ifname: fmt.Sprintf("wga%d", i), addr: birdAddr(i, 1), underlay: p.nearAddr},
			{ifname: fmt.Sprintf("wgb%d", i), addr: birdAddr(i, 2), underlay: p.farAddr},
		}}
		if err := wg.makeKeys(l.Dir()); err != nil {
			return nil, err
		}
		s, err := wg.startOn(ctx, l.a, p.far)
		if err != nil {
			return nil, err
		}
		st.procs = append(st.procs, s.ends...)
	}
	a, err := newLineBIRD(l.Dir(), l.a, "wga", 64512, 64513, siteA, networkA, 1, 2, nil)
	if err != nil {
		return nil, err
	}
	b, err := newLineBIRD(l.Dir(), l.b(), "wgb", 64513, 64512, siteB, networkB, 2, 1, f.lines)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(a.start(), b.start()); err != nil {
		return nil, err
	}
	st.lasting = append(st.procs[:len(st.procs):len(st.procs)], b.daemon)
	st.procs = append(st.procs, a.daemon, b.daemon)
	st.ready = func(ctx context.Context) error {
		return errors.Join(a.ready(ctx, len(l.providers), prefixes), b.ready(ctx, len(l.providers), 1))
	}
	again := func(args ...string) error {
		err := a.start(args...)
		st.procs[len(st.procs)-2] = a.daemon
		return err
	}
	st.stopStart = func(ctx context.Context) error {
		return errors.Join(stopWithin(ctx, a.daemon), again())
	}
	st.restart = func(ctx context.Context) error {
		if _, err := a.command(ctx, "graceful", "restart"); err != nil {
			return err
		}
		ending, cancel := context.WithTimeout(ctx, fullReady)
		defer cancel()
		return errors.Join(a.daemon.Wait(ending), again("-R"))
	}
	return st, nil
}

// birdAddr is an end's address in the tunnel over line i.
func birdAddr(i, last int) string { return fmt.Sprintf("10.97.%d.%d", i, last) }

// lineBIRD is one end's BIRD.
type lineBIRD struct {
	host         *topo.Host
	file, socket string
	daemon       *topo.Process
}

// newLineBIRD writes its configuration. own and peer are the last numbers of the ends' addresses in the tunnels.
func newLineBIRD(dir string, h *topo.Host, device string, asn, peerASN int, id, network string, own, peer int, feeding []*feedLine) (*lineBIRD, error) {
	b := &lineBIRD{host: h, file: filepath.Join(dir, device+".conf"), socket: filepath.Join(dir, device+".ctl")}
	text := fmt.Sprintf(`log stderr all;
router id %s;
protocol device { }
protocol kernel { merge paths on; ipv4 { import none; export where source = RTS_BGP; }; }
protocol static { ipv4; route %s unreachable; }
protocol bfd { interface "%s*" { interval 50 ms; multiplier 3; }; }
`, id, network, device)
	export := "where source = RTS_STATIC"
	if len(feeding) > 0 {
		export = "all"
	}
	for i := range 2 {
		text += fmt.Sprintf(`protocol bgp line%d {
  connect delay time 1;
  connect retry time 1;
  error wait time 1, 2;
  graceful restart on;
  bfd on;
  debug { states };
  local %s as %d;
  neighbor %s as %d;
  ipv4 { import all; export %s; next hop self; };
}
`, i, birdAddr(i, own), asn, birdAddr(i, peer), peerASN, export)
	}
	return b, writeFile(b.file, text+birdFeed(feeding, asn))
}

func (b *lineBIRD) start(args ...string) (err error) {
	b.daemon, err = b.host.Start(append([]string{"bird", "-f", "-c", b.file, "-s", b.socket}, args...)...)
	return err
}

func (b *lineBIRD) command(ctx context.Context, words ...string) (string, error) {
	return b.host.Run(ctx, append([]string{"birdc", "-s", b.socket}, words...)...)
}

var birdImported = regexp.MustCompile(`Routes: +(\d+) imported`)

// ready returns nil if so many sessions are established, each with so many prefixes, and BFD is up on each.
func (b *lineBIRD) ready(ctx context.Context, lines, prefixes int) error {
	for i := range lines {
		name := fmt.Sprintf("line%d", i)
		out, err := b.command(ctx, "show", "protocols", "all", name)
		if err != nil {
			return err
		}
		m := birdImported.FindStringSubmatch(out)
		if m == nil || !strings.Contains(out, "Established") {
			return fmt.Errorf("%s is not established:\n%s", name, out)
		}
		if n, err := strconv.Atoi(m[1]); err != nil || n < prefixes {
			return fmt.Errorf("%s has %s of %d prefixes", name, m[1], prefixes)
		}
	}
	out, err := b.command(ctx, "show", "bfd", "sessions")
	if err == nil && strings.Count(out, " Up ") < lines {
		err = fmt.Errorf("BFD is not up on %d lines:\n%s", lines, out)
	}
	return err
}

// redundantOpenVPN is OpenVPN with the addresses of both providers in the client's list. A is the server.
type redundantOpenVPN struct{ openVPN }

func (*redundantOpenVPN) name() string    { return nameRedundantOpenVPN }
func (*redundantOpenVPN) title() string   { return "OpenVPN" }
func (*redundantOpenVPN) routes() bool    { return false }
func (*redundantOpenVPN) needs() []string { return []string{"openvpn"} }

func (r *redundantOpenVPN) start(ctx context.Context, l *lines, _ *feed, _ int) (*standing, error) {
	pair, err := newOpenVPNPair(l.Dir())
	if err != nil {
		return nil, err
	}
	server, err := l.a.Start("openvpn", "--config", pair.server)
	if err != nil {
		return nil, err
	}
	config, err := pair.client(l.Dir(), l.providers[0].nearAddr, l.providers[1].nearAddr)
	if err != nil {
		return nil, err
	}
	client, err := l.b().Start("openvpn", "--config", config)
	if err != nil {
		return nil, err
	}
	st := &standing{procs: []*topo.Process{server, client}, lasting: []*topo.Process{client}, addrA: tunnelA, addrB: tunnelB}
	st.ready = func(ctx context.Context) error { return pings(ctx, way{from: l.a, src: tunnelA, dst: tunnelB}) }
	st.stopStart = func(ctx context.Context) error {
		if err := stopWithin(ctx, st.procs[0]); err != nil {
			return err
		}
		st.procs[0], err = l.a.Start("openvpn", "--config", pair.server)
		return err
	}
	return st, nil
}

// openVPNPair is a server that can be reached at any address, and what its client needs.
type openVPNPair struct {
	server                      string // configuration file
	clientIdentity, serverPrint string
}

func newOpenVPNPair(dir string) (*openVPNPair, error) {
	identity, serverPrint, err := selfSigned("server")
	if err != nil {
		return nil, err
	}
	p := &openVPNPair{serverPrint: serverPrint, server: filepath.Join(dir, "openvpn-server.conf")}
	var clientPrint string
	if p.clientIdentity, clientPrint, err = selfSigned("client"); err != nil {
		return nil, err
	}
	return p, writeFile(p.server, openVPNConfig(identity, clientPrint, false,
		"server "+tunnelNet+" 255.255.255.0", "topology subnet", "dh none", "multihome", "keepalive 1 3", protoLine(false, "server")))
}

// client writes a client's configuration, and returns its file.
func (p *openVPNPair) client(dir string, remotes ...string) (string, error) {
	lines := []string{"client", "nobind", "persist-tun", "connect-retry 1 1", "server-poll-timeout 2", protoLine(false, "client")}
	for _, r := range remotes {
		lines = append(lines, "remote "+r)
	}
	file := filepath.Join(dir, "openvpn-client.conf")
	return file, writeFile(file, openVPNConfig(p.clientIdentity, p.serverPrint, false, lines...))
}
