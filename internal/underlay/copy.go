package underlay

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"golang.org/x/sys/unix"
)

// table is the content of a routing table of one family.
type table map[routeKey]route

// add puts a route in, in the order in which the kernel lists them: by metric,
// then by age. Where the kernel allows several routes of one destination and
// metric (two routers advertising themselves, a route appended by hand), the
// later ones get the next free metrics. Among copies, which have lost what told
// the originals apart, they would otherwise merge into a multipath route. A
// better router preference goes first, as it does in the kernel's choice.
func (t table) add(key routeKey, r route) {
	for {
		old, taken := t[key]
		if !taken {
			t[key] = r
			return
		}
		if old.metric == r.metric && preference(r.pref) > preference(old.pref) {
			t[key] = r
			r = old
		}
		if key.metric == math.MaxUint32 {
			return
		}
		key.metric++
	}
}

// preference orders the values of RFC 4191: high is 01, low is 11.
func preference(pref uint8) int {
	switch pref {
	case 1:
		return 1
	case 3:
		return -1
	}
	return 0
}

// wanted reads what the copy of a table should hold: the table's routes, without owned
// ones, without ways through tunnels, and without those that no packet can leave by.
func (g *Guard) wanted(k *kernel, family int, original uint32, w *watched) (t table, complete bool, err error) {
	t = make(table)
	avoid := func(ifindex uint32) bool { return w.tunnels[ifindex] || w.silent[ifindex] }
	complete, err = k.routes(family, original, func(m []byte) error {
		if g.isOwned(original, m) {
			return nil
		}
		key, r, ok, err := parseRoute(m, avoid)
		if err != nil {
			return fmt.Errorf("underlay: read a route of table %d: %w", original, err)
		}
		if !ok {
			return nil
		}
		if original != unix.RT_TABLE_MAIN {
			r = r.onLink()
		}
		t.add(key, r)
		return nil
	})
	return t, complete, err
}

// present reads what a table of the guard's holds.
func (g *Guard) present(k *kernel, family int, number uint32) (t table, complete bool, err error) {
	t = make(table)
	complete, err = k.routes(family, number, func(m []byte) error {
		if number == formerTable && m[rtProtocol] != g.protocol {
			return nil
		}
		key, r, _, err := parseRoute(m, func(uint32) bool { return false })
		if err != nil {
			return fmt.Errorf("underlay: read a route of table %d: %w", number, err)
		}
		t[key] = r
		return nil
	})
	return t, complete, err
}

// difference is what makes have, the content of table number, equal to want: first what needs nothing else,
// then what needs a gateway to be reachable, and what goes last, so that there
// is always a way. Where want is not complete nothing goes.
func difference(number uint32, have, want table, complete bool) []change {
	var changes []change
	for key, r := range want {
		if old, ok := have[key]; !ok || old.body != r.body {
			changes = append(changes, change{table: number, key: key, route: r})
		}
	}
	if complete {
		for key, r := range have {
			if _, ok := want[key]; !ok {
				changes = append(changes, change{table: number, key: key, route: r, delete: true})
			}
		}
	}
	rank := func(c change) int {
		switch {
		case c.delete:
			return 2
		case c.route.gateway:
			return 1
		}
		return 0
	}
	slices.SortStableFunc(changes, func(a, b change) int { return cmp.Compare(rank(a), rank(b)) })
	return changes
}

// copyRoutes makes the copy of a table equal to what is wanted. It reports whether it
// saw the whole of both. Routes that cannot be written are counted and do not keep the
// others back.
func (g *Guard) copyRoutes(k *kernel, family int, original, number uint32, w *watched) (complete bool, failed failures, err error) {
	want, whole, err := g.wanted(k, family, original, w)
	if err != nil {
		return false, failed, err
	}
	have, wholeHave, err := g.present(k, family, number)
	if err != nil {
		return false, failed, err
	}
	var firstKey routeKey // the lowest, so that the same trouble has the same words
	err = k.apply(g.protocol, difference(number, have, want, whole), func(c change, err error) {
		if failed.n++; failed.first == nil || compareKeys(c.key, firstKey) < 0 {
			firstKey = c.key
			failed.first = fmt.Errorf("underlay: %s copy of %s metric %d: %w", verb(c), c.key.dst, c.key.metric, err)
		}
	})
	if err != nil {
		return false, failed, err
	}
	if errors.Is(failed.first, unix.EPERM) {
		return false, failed, failed.first // no use trying the others
	}
	return whole && wholeHave, failed, nil
}

// failures are routes that could not be written.
type failures struct {
	n     int
	first error
}

func compareKeys(a, b routeKey) int {
	return cmp.Or(a.dst.Compare(b.dst), cmp.Compare(a.metric, b.metric))
}

func verb(c change) string {
	if c.delete {
		return "delete"
	}
	return "write"
}

// reportFailures logs routes that could not be copied when their number
// changes, not at every reconciliation.
func (g *Guard) reportFailures(family int, f failures) {
	if g.failures[family] == f.n {
		return
	}
	g.failures[family] = f.n
	if f.n > 0 {
		g.log.Warn("some of the host's routes could not be copied for the transports; they will be tried again",
			"family", familyName(family), "routes", f.n, "err", f.first)
	}
}

// clear removes a table of the guard's.
func (g *Guard) clear(k *kernel, family int, number uint32) error {
	have, _, err := g.present(k, family, number)
	if err != nil {
		return err
	}
	var first error
	err = k.apply(g.protocol, difference(number, have, nil, true), func(c change, err error) {
		if first == nil {
			first = fmt.Errorf("underlay: delete copy of %s: %w", c.key.dst, err)
		}
	})
	return cmp.Or(err, first)
}
