package agent

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"warren/bgp"
	"warren/internal/config"
	"warren/internal/status"
	"warren/tunnel"
)

const (
	// silentAfter is how long a peer that has to begin may take before that is a hint.
	silentAfter = 30 * time.Second
	// blockedAfter is how long a tunnel is up without an answer over BGP before that is a hint.
	blockedAfter = 30 * time.Second
	// refusedLately is how long a refusal is of interest. A peer tries again within it; one that does not has been given what it lacked,
	// as when two ends get another configuration one after the other.
	refusedLately = 2 * time.Minute
	// maxRefusedHints bounds the hints about who was refused, as those may be many.
	maxRefusedHints = 5
)

// hints is what an operator should know, and do something about.
func (l *loop) hints(now time.Time) (hints []status.Hint) {
	add := func(peer, text string) {
		if text != "" {
			hints = append(hints, status.Hint{Peer: peer, Text: text})
		}
	}
	add("", l.confirmHint(now))
	add("", certificateHint(l.cfg.TLS, now))
	add("", l.forwardingHint(true))
	add("", l.forwardingHint(false))
	add("", l.noIPv6Hint())
	add("", l.noIPv6ListenHint())
	hints = append(hints, l.sourceHints()...)
	if !l.routes.HasObjects() {
		add("", "this kernel has no next-hop objects (Linux 5.3 and later have): of several ways to a prefix only the best is used, "+
			"and when its tunnel is lost each of its prefixes is written again")
	}
	hints = append(hints, l.silentHints(now)...)
	up := map[netip.Addr]bool{} // where tunnels are up to
	var lesser lesser
	l.m.all(func(a *attachment) {
		if h, ok := l.handles.tunnels[a.id]; ok {
			s := h.Status()
			if s.State == tunnel.StateUp {
				up[s.Remote.Addr().Unmap().WithZone("")] = true
			}
			add(a.peer.name, a.hint(s.Hint)) // as of large packets that vanish on the underlay
			add(a.peer.name, a.hint(crossedHint(a, s)))
			add(a.peer.name, a.hint(keyHint(a, s, now)))
			add(a.peer.name, a.hint(lesser.note(a, s)))
		}
	})
	add("", lesser.hint())
	refused := l.refusals(now.Add(-refusedLately))
	// A connection that came to nothing was one beside a tunnel that is up: both ends may dial at once, or dial again when the first
	// one takes long.
	refused = slices.DeleteFunc(refused, func(r tunnel.Refusal) bool { return r.Unfinished && up[r.Source] })
	for _, r := range refused[:min(len(refused), maxRefusedHints)] {
		add(l.peerAt(r.Source), refusedText(r, now))
	}
	return hints
}

// certificateHint is about a certificate that ran out while the daemon ran.
func certificateHint(t config.TLS, now time.Time) string {
	if t.Certificate == nil || t.Certificate.Leaf == nil || !now.After(t.Certificate.Leaf.NotAfter) {
		return ""
	}
	return fmt.Sprintf("the certificate %s expired on %s: peers that know this router by ca_file refuse it; renew it, or check the clock",
		t.CertFile, t.Certificate.Leaf.NotAfter.UTC().Format("2006-01-02 15:04 MST"))
}

// silentHints are about peers that this router waits for, and that do not come: each by itself, or one of many.
func (l *loop) silentHints(now time.Time) (hints []status.Hint) {
	const most = 3 // by themselves
	var names []string
	l.m.all(func(a *attachment) {
		h, ok := l.handles.tunnels[a.id]
		if !ok || l.isElsewhere(a) {
			return
		}
		s := h.Status()
		waits := now.Sub(s.Since).Truncate(time.Second)
		if len(a.cfg.Remotes) > 0 || a.cfg.Transport == config.TransportExternal || s.State != tunnel.StateWaiting || waits < silentAfter {
			return
		}
		names = append(names, a.name)
		hints = append(hints, status.Hint{Peer: a.peer.name, Text: a.hint(fmt.Sprintf(
			"this router waits for the peer to connect and has not heard from it for %v: "+
				"does the peer have remotes with this router's address and port, and do firewalls let it through? One of the two ends must have remotes", waits))})
	})
	if len(names) <= most {
		return hints
	}
	return []status.Hint{{Text: fmt.Sprintf("this router waits for %d peers to connect and has not heard from them for %v and longer: %s: "+
		"do they have remotes with this router's address and port, and do firewalls let them through?", len(names), silentAfter, few(names))}}
}

// isElsewhere reports whether a peer that does not come is connected to another router, from which this one has what the peer alone
// may have: what it is assigned, or what its import names without a range.
func (l *loop) isElsewhere(a *attachment) bool {
	learned := func(prefix netip.Prefix) bool {
		from := l.state.origins[l.state.learned.Get(prefix)]
		return slices.ContainsFunc(from.neighbors, func(n string) bool { return l.state.attached[n].peer != a.peer.name })
	}
	return slices.ContainsFunc(a.cfg.Assign, learned) ||
		slices.ContainsFunc(a.peer.bgp.Import.Prefixes, func(f config.PrefixFilter) bool { return f.Le == f.Prefix.Bits() && learned(f.Prefix) })
}

