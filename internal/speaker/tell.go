package speaker

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"warren/bgp"
	"warren/internal/speaker/wire"
)

// told is a set of ways that the process tells of, as it is for those prefixes of which no
// policy refuses any.
type told struct {
	members []member
	id      setID // counts one prefix more; see forget
}

// resolve finds the owners of a set that the process tells of. Of those that are not wanted
// any more the process does not know yet. The error says that the process tells of a gateway
// where there can be none, or of none where there has to be one.
func (t *table) resolve(ways []wire.Way) (is told, err error) {
	for _, w := range ways {
		o := t.owners[w.ID]
		if o == nil || !o.stale.IsZero() {
			continue
		}
		if o.neighbor.LAN() != w.Gateway.IsValid() || w.Gateway.IsValid() && !o.neighbor.OnLink(w.Gateway) {
			return told{}, fmt.Errorf("it tells of the gateway %v for neighbor %s", w.Gateway, o.neighbor.Name)
		}
		is.members = append(is.members, member{o: o, gateway: w.Gateway, reserve: w.Reserve})
	}
	is.id = t.sets.intern(is.members)
	return is, nil
}

// forget takes back what resolve has counted.
func (t *table) forget(is told) { t.sets.release(is.id) }

// set takes what the process tells: the ways to p. The error says that the process tells what
// cannot be.
func (t *table) set(is told, p netip.Prefix, now time.Time) error {
	t.members = t.members[:0]
	for _, m := range is.members {
		if p.Addr().Is6() && m.gateway.Is4() {
			return fmt.Errorf("it tells of the gateway %v for %v", m.gateway, p)
		}
		if ok, _ := m.o.neighbor.Import.Accepts(p, t.protected); ok {
			t.members = append(t.members, m)
		} else {
			m.o.refused, m.o.moved = true, now
		}
	}
	have := t.sets.all[t.routes.Get(p)].members
	id := is.id
	if kept := t.addStale(have); kept || len(t.members) < len(is.members) {
		id = t.sets.intern(t.members)
		defer t.sets.release(id)
	}
	for _, m := range t.sets.all[id].members {
		if !slices.ContainsFunc(have, func(h member) bool { return h.o == m.o }) || len(is.members) == 1 {
			m.o.moved = now
		}
	}
	t.put(p, id)
	for _, m := range t.sets.all[id].members {
		if o := m.o; o.limit > 0 && o.routes > o.limit && o.stale.IsZero() {
			return fmt.Errorf("it tells of %d routes of neighbor %s, which may have %d of a family", o.routes, o.neighbor.Name, o.neighbor.MaxPrefixes)
		}
	}
	return nil
}

// addStale adds to t.members the stale ones among have whose neighbors the process does not
// tell of, and reports whether there are any.
func (t *table) addStale(have []member) bool {
	fresh := len(t.members)
	for _, h := range have {
		again := slices.ContainsFunc(t.members[:fresh], func(m member) bool { return m.o.neighbor.Name == h.o.neighbor.Name })
		if !h.o.stale.IsZero() && !again {
			t.members = append(t.members, member{o: h.o, gateway: h.gateway, reserve: h.reserve})
		}
	}
	if len(t.members) == fresh || fresh == 0 {
		return len(t.members) > fresh
	}
	for i := range t.members[:fresh] {
		m := &t.members[i]
		m.before = true
		for _, h := range have {
			switch {
			case h.o.neighbor.Name != m.o.neighbor.Name:
			case h.o.stale.IsZero():
				m.before = h.before
			default:
				m.before = h.reserve
			}
		}
	}
	return true
}

// put gives a prefix another set, and counts it.
func (t *table) put(p netip.Prefix, id setID) {
	was := t.routes.Get(p)
	if id == was {
		return
	}
	for _, m := range t.sets.all[was].members {
		m.o.routes--
	}
	for _, m := range t.sets.all[id].members {
		m.o.routes++
	}
	if id == 0 {
		t.routes.Delete(p)
	} else {
		t.routes.Set(p, id)
		t.sets.all[id].refs++
	}
	before, now := t.sets.all[was].told, t.sets.all[id].told
	switch last, ok := t.changed.Find(p); {
	case ok && last == now:
		t.changed.Delete(p) // it is again as it was
		t.sets.releaseTold(last)
	case !ok && before != now:
		t.changed.Set(p, before)
		if before != 0 {
			t.sets.told[before].refs++
		}
	}
	t.sets.release(was)
}

// take returns what has changed since it was returned last, of most prefixes at most. Nothing in it
// may be changed.
func (t *table) take(most int) map[netip.Prefix]bgp.Route {
	routes := make(map[netip.Prefix]bgp.Route, min(most, t.changed.Len()))
	for p, last := range t.changed.All() {
		if len(routes) >= most {
			break
		}
		routes[p] = bgp.Route{Prefix: p, Ways: t.sets.told[t.sets.all[t.routes.Get(p)].told].ways}
		t.sets.releaseTold(last)
		t.changed.Delete(p)
	}
	return routes
}
