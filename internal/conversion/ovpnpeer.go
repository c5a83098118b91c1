package conversion

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// addOVPN makes a peer of a client's configuration, or of one with a single peer. A server's gives what its
// clients have in common; they have a file each in client-config-dir.
func (r *Result) addOVPN(o *ovpnFile, clients []*ovpnFile) error {
	if d := o.find("dev"); d != nil && strings.HasPrefix(d.arg(1), "tap") || o.find("server-bridge") != nil {
		return fmt.Errorf("%s: is for Ethernet (dev tap), which Warren does not carry: its tunnels are routed", o.Path)
	}
	notes := o.notes()
	r.ovpnRouter(o, len(clients) > 0)
	if !o.isServer() {
		p := &Peer{Name: nameOf(o.base()), Sources: []string{o.Path}, Notes: notes}
		o.tunnel(p)
		o.trust(r, p)
		o.pairOfEnds(p)
		p.importRoutes(o.routes("route", "route-ipv6"), "The networks that went into the tunnel by route.")
		r.Peers = append(r.Peers, p)
		return nil
	}
	for _, c := range clients {
		p := &Peer{Name: nameOf(filepath.Base(c.Path)), Sources: []string{o.Path, c.Path}, Notes: append(slices.Clone(notes), c.notes()...), common: true}
		o.tunnel(p)
		o.trustClient(r, p)
		c.pushed(p, o)
		p.importRoutes(c.routes("iroute", "iroute-ipv6"), "The networks behind the client, by iroute.")
		r.Peers = append(r.Peers, p)
	}
	if len(clients) == 0 {
		r.Notes = append(r.Notes, Note{File: filepath.Base(o.Path), Text: "server", Why: "its clients have no file in client-config-dir that was given. " +
			"Write a file for each peer, or let [accept] in warren.toml take those that the CA vouches for"})
		r.Notes = append(r.Notes, notes...)
	}
	return nil
}

// notes are on the directives that have no counterpart.
func (o *ovpnFile) notes() (notes []Note) {
	for i := range o.lines {
		l := &o.lines[i]
		why, known := ovpnReasons[l.name()]
		if !known {
			why = "this directive is not known"
		}
		if l.name() == "push" {
			why = pushReason(l.arg(1))
		}
		if why == "" {
			continue
		}
		text := l.text()
		if isSecret(l.name()) {
			text = l.name()
		}
		notes = append(notes, o.note(l.number, text, why))
	}
	return notes
}

// pushReason is for what a server has its clients do.
func pushReason(what string) string {
	name, _, _ := strings.Cut(strings.TrimSpace(what), " ")
	switch name {
	case "route", "route-ipv6", "topology", "ping", "ping-restart", "persist-key", "persist-tun", "tun-mtu":
		return "" // announced; each end's own
	}
	if why := ovpnReasons[name]; why != "" {
		return why
	}
	return "nothing is told to the far end but routes; set it there"
}

// ovpnRouter notes what belongs into warren.toml. named is that each client has a file.
func (r *Result) ovpnRouter(o *ovpnFile, named bool) {
	base := filepath.Base(o.Path)
	at := func(l *ovpnLine) string { return fmt.Sprintf("%s:%d", base, l.number) }
	if o.isServer() || o.find("tls-server") != nil || o.find("remote") == nil && o.find("client") == nil {
		port := "1194"
		for _, name := range []string{"port", "lport"} {
			if l := o.find(name); l != nil {
				port = l.arg(1)
			}
		}
		host := "0.0.0.0"
		if l := o.find("local"); l != nil {
			if a, err := netip.ParseAddr(l.arg(1)); err == nil {
				host = a.String()
			}
		}
		if isPort(port) {
			r.router("tls.listen", list([]string{net.JoinHostPort(host, port)}), base+"; a TCP port, whatever proto was")
		}
	}
	for key, name := range map[string]string{"tls.cert_file": "cert", "tls.key_file": "key"} {
		l := o.find(name)
		if l == nil {
			continue
		}
		if l.inline != "" {
			r.router(key, quote(r.keyFile(o.File, "."+name, l.inline, name == "cert")), at(l))
		} else {
			r.router(key, quote(o.resolve(l.arg(1))), at(l))
		}
	}
	slices.SortStableFunc(r.Router, func(a, b Setting) int { return strings.Compare(a.Key, b.Key) })
	var networks []string
	for _, l := range o.all("push") {
		words, err := ovpnWords(l.arg(1))
		if err == nil && len(words) > 0 && (words[0] == "route" || words[0] == "route-ipv6") {
			if p, ok := prefixOf(words[1:]); ok && !isWhole(p) {
				networks = append(networks, p.String())
			}
		}
	}
	if len(networks) > 0 {
		r.router("announce.networks", list(networks), base+": what was pushed to clients")
	}
	if ca := o.find("ca"); ca != nil && o.isServer() && !named && ca.inline == "" {
		r.router("accept.ca_file", quote(o.resolve(ca.arg(1))), "for clients without a file each; also needs template and names")
	}
}