// crossedHint is about a tunnel that goes where another one of the peer's is to go. Each end dials its own choice, so that such tunnels
// are taken from one line to another all the time.
func crossedHint(a *attachment, s tunnel.Status) string {
	at := s.Remote.Addr().Unmap().WithZone("")
	if s.State != tunnel.StateUp || !at.IsValid() || len(a.cfg.Remotes) == 0 || leadsTo(a, at) {
		return ""
	}
	for _, other := range a.peer.attachments {
		if other != a && leadsTo(other, at) {
			return fmt.Sprintf("it goes to %v, which is of the remotes of the tunnel on interface %s: a tunnel is known by its place among the [[tunnel]]s, "+
				"which both ends must list in the same order; or give each its link, the same at both ends", at, other.cfg.Interface)
		}
	}
	return ""
}

// leadsTo reports whether an address is among the remotes; what names have is not looked up.
func leadsTo(a *attachment, at netip.Addr) bool {
	return slices.ContainsFunc(a.cfg.Remotes, func(r config.Remote) bool {
		host, err := netip.ParseAddr(r.Host)
		return err == nil && host.Unmap().WithZone("") == at
	})
}

// blockedHints is about BGP that does not get through tunnels that do.
func (l *loop) blockedHints(neighbors map[string]bgp.NeighborStatus, now time.Time) (hints []status.Hint) {
	l.m.all(func(a *attachment) {
		since := neighbors[a.name].Unanswered
		if !a.up() || since.IsZero() {
			return
		}
		if tries := now.Sub(since).Truncate(time.Second); tries >= blockedAfter {
			what, also := "the tunnel is up", ""
			if a.isLAN() {
				what, also = "this router is on the peer's network", "; both ends need the same password and ttl_security"
			} else if a.cfg.PeerAddress.IsValid() {
				also = ", or the peer does not have that address: address and peer_address must be the other way round there"
			}
			hints = append(hints, status.Hint{Peer: a.peer.name, Text: a.hint(fmt.Sprintf(
				what+", and for %v nothing has come back from TCP port 179 of %v, not even a refusal: "+
					"let BGP through on interface %s, in the firewalls of both ends"+also, tries, a.session.peer, a.ifname()))})
		}
	})
	return hints
}

// peerAt is the name of the peer that is dialed at an address; "" if none is.
func (l *loop) peerAt(addr netip.Addr) (peer string) {
	l.m.all(func(a *attachment) {
		if peer == "" && leadsTo(a, addr) {
			peer = a.peer.name
		}
	})
	return peer
}

func refusedText(r tunnel.Refusal, now time.Time) string {
	times := fmt.Sprintf("%d times, the last time", r.Count)
	if r.Count == 1 {
		times = "once,"
	}
	return fmt.Sprintf("%v was refused %s %v ago: %s", r.Source, times, max(now.Sub(r.Last), 0).Truncate(time.Second), r.Reason)
}

// forwardingHint is about networks that are announced and that the kernel does not
// forward to. IPv4 is forwarded as the interface says that a packet came in by, IPv6 as
// conf/all says (Linux, ip_route_input_slow and ip6_forward).
func (l *loop) forwardingHint(v4 bool) string {
	seen, _ := l.locals.Interfaces()
	var networks, off []string
	note := func(name string) {
		if on, err := l.forwarding(v4, name); err == nil && !on && !slices.Contains(off, name) {
			off = append(off, name)
		}
	}
	for name, i := range seen {
		if name == "lo" || l.isTunnel(name) {
			continue
		}
		for _, n := range l.own {
			inside := func(a netip.Addr) bool { return n.Contains(a) }
			if n.Addr().Is4() != v4 || n.Bits() == 0 || n.IsSingleIP() || !slices.ContainsFunc(i.Addresses, inside) {
				continue
			}
			if !slices.Contains(networks, n.String()) {
				networks = append(networks, n.String())
			}
			note(name)
		}
	}
	if len(networks) == 0 {
		return ""
	}
	l.m.all(func(a *attachment) {
		if a.up() {
			note(a.ifname())
		}
	})
	if len(off) == 0 {
		return ""
	}
	slices.Sort(networks)
	slices.Sort(off)
	what, key := "IPv6 packets", "net.ipv6.conf.all.forwarding"
	if v4 {
		what, key = "IPv4 packets that come in by "+few(off), "net.ipv4.ip_forward"
	}
	return fmt.Sprintf("this host does not forward %s, and %s announced to the peers: "+
		"they get lost; set %s = 1 (sysctl -w, and in /etc/sysctl.d)", what, few(networks)+isOrAre(networks), key)
}

func isOrAre(list []string) string {
	if len(list) == 1 {
		return " is"
	}
	return " are"
}

// few names the first of a list.
func few(list []string) string {
	const most = 3
	if len(list) <= most {
		return strings.Join(list, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), len(list)-most)
}
