package agent

import (
	"iter"
	"net/netip"

	"warren/bgp/byprefix"
)

// touched are prefixes to look at again. Where all that are learned may be among them they are
// found step by step, by a walk: to list a million at once takes as long as a tunnel's
// keepalive.
type touched struct {
	prefixes []netip.Prefix

	among func(netip.Prefix, originID) bool // which of those that the walk finds; nil: there is no walk
	next  func() (netip.Prefix, originID, bool)
	stop  func()
}

// walkShare is how many prefixes a walk goes past for each that was asked for, at most.
const walkShare = 8

func (t *touched) add(p netip.Prefix) { t.prefixes = append(t.prefixes, p) }

// walk touches those of all prefixes for which among is true. What all has of a prefix that
// changes before the walk gets there may be seen before or afterwards: whoever changes it touches
// it. A walk under way begins again, for what both are to find.
func (t *touched) walk(all *byprefix.Map[originID], among func(netip.Prefix, originID) bool) {
	if all.Len() == 0 {
		return
	}
	if before := t.among; before != nil {
		t.stop()
		also := among
		among = func(p netip.Prefix, id originID) bool { return before(p, id) || also(p, id) }
	}
	t.among = among
	t.next, t.stop = iter.Pull2(all.All())
}

// left reports whether there are any to take.
func (t *touched) left() bool { return len(t.prefixes) > 0 || t.among != nil }

// take takes most prefixes at most off. There may be more although it returns fewer.
func (t *touched) take(most int) []netip.Prefix {
	for range walkShare * most {
		if len(t.prefixes) >= most || t.among == nil {
			break
		}
		switch p, id, ok := t.next(); {
		case !ok:
			t.among, t.next, t.stop = nil, nil, nil
		case t.among(p, id):
			t.add(p)
		}
	}
	n := min(len(t.prefixes), most)
	some := t.prefixes[:n]
	if t.prefixes = t.prefixes[n:]; len(t.prefixes) == 0 {
		t.prefixes = nil
	}
	return some
}
