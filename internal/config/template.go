package config

import (
	"reflect"
	"slices"
	"strings"
)

// template finds the template that a peer takes.
func (l *loader) template(v value[string], all *named[rawTemplate]) *rawTemplate {
	i := slices.Index(all.names, v.v)
	switch near := nearest(v.v, all.names); {
	case i >= 0:
		return all.v[i]
	case l.noTemplates:
		// That warren.toml cannot be understood has been said.
	case len(all.v) == 0:
		l.fail(v.place, "%q is not a template, and there is none: write one into warren.toml, headed [template.NAME], or leave the key out", v.v)
	case near != "":
		l.fail(v.place, "%q is not a template; did you mean %q? There are %s", v.v, near, strings.Join(all.names, ", "))
	default:
		l.fail(v.place, "%q is not a template; there are %s", v.v, strings.Join(all.names, ", "))
	}
	return nil
}

// take fills in what a peer leaves out from its template, key by key. The tunnels correspond
// in their order; those that the template has more of are the peer's too.
func (p *rawPeer) take(t *rawTemplate, head place) {
	name := p.Template.v
	own := fields(&p.BGP)
	for i, key := range fields(&t.BGP) {
		own[i].copyFrom(key, name, true)
	}
	if len(t.Tunnels.v) == 0 {
		if p.wantsLAN() {
			return
		}
		if len(p.Tunnels.v) == 0 {
			p.addTunnel(head)
		}
		p.Tunnels.v[0].take(&rawTunnel{}, name)
	}
	for i := range t.Tunnels.v {
		if i == len(p.Tunnels.v) {
			p.addTunnel(head)
			if i > 0 {
				p.Tunnels.heads[i] = t.Tunnels.heads[i]
			}
		}
		p.Tunnels.v[i].take(&t.Tunnels.v[i], name)
	}
}

// take fills in what a peer's tunnel leaves out from the one of the template. Of the ways to
// know the peer it takes none if it has one. If it is of another kind than the template's, what
// means nothing with it is there too, and ignored.
func (t *rawTunnel) take(from *rawTunnel, name string) {
	knows := slices.ContainsFunc(t.methods(), inheritable.isThere)
	meant := !knows && !t.Transport.isThere() && !t.Probe.isThere() && !t.Keepalive.isThere()
	methods, keys := t.methods(), fields(from)
	for i, key := range fields(t) {
		if !knows || !slices.Contains(methods, key) {
			key.copyFrom(keys[i], name, meant)
		}
	}
}

// copyFrom takes the value of a template where this one has none. It keeps the template's
// place. One that the template has neither stays here.
func (v *value[T]) copyFrom(template inheritable, name string, meant bool) {
	switch t := template.(*value[T]); {
	case v.state != absent:
	case t.state == absent:
		v.lacking = name
	default:
		*v = *t
		v.unmeant = !meant
	}
}

// fields are the keys of a raw struct that has no tables, in order.
func fields(raw any) (all []inheritable) {
	v := reflect.ValueOf(raw).Elem()
	for i := range v.NumField() {
		all = append(all, v.Field(i).Addr().Interface().(inheritable))
	}
	return all
}

// namePlaceholder stands for the peer's name.
const namePlaceholder = "{name}"

// fillIn puts the peer's name where the placeholder is, in the values that differ from peer to
// peer and can be made of it.
func (t *rawTunnel) fillIn(name string) {
	for _, v := range []*value[string]{&t.SecretFile, &t.InvitationFile, &t.PeerName, &t.PresharedKeyFile, &t.Interface} {
		v.v = strings.ReplaceAll(v.v, namePlaceholder, name)
	}
	for _, v := range []*value[list]{&t.SecretFiles, &t.PrivateKeyFiles, &t.Remotes} {
		filled := slices.Clone(v.v) // the template's is that of other peers too
		for i := range filled {
			filled[i].text = strings.ReplaceAll(filled[i].text, namePlaceholder, name)
		}
		v.v = filled
	}
}

// warnTemplates is about templates that no peer takes.
func (l *loader) warnTemplates(c *Config) {
	for i, name := range c.raw.Templates.names {
		accepts := c.Accept.CA != nil && c.Accept.Template == name
		if !accepts && !slices.ContainsFunc(c.Peers, func(p Peer) bool { return p.raw.Template.v == name }) {
			l.fail(c.raw.Templates.heads[i], "no peer takes this template: write template = %q into the files of those that it is for, or take it out", name)
		}
	}
}
