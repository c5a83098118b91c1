package underlay

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net/netip"
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

// lastResort is the route that ends the guard's table: without it a lookup that
// finds nothing would go on to main, and into the tunnel.
func lastResort(family int) (routeKey, route) {
	var head [unix.SizeofRtMsg]byte
	head[rtFamily], head[rtType] = uint8(family), unix.RTN_UNREACHABLE
	any := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	if family == unix.AF_INET6 {
		any = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	return routeKey{dst: any, metric: math.MaxUint32}, route{body: string(head[:])}
}

// wanted reads what the guard's table should hold: main, without owned routes
// and without ways through tunnels.
func (g *Guard) wanted(k *kernel, family int, tunnels map[uint32]bool) (t table, complete bool, err error) {
	t = make(table)
	avoid := func(ifindex uint32) bool { return tunnels[ifindex] }
	complete, err = k.routes(family, unix.RT_TABLE_MAIN, func(m []byte) error {
		if g.isOwned(m) {
			return nil
		}
		key, r, ok, err := parseRoute(m, avoid)
		if err != nil {
			return fmt.Errorf("underlay: read a route of table main: %w", err)
		}
		if ok {
			t.add(key, r)
		}
		return nil
	})
	key, r := lastResort(family)
	t[key] = r
	return t, complete, err
}

// present reads what the guard's table holds.
func present(k *kernel, family int) (t table, complete bool, err error) {
	t = make(table)
	complete, err = k.routes(family, Table, func(m []byte) error {
		key, r, _, err := parseRoute(m, func(uint32) bool { return false })
		if err != nil {
			return fmt.Errorf("underlay: read a route of table %d: %w", Table, err)
		}
		t[key] = r
		return nil
	})
	return t, complete, err
}

// difference is what makes have equal to want: first what needs nothing else,
// then what needs a gateway to be reachable, and what goes last, so that there
// is always a way. Where want is not complete nothing goes.
func difference(have, want table, complete bool) []change {
	var changes []change
	for key, r := range want {
		if old, ok := have[key]; !ok || old.body != r.body {
			changes = append(changes, change{key: key, route: r})
		}
	}
	if complete {
		for key, r := range have {
			if _, ok := want[key]; !ok {
				changes = append(changes, change{key: key, route: r, delete: true})
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

// copyRoutes makes the guard's table of one family equal to what is wanted. It
// reports whether it saw the whole of both tables.
func (g *Guard) copyRoutes(k *kernel, family int, tunnels map[uint32]bool) (complete bool, err error) {
	want, whole, err := g.wanted(k, family, tunnels)
	if err != nil {
		return false, err
	}
	have, wholeHave, err := present(k, family)
	if err != nil {
		return false, err
	}
	var failures int
	var first error
	var firstKey routeKey // the lowest, so that the same trouble has the same words
	err = k.apply(g.protocol, difference(have, want, whole), func(c change, err error) {
		if failures++; first == nil || compareKeys(c.key, firstKey) < 0 {
			first, firstKey = fmt.Errorf("underlay: %s copy of %s metric %d: %w", verb(c), c.key.dst, c.key.metric, err), c.key
		}
	})
	if err != nil {
		return false, err
	}
	if errors.Is(first, unix.EPERM) {
		return false, first // no use trying the others
	}
	g.reportFailures(family, failures, first)
	return whole && wholeHave, nil
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
func (g *Guard) reportFailures(family, n int, first error) {
	if g.failures[family] == n {
		return
	}
	g.failures[family] = n
	if n > 0 {
		g.log.Warn("some of the host's routes could not be copied for the transports; they will be tried again",
			"family", familyName(family), "routes", n, "err", first)
	}
}

func familyName(family int) string {
	if family == unix.AF_INET {
		return "ipv4"
	}
	return "ipv6"
}

// clear removes the guard's table of both families.
func (g *Guard) clear(k *kernel) error {
	for _, family := range families {
		have, _, err := present(k, family)
		if err != nil {
			return err
		}
		var first error
		err = k.apply(g.protocol, difference(have, nil, true), func(c change, err error) {
			if first == nil {
				first = fmt.Errorf("underlay: delete copy of %s: %w", c.key.dst, err)
			}
		})
		if err = cmp.Or(err, first); err != nil {
			return err
		}
	}
	return nil
}
