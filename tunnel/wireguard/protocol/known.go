package protocol

import (
	"net/netip"
	"slices"
)

// maxKnown is how many addresses are remembered of each key pair of this end, and how many key pairs of
// each address. The oldest are forgotten.
const maxKnown = 16

// known is from where messages for this end's key pairs come, or may be expected. A peer can add
// addresses to its own key pairs alone, which bounds what is kept and what it displaces.
type known struct {
	at    map[netip.AddrPort][]*identity // for which messages from there were, the latest last
	of    map[*identity][]netip.AddrPort // the same by key pair
	hosts map[netip.Prefix]knownHost
}

// knownHost is the addresses of one source: a peer that was started anew has another port.
type knownHost struct {
	addresses int       // of known.at, each as often as it has key pairs
	last      *identity // for which a message from one of them was last; nil: it is forgotten
}

func newKnown() known {
	return known{
		at: make(map[netip.AddrPort][]*identity), of: make(map[*identity][]netip.AddrPort), hosts: make(map[netip.Prefix]knownHost),
	}
}

// add notes that messages from an address are for a key pair.
func (k *known) add(me *identity, from netip.AddrPort) {
	source := sourceOf(from.Addr())
	if !source.IsValid() {
		return
	}
	k.drop(me, from) // it is the latest now
	if all := k.of[me]; len(all) >= maxKnown {
		k.drop(me, all[0])
	}
	if all := k.at[from]; len(all) >= maxKnown {
		k.drop(all[0], from)
	}
	k.at[from], k.of[me] = append(k.at[from], me), append(k.of[me], from)
	k.hosts[source] = knownHost{k.hosts[source].addresses + 1, me}
}

// drop forgets an address of a key pair, if it is known.
func (k *known) drop(me *identity, from netip.AddrPort) {
	if !slices.Contains(k.of[me], from) {
		return
	}
	remove(k.of, me, from)
	remove(k.at, from, me)
	source := sourceOf(from.Addr())
	h := k.hosts[source]
	if h.addresses--; h.addresses == 0 {
		delete(k.hosts, source)
		return
	}
	if h.last == me {
		h.last = nil
	}
	k.hosts[source] = h
}

// remove takes a value out of a list, and the list out of its map if it is empty then. A list is
// replaced and not changed: others read it.
func remove[K, V comparable](lists map[K][]V, of K, v V) {
	var rest []V
	for _, w := range lists[of] {
		if w != v {
			rest = append(rest, w)
		}
	}
	if len(rest) == 0 {
		delete(lists, of)
		return
	}
	lists[of] = rest
}

// keep forgets the key pairs that are not among some.
func (k *known) keep(some map[*identity]bool) {
	for me, all := range k.of {
		if !some[me] {
			for _, from := range all {
				k.drop(me, from)
			}
		}
	}
}
