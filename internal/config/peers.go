package config

import (
	"path/filepath"
	"slices"
	"strings"
)

// draft is a peer together with what is written of it.
type draft struct {
	peer *Peer
	raw  *rawPeer
	head place // where it begins: the first line of its own file
}

// drafts makes the peers of the files of peers.d, sorted by name. Those of which a file could
// not be understood are left out.
func (l *loader) drafts(files []source, templates *named[rawTemplate]) []draft {
	var all []draft
	for _, s := range files {
		all = append(all, l.peersOf(s)...)
	}
	slices.SortStableFunc(all, func(a, b draft) int { return strings.Compare(a.peer.Name, b.peer.Name) })
	made := make([]draft, 0, len(all))
	for i, d := range all {
		if i > 0 && all[i-1].peer.Name == d.peer.Name {
			l.fail(d.head, "%q is the name of the peer in %s already; each peer needs its own", d.peer.Name, all[i-1].peer.where())
			continue
		}
		if l.takeTemplate(d, templates) {
			l.finishPeer(d)
			made = append(made, d)
		}
	}
	l.peer = nil
	return made
}

// peersOf reads what a file says of its peers.
func (l *loader) peersOf(s source) (all []draft) {
	raw := &rawPeerFile{}
	if !l.decode(s.file, s.data, raw) {
		return nil
	}
	if !raw.Peers.there {
		name := strings.TrimSuffix(filepath.Base(s.file), ".toml")
		if err := checkName(name); err != nil {
			l.fail(place{file: s.file}, "the file's name is the peer's name, and %q %v", name, err)
		}
		return []draft{{
			peer: &Peer{Name: name, File: s.file},
			raw:  &rawPeer{Template: raw.Template, Tunnels: raw.Tunnels, BGP: raw.BGP},
			head: place{file: s.file, line: 1},
		}}
	}
	l.refuseBeside(raw)
	for i, r := range raw.Peers.v {
		head := raw.Peers.heads[i]
		all = append(all, draft{&Peer{Name: raw.Peers.names[i], File: s.file, Line: head.line}, r, head})
	}
	return all
}

// refuseBeside reports what belongs to no peer because the file has [peer.NAME].
func (l *loader) refuseBeside(raw *rawPeerFile) {
	const text = "belongs to no peer: this file has [peer.NAME], so that its own name is no peer's; write it below the peer that is meant, as in [peer.NAME%s]"
	if raw.Template.state == given {
		l.fail(raw.Template.place, text, "")
	}
	for i := range raw.Tunnels.v {
		l.fail(raw.Tunnels.heads[i], text, ".tunnel")
	}
	for _, key := range fields(&raw.BGP) {
		if at, given := key.(interface{ isGiven() (place, bool) }).isGiven(); given {
			l.fail(at, text, ".bgp")
		}
	}
}

// takeTemplate fills in what a peer takes from its template. It returns false if that is not
// known, so that what else is missing cannot be told.
func (l *loader) takeTemplate(d draft, templates *named[rawTemplate]) bool {
	l.peer = d.peer
	if d.raw.Template.state == given {
		t := l.template(d.raw.Template, templates)
		if t == nil {
			return false
		}
		d.raw.take(t, d.head)
	}
	return d.raw.Template.state != faulty
}

// finishPeer makes the tunnels and the BGP side of a peer.
func (l *loader) finishPeer(d draft) {
	l.peer = d.peer
	if d.raw.wantsLAN() {
		d.peer.BGP, d.peer.raw = l.peerBGP(&d.raw.BGP), d.raw
		d.peer.BGP.LAN = l.lan(&d.raw.BGP)
		return
	}
	l.refuseLAN(&d.raw.BGP)
	if len(d.raw.Tunnels.v) == 0 {
		d.raw.addTunnel(d.head)
	}
	for i := range d.raw.Tunnels.v {
		d.raw.Tunnels.v[i].fillIn(d.peer.Name)
	}
	d.peer.Tunnels = l.tunnels(d.peer.Name, &d.raw.Tunnels)
	l.checkInvited(d)
	d.peer.BGP = l.peerBGP(&d.raw.BGP)
	d.peer.raw = d.raw
}

// addTunnel adds a tunnel of which nothing is written.
func (p *rawPeer) addTunnel(head place) {
	head.key = join(head.key, "tunnel")
	leaveAll(head, absent, p.Tunnels.add(head))
}
