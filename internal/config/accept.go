package config

import (
	"cmp"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base32"
	"errors"
	"fmt"
	"path"
	"reflect"
	"slices"
	"strings"
)

// Accept says which peers may connect that no file names: those that a CA vouches for. The
// zero Accept lets none.
type Accept struct {
	CA       *x509.CertPool // nil: there are no such peers
	CAFile   string         // absolute
	Template string         // what such a peer is like
	Names    []string       // patterns of path.Match in lower case, of which one must match; none: any name

	sample Peer // one of them, without a name of its own
}

// Equal reports whether a and o accept the same peers, and make the same of them.
func (a Accept) Equal(o Accept) bool {
	if a.CA == nil || o.CA == nil {
		return a.CA == o.CA
	}
	return a.CA.Equal(o.CA) && slices.Equal(a.Names, o.Names) &&
		slices.EqualFunc(a.sample.Tunnels, o.sample.Tunnels, Tunnel.Equal) && a.sample.BGP.Equal(o.sample.BGP)
}

// Matches reports whether a peer with that name in its certificate, in any case, may be accepted
// as far as names goes.
func (a Accept) Matches(name string) bool {
	if len(a.Names) == 0 {
		return true
	}
	name = strings.ToLower(name)
	return slices.ContainsFunc(a.Names, func(p string) bool { ok, _ := path.Match(p, name); return ok })
}

// accept reads [accept], and checks its template as far as that is possible without a name.
func (l *loader) accept(cfg *Config) Accept {
	raw := cfg.raw
	r := &raw.Accept
	if r.CAFile.state == absent && r.Template.state == absent && r.Names.state == absent {
		return Accept{}
	}
	a := Accept{Template: r.Template.v, Names: l.acceptNames(r.Names)}
	switch r.CAFile.state {
	case absent:
		l.fail(r.CAFile.place, "is required with [accept]: the certificates, in PEM, of the CA that vouches for the peers")
	case given:
		a.CAFile = l.resolve(r.CAFile.v)
		a.CA = l.ca(r.CAFile)
	}
	if r.Template.state == absent {
		l.fail(r.Template.place, "is required with [accept]: the name of a [template.NAME], which says what the peers are like")
	}
	if raw.TLS.Listen.state == absent {
		l.fail(raw.TLS.Listen.place, "is absent, and [accept] is for peers that connect: set listen")
	}
	if r.Template.state != given || a.CA == nil {
		return a
	}
	t := l.template(r.Template, &raw.Templates)
	if t == nil {
		return a
	}
	l.peer = &a.sample
	a.sample = Peer{Name: cmp.Or(strings.Join(a.Names, ", "), "of [accept]"), File: raw.Accept.Template.file, Line: raw.Accept.Template.line}
	before := len(l.errs)
	l.checkAccepted(t)
	if len(l.errs) == before {
		a.sample = l.acceptedPeer(cfg, a, a.sample, "peer.example")
	}
	l.peer = nil
	return a
}

func (l *loader) acceptNames(v value[list]) (names []string) {
	const form = `the names in the certificates of those to accept, as patterns with *, ? and [a-z], such as ["*.spokes.example.net"]`
	if v.state == given && len(v.v) == 0 {
		l.fail(v.place, "is empty, so that nobody is accepted: write %s; or leave it out, to accept all that the CA vouches for", form)
	}
	for _, e := range v.v {
		name := strings.ToLower(e.text)
		if _, err := path.Match(name, ""); err != nil || name == "" || strings.ContainsAny(name, "/ {}") {
			l.failElement(v.place, e, errors.New("is not a pattern; allowed are "+form))
		} else if slices.Contains(names, name) {
			l.failElement(v.place, e, errTwice)
		} else {
			names = append(names, name)
		}
	}
	return names
}

// checkAccepted reports what a template cannot say of peers that connect, each with the name
// in its certificate.
func (l *loader) checkAccepted(t *rawTemplate) {
	refuse := func(key interface{ isGiven() (place, bool) }, why string) {
		if at, given := key.isGiven(); given {
			l.fail(at, "cannot be in the template of [accept]: %s", why)
		}
	}
	for _, k := range t.BGP.lanKeys() {
		refuse(k, "the peers are reached by tunnels")
	}
	interfaces := map[string]int{}
	for i := range t.Tunnels.v {
		raw := &t.Tunnels.v[i]
		if at, given := raw.Interface.isGiven(); given {
			if first := interfaces[raw.Interface.v]; first > 0 {
				l.fail(at, "%q is the interface of the tunnel in line %d already; each tunnel needs its own", raw.Interface.v, first)
			}
			interfaces[raw.Interface.v] = t.Tunnels.heads[i].line
		}
		if raw.Transport.v != TransportTLS {
			refuse(&raw.Transport, "the peers connect over TLS")
		}
		for _, m := range raw.methods() {
			refuse(m.(interface{ isGiven() (place, bool) }), "the peers are known by ca_file there; take a template without")
		}
		refuse(&raw.PeerName, "it is the name in the peer's certificate")
		refuse(&raw.Remotes, "the peers connect, and this router waits for them")
		refuse(&raw.Address, "all peers would have the same; leave it out, so that both ends derive it")
		refuse(&raw.PeerAddress, "all peers would have the same; leave it out, so that both ends derive it")
		refuse(&raw.Assign, "all peers would have the same; write a file for those that are to have an address")
		if !strings.Contains(raw.Interface.v, namePlaceholder) {
			refuse(&raw.Interface, "all peers would have the same; leave it out, or put {name} into it")
		}
	}
}

