package config

import (
	"fmt"
	"slices"
)

// maxLink is the highest number of a tunnel.
const maxLink = 65535

// slot is what a tunnel is among those of its peer.
type slot struct {
	peer string
	n    int // from 0, in the order of the file
	link int
}

// suffix is what stands behind the peer's name in that of the tunnel's interface.
func (s slot) suffix() string {
	if s.n == 0 {
		return ""
	}
	return fmt.Sprintf(".%d", s.n)
}

// tunnels makes the Tunnels of what a peer's file says.
func (l *loader) tunnels(peer string, raw *tables[rawTunnel]) []Tunnel {
	for i := range raw.v[1:] {
		raw.v[i+1].inherit(&raw.v[0])
	}
	links := l.links(raw)
	l.deal(raw, links, "public_keys", func(t *rawTunnel) *value[list] { return &t.PublicKeys })
	l.deal(raw, links, "private_key_files", func(t *rawTunnel) *value[list] { return &t.PrivateKeyFiles })
	tunnels := make([]Tunnel, len(raw.v))
	for i := range raw.v {
		before := len(l.errs)
		tunnels[i] = l.tunnel(slot{peer, i, links[i]}, &raw.v[i])
		l.explain(before, raw.heads[i])
	}
	return tunnels
}

// explain completes what was said, from an index on, about the tunnel that begins at head,
// where the value that is wrong for it is the first tunnel's. What is wrong for that one too
// was said of it, and is not said again.
func (l *loader) explain(from int, head place) {
	for i := range l.errs[from:] {
		e := &l.errs[from+i]
		ofTemplate := e.takers != nil && e.takers.template == ""
		if ofTemplate == (head.template != "") && e.File == head.file && e.Line < head.line {
			e.Text += fmt.Sprintf("; so for the tunnel in line %d, which has it from here", head.line)
		}
	}
}

// links numbers the tunnels of a peer. An absent number is the first tunnel's plus how many
// tunnels are in between, an external interface's the next that is free from there on.
func (l *loader) links(raw *tables[rawTunnel]) []int {
	links, taken := make([]int, len(raw.v)), map[int]place{}
	external := func(t *rawTunnel) bool { return t.Transport.v == TransportExternal }
	first := 0
	for i := range raw.v {
		t := &raw.v[i]
		if external(t) {
			continue
		}
		if i == 0 {
			first = int(l.number(t.Link, 0, 0, maxLink))
		}
		n := int(l.number(t.Link, int64(first+i), 0, maxLink))
		other, twice := taken[n]
		switch {
		case t.Link.state == faulty:
		case n > maxLink:
			l.fail(t.Link.place, "is absent, and counts up from the first tunnel's, %d, to %d; allowed are 0 to %d: set link", first, n, maxLink)
		case twice:
			l.fail(t.Link.place, "%d is the link of the tunnel in %s already; each tunnel to a peer needs its own, the same at both ends", n, other.seenFrom(t.Link.file))
		default:
			taken[n] = raw.heads[i]
		}
		links[i] = n
	}
	for i := range raw.v {
		if external(&raw.v[i]) {
			n := first + i
			for taken[n] != (place{}) {
				n++
			}
			links[i], taken[n] = n, raw.heads[i]
		}
	}
	return links
}

// deal gives each tunnel that takes a list of keys from the first its own element, in the
// order of links, because WireGuard tells tunnels apart by the keys of their ends. A list
// that no further tunnel takes stays as it is.
func (l *loader) deal(raw *tables[rawTunnel], links []int, key string, list func(*rawTunnel) *value[list]) {
	var takers []int
	for i := range raw.v {
		t, v := &raw.v[i], list(&raw.v[i])
		byKey := (t.Transport.v == TransportWireGuard || t.Transport.v == TransportAuto) && (t.PublicKey.isThere() || t.PublicKeys.isThere())
		if byKey && v.state == given && (i == 0 || v.inherited) {
			takers = append(takers, i)
		}
	}
	if len(takers) < 2 {
		return
	}
	slices.SortStableFunc(takers, func(a, b int) int { return links[a] - links[b] })
	all := *list(&raw.v[takers[0]])
	if len(all.v) != len(takers) {
		l.fail(all.place, "has %d elements, and %d tunnels take theirs from it, in the order of links; name one for each, or write %s into each [[tunnel]]",
			len(all.v), len(takers), key)
	}
	for n, i := range takers {
		v := list(&raw.v[i])
		if len(all.v) != len(takers) {
			v.state = faulty
			continue
		}
		v.v = all.v[n : n+1]
		v.line = v.v[0].line
	}
}

// peerTunnel is one tunnel of a peer, with what its file says.
type peerTunnel struct {
	peer *Peer
	*Tunnel
	raw  *rawTunnel
	head place
	n    int // from 0
}

// tunnels lists the tunnels of a peer that comes from a file.
func (p *Peer) tunnels() (all []peerTunnel) {
	for i := range p.Tunnels {
		all = append(all, peerTunnel{p, &p.Tunnels[i], &p.raw.Tunnels.v[i], p.raw.Tunnels.heads[i], i})
	}
	return all
}

// own is a place of the tunnel: its head where a key is the first tunnel's.
func (t peerTunnel) own(at place) place {
	if at.file == t.head.file && at.template == t.head.template {
		at.line = max(at.line, t.head.line)
	}
	return at
}

// as says which tunnel is meant, in a message about o.
func (t peerTunnel) as(o peerTunnel) string {
	several, elsewhere := len(t.peer.Tunnels) > 1, t.head.file != t.peer.File
	switch {
	case t.peer == o.peer:
		return "the tunnel in " + t.head.seenFrom(o.head.file)
	case several && elsewhere:
		return fmt.Sprintf("%s (tunnel %d)", t.peer.where(), t.n+1)
	case several:
		return fmt.Sprintf("%s:%d", t.peer.File, t.head.line)
	}
	return t.peer.where()
}
