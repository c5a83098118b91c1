package underlay

import (
	"slices"

	"golang.org/x/sys/unix"

	"warren/internal/rtnl"
)

// maxHints bounds the hints that wait. What does not fit is found by the next
// whole reconciliation.
const maxHints = 4096

// hint is a notification of a change in a table that is copied. With a table of a million
// routes a comparison takes seconds; so that a new underlay gateway is followed
// at once all the same, the notified change is made in the copy as it is. That
// can be wrong for a while, where the kernel has several routes of one metric,
// but never leads into a tunnel. The comparison that follows is what counts.
type hint struct {
	deleted bool
	message []byte
	copy    uint32 // the table's copy
}

func (g *Guard) addHint(nlType uint16, m []byte) {
	table := routeTable(m)
	number := g.watched[int(m[rtFamily])].Load().copies[table]
	if number == 0 || g.isOwned(table, m) {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.hints) < maxHints {
		g.hints = append(g.hints, hint{nlType == unix.RTM_DELROUTE, slices.Clone(m), number})
	}
}

// isOwned recognises a route of a table that learned prefixes have put there.
func (g *Guard) isOwned(table uint32, m []byte) bool {
	return g.fibTable == table && m[rtProtocol] == g.protocol
}

// takeHints removes and returns the hints of a family.
func (g *Guard) takeHints(family int) []hint {
	g.mu.Lock()
	defer g.mu.Unlock()
	var taken []hint
	g.hints = slices.DeleteFunc(g.hints, func(h hint) bool {
		if int(h.message[rtFamily]) != family {
			return false
		}
		taken = append(taken, h)
		return true
	})
	return taken
}

// applyHints makes the notified changes in the copy. Only ways through
// interfaces that were known as the underlay's at the last look count: a new
// interface may be a tunnel.
func (g *Guard) applyHints(k *kernel) {
	var changes []change
	for _, family := range families {
		w := g.watched[family].Load()
		avoid := func(ifindex uint32) bool { return !w.underlay[ifindex] }
		for _, h := range g.takeHints(family) {
			key, r, ok, err := parseRoute(rtnl.Spell(h.message, k.objects), avoid)
			if err != nil || !ok {
				continue
			}
			if h.copy != Table {
				r = r.onLink()
			}
			changes = append(changes, change{table: h.copy, key: key, route: r, delete: h.deleted})
		}
	}
	err := k.apply(g.protocol, changes, func(change, error) {}) // found again by the comparison
	if err != nil {
		g.markDirty(dirtyAll)
	}
}
