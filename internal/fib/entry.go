package fib

import (
	"iter"
	"slices"
)

// node is one of the owned routes of a prefix.
type node struct {
	held
	seen uint8 // the last look at the kernel that found it
}

// entry is all that is known of a prefix: what is wanted of it, and which owned routes
// it has. There is seldom more than one route: an unreachable one beneath, one that a
// killed daemon left, or one of someone else with our protocol number.
type entry struct {
	key   key
	state state  // of the way
	below bool   // an unreachable route is wanted
	dirty bool   // it is in FIB.dirty
	want  uint32 // number of the set of ways that is wanted; 0: none
	first node   // one of its owned routes; typ is 0 if there is none
	more  bool   // it has others, which are in picture.more
}

// state is what has become of a wanted way.
type state uint8

const (
	stateNone state = iota // none is wanted
	stateInstalled
	statePending
	stateFailed
)

// isGone reports whether nothing is wanted of a prefix.
func (e *entry) isGone() bool { return e.want == 0 && !e.below }

// routes yields the owned routes of an entry.
func (p *picture) routes(e *entry) iter.Seq[held] {
	return func(yield func(held) bool) {
		if e.first.typ == 0 || !yield(e.first.held) || !e.more {
			return
		}
		for _, n := range p.more[e.key] {
			if !yield(n.held) {
				return
			}
		}
	}
}

// has reports whether an entry has an owned route.
func (p *picture) has(e *entry, h held) bool { return p.find(e, h) != nil }

func (p *picture) find(e *entry, h held) *node {
	if e.first.held == h {
		return &e.first
	}
	if e.more {
		all := p.more[e.key]
		if i := slices.IndexFunc(all, func(n node) bool { return n.held == h }); i >= 0 {
			return &all[i]
		}
	}
	return nil
}

// edit changes the owned routes of an entry, but not where they lead.
func (p *picture) edit(e *entry, change func(*node)) {
	if e.first.typ != 0 {
		change(&e.first)
	}
	if e.more {
		for i, all := 0, p.more[e.key]; i < len(all); i++ {
			change(&all[i])
		}
	}
}

func (p *picture) removeIf(e *entry, gone func(node) bool) (any bool) {
	remove := func(n node) bool {
		if !gone(n) {
			return false
		}
		drop(p.onLink, n.index)
		drop(p.onHop, n.object())
		p.via.release(n.gateway())
		p.count--
		any = true
		return true
	}
	if e.first.typ != 0 && remove(e.first) {
		e.first = node{}
	}
	if e.more {
		p.setMore(e, slices.DeleteFunc(p.more[e.key], remove))
	}
	return any
}

// setMore notes what is left of an entry's other routes, of which one becomes the first if
// that is gone.
func (p *picture) setMore(e *entry, left []node) {
	if n := len(left) - 1; e.first.typ == 0 && n >= 0 {
		e.first, left = left[n], left[:n]
	}
	if e.more = len(left) > 0; e.more {
		p.more[e.key] = left
	} else {
		delete(p.more, e.key)
	}
}
