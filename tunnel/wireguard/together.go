package wireguard

import (
	"errors"
	"net/netip"
	"slices"
	"time"

	"warren/tunnel/internal/remote"
)

// This file is for a tunnel that another transport carries too, and whose remotes may be several routers. This one goes where
// that one is.

// errElsewhere is why a tunnel goes down whose peer is to be found at another place.
var errElsewhere = errors.New("it is another router than the one that the tunnel is carried to over TLS")

// Join says where the peer is by the other transport; not valid: nowhere. Of the places of the remotes only those at that address are
// tried from now on, with that port if one has it, as remotes may be ports of one address; and after them those of the same remote in the other
// family, as a name has the addresses of one router in both more often than of several. Where there are none, all are. A tunnel that
// is up stays where it is. It may be called from any goroutine, and does not block.
func (l *Link) Join(at netip.AddrPort) {
	l.joins.Store(&at)
	l.notify()
}

// tryJoin does what Join asks for.
func (l *Link) tryJoin(now time.Time) {
	at := l.joins.Swap(nil)
	if at == nil || *at == l.beside {
		return
	}
	l.beside = *at
	l.keepTo(now)
}

// keepTo has the peer be looked for where it may be, if it is not up. An attempt that is under way there goes on.
func (l *Link) keepTo(now time.Time) {
	only := l.only()
	l.peer.SetOnly(placesOf(only))
	t := &l.tries
	if only == nil || l.isUp() {
		return
	}
	tried := func(a netip.AddrPort) bool { return slices.Contains(t.at, a) }
	if !slices.ContainsFunc(placesOf(only), tried) {
		t.restart()
		return
	}
	t.queue = slices.DeleteFunc(l.order(now), func(g remote.Group) bool { return slices.ContainsFunc(g.Addrs, tried) })
}

// only returns the places where the peer is looked for because of the other transport; nil: at all.
func (l *Link) only() []remote.Group { return l.onlyOf(l.tries.groups) }

// isToCome reports whether the place where the other transport is may be among those that are still looked up, while some are known.
func (l *Link) isToCome(known []remote.Group) bool {
	here := func(g remote.Group) bool {
		return slices.ContainsFunc(g.Addrs, func(a netip.AddrPort) bool {
			return a.Addr().Unmap() == l.beside.Addr().Unmap() && a.Port() == l.beside.Port()
		})
	}
	return l.beside.IsValid() && !slices.ContainsFunc(known, here)
}

func (l *Link) onlyOf(groups []remote.Group) (only []remote.Group) {
	if !l.beside.IsValid() {
		return nil
	}
	at := l.beside.Addr().Unmap()
	for _, exact := range []bool{true, false} {
		var others []remote.Group
		for _, g := range groups {
			here := addrsOf(g, func(a netip.AddrPort) bool {
				return a.Addr().Unmap() == at && (!exact || a.Port() == l.beside.Port())
			})
			if len(here.Addrs) == 0 {
				continue
			}
			only = append(only, here)
			if other := addrsOf(g, func(a netip.AddrPort) bool { return a.Addr().Unmap().Is4() != at.Is4() }); len(other.Addrs) > 0 {
				others = append(others, other)
			}
		}
		if len(only) > 0 {
			return append(only, others...)
		}
	}
	return nil
}

// addrsOf returns the addresses of a group that are so.
func addrsOf(g remote.Group, so func(netip.AddrPort) bool) remote.Group {
	return remote.Group{Remote: g.Remote, Addrs: slices.DeleteFunc(slices.Clone(g.Addrs), func(a netip.AddrPort) bool { return !so(a) })}
}

// order returns the places of a round, in the order in which they are to be tried. Where the other transport is comes first, unless it
// was of no use lately: UDP may pass in the other family alone.
func (l *Link) order(now time.Time) []remote.Group {
	t := &l.tries
	if only := l.only(); only != nil {
		return remote.Order(only, &t.book, false, now)
	}
	return remote.Order(t.groups, &t.book, l.cfg.RandomOrder, now)
}

// Leave has the peer be looked for at another place than where it is. Where no other one is known it does nothing. It may be called
// from any goroutine.
func (l *Link) Leave() {
	select {
	case l.leaves <- struct{}{}:
	default:
	}
}

// leavePlace does what Leave asks for.
func (l *Link) leavePlace(now time.Time) {
	l.tryJoin(now)
	places := placesOf(l.only())
	if places == nil {
		places = l.tries.places()
	}
	at := l.peer.Status(now).Endpoint
	if l.isUp() && slices.ContainsFunc(places, func(a netip.AddrPort) bool { return a != at }) {
		l.sayLeaving(l.peer.Sealer(now, 1))
		l.peer.Leave()
		l.down(now, errElsewhere)
	}
}