// checkAcceptedUnderlays makes sure that the packets of no accepted peer are to leave by the tunnel of one that a
// file names.
func (l *loader) checkAcceptedUnderlays(a *Accept, tunnels []peerTunnel) {
	l.peer = &a.sample
	defer func() { l.peer = nil }()
	for _, t := range a.sample.tunnels() {
		for _, o := range tunnels {
			if t.Underlay != "" && t.Underlay == o.Interface {
				l.fail(t.raw.Underlay.place, "%q is the tunnel of %s; name the interface that the tunnel's packets leave by", t.Underlay, o.as(t))
			}
		}
	}
}

// AcceptedPeer makes the peer with a certificate of this name (a DNS name, in any case) that
// c.Accept.CA vouches for. It is the same each time, and its Name is the name in lower case.
// It reads no file. The error says why such a peer cannot connect.
func (c *Config) AcceptedPeer(name string) (Peer, error) {
	name = strings.ToLower(name)
	switch err := checkName(name); {
	case c.Accept.CA == nil:
		return Peer{}, errors.New("there is no [accept], so that only the peers in peers.d may connect")
	case err != nil:
		return Peer{}, fmt.Errorf("%q %w", name, err)
	case !validHost(name):
		return Peer{}, fmt.Errorf("%q is not a DNS name", name)
	case !c.Accept.Matches(name):
		return Peer{}, fmt.Errorf("%q matches none of accept.names", name)
	case slices.ContainsFunc(c.Peers, func(p Peer) bool { return p.isCalled(name) }):
		return Peer{}, fmt.Errorf("%q is the name of a peer that is configured", name)
	}
	l := &loader{cas: map[string]*x509.CertPool{c.Accept.CAFile: c.Accept.CA}}
	p := l.acceptedPeer(c, c.Accept, Peer{Name: name, File: c.Accept.sample.File, Line: c.Accept.sample.Line}, name)
	if len(l.errs) > 0 {
		l.finish()
		return Peer{}, l.errs
	}
	for _, t := range p.Tunnels {
		for _, o := range c.tunnels() {
			if o.Interface == t.Interface || o.Underlay == t.Interface {
				return Peer{}, fmt.Errorf("the interface of %q would be %s, which %s has already", name, t.Interface, o.peer.where())
			}
		}
		for i := range c.Peers {
			if o := &c.Peers[i]; o.BGP.LAN.Interface == t.Interface {
				return Peer{}, fmt.Errorf("the interface of %q would be %s, behind which the peer in %s is", name, t.Interface, o.where())
			}
		}
	}
	return p, nil
}

// isCalled reports whether a configured peer has this name, or has it in its certificate.
func (p Peer) isCalled(name string) bool {
	return strings.EqualFold(p.Name, name) ||
		slices.ContainsFunc(p.Tunnels, func(t Tunnel) bool { return strings.EqualFold(t.Trust.PeerName, name) })
}

// acceptedPeer makes a peer of the template of [accept], at the router that cfg is of without its peers.
func (l *loader) acceptedPeer(cfg *Config, a Accept, p Peer, certified string) Peer {
	raw := cfg.raw
	i := slices.Index(raw.Templates.names, a.Template)
	head := raw.Templates.heads[i]
	peer := &rawPeer{}
	leaveAll(head, absent, reflect.ValueOf(peer).Elem())
	peer.Template = raw.Accept.Template
	peer.take(raw.Templates.v[i], head)
	for n := range peer.Tunnels.v {
		t := &peer.Tunnels.v[n]
		t.CAFile = value[string]{place: raw.Accept.CAFile.place, v: a.CAFile, state: given}
		t.PeerName = value[string]{place: raw.Accept.Names.place, v: certified, state: given}
		t.Interface = value[string]{place: t.Interface.place, v: acceptedInterface(t.Interface.v, certified, n), state: given}
	}
	d := draft{&p, peer, head}
	l.finishPeer(d)
	l.settle(cfg, d)
	return p
}

// acceptedInterface names the interface of the nth tunnel of an accepted peer: as the template
// says, or after the peer. What has more than 15 bytes then is the beginning of the peer's
// name with 50 bits of a hash behind it; the sign between them is in no peer's name.
func acceptedInterface(template, name string, n int) string {
	wanted := strings.ReplaceAll(template, namePlaceholder, name)
	if template == "" {
		wanted = name + slot{n: n}.suffix()
	}
	if checkInterface(wanted) == nil {
		return wanted
	}
	sum := sha256.Sum256([]byte(wanted))
	label, _, _ := strings.Cut(name, ".")
	return label[:min(4, len(label))] + "~" + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:]))[:10]
}