// tunnel sets what both kinds of peers have.
func (o *ovpnFile) tunnel(p *Peer) {
	p.Tunnel = []Setting{}
	set(&p.Tunnel, "transport", quote("tls"))
	port, proto := "1194", "udp"
	for _, name := range []string{"port", "rport"} {
		if l := o.find(name); l != nil {
			port = l.arg(1)
		}
	}
	if l := o.find("proto"); l != nil {
		proto = l.arg(1)
	}
	var remotes []string
	udp := strings.HasPrefix(proto, "udp")
	for _, l := range o.all("remote") {
		at := port
		if l.arg(2) != "" {
			at = l.arg(2)
		}
		if !isPort(at) || l.arg(1) == "" || strings.ContainsAny(l.arg(1), "[]/ ") {
			p.Notes = append(p.Notes, o.note(l.number, l.text(), "it is not a host with a port"))
			continue
		}
		udp = udp && l.arg(3) == "" || strings.HasPrefix(l.arg(3), "udp")
		if r := net.JoinHostPort(l.arg(1), at); !slices.Contains(remotes, r) {
			remotes = append(remotes, r)
		}
	}
	if len(remotes) > 0 {
		why := "The far end is to be Warren too, and to listen there by TCP."
		if udp {
			why += " It was UDP; see transport = \"wireguard\"."
		}
		set(&p.Tunnel, "remotes", list(remotes), why)
	}
	if o.find("remote-random") != nil {
		set(&p.Tunnel, "remote_order", quote("random"))
	}
	for _, name := range []string{"connect-timeout", "server-poll-timeout"} {
		if l := o.find(name); l != nil && get(p.Tunnel, "connect_timeout") == nil {
			if n, err := strconv.Atoi(l.arg(1)); err == nil && n >= 1 && n <= 60 {
				set(&p.Tunnel, "connect_timeout", quote(fmt.Sprintf("%ds", n)))
			} else {
				p.Notes = append(p.Notes, o.note(l.number, l.text(), "allowed are 100ms to 1m; each remote has 2s by default"))
			}
		}
	}
	if l := o.find("dev"); l != nil && !o.isServer() && isInterface(l.arg(1)) && l.arg(1) != "tun" && l.arg(1) != p.Name {
		set(&p.Tunnel, "interface", quote(l.arg(1)))
	}
	if l := o.find("tun-mtu"); l != nil {
		if n, err := strconv.Atoi(l.arg(1)); err == nil && n >= 1280 && n <= 65521 {
			set(&p.Tunnel, "mtu", strconv.Itoa(n))
		} else {
			p.Notes = append(p.Notes, o.note(l.number, l.text(), "allowed are 1280 to 65521"))
		}
	}
	o.keepalive(p)
}

// keepalive sets how soon a dead peer is noticed.
func (o *ovpnFile) keepalive(p *Peer) {
	interval, silence, line := "", "", (*ovpnLine)(nil)
	if l := o.find("ping"); l != nil {
		interval, line = l.arg(1), l
	}
	for _, name := range []string{"ping-exit", "ping-restart"} {
		if l := o.find(name); l != nil {
			silence, line = l.arg(1), l
		}
	}
	if l := o.find("keepalive"); l != nil {
		interval, silence, line = l.arg(1), l.arg(2), l
	}
	if line == nil {
		return
	}
	every, err1 := strconv.Atoi(interval)
	dead, err2 := strconv.Atoi(silence)
	if err1 != nil || err2 != nil || every < 1 || every > 60 || dead < 2*every || dead > 600 {
		p.Notes = append(p.Notes, o.note(line.number, line.text(), "keepalive is 20ms to 1m here, and dead_after twice that at least and 10m at most; by default 1s and 3s"))
		return
	}
	why := ""
	if time.Duration(dead)*time.Second > 10*time.Second {
		why = "As it was. Without these two a dead peer is noticed after 3s."
	}
	s := Setting{Key: "keepalive", Value: quote(fmt.Sprintf("%ds", every))}
	if why != "" {
		s.Why = []string{why}
	}
	p.Tunnel = append(p.Tunnel, s)
	set(&p.Tunnel, "dead_after", quote(fmt.Sprintf("%ds", dead)))
}

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}
