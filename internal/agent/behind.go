package agent

import (
	"net/netip"
	"slices"
)

// When a tunnel dies the kernel's groups lose its way at once, by one message whatever the number
// of prefixes. Then the speaker takes that neighbor's ways from each prefix, one by one, which
// would rewrite every route to say what the groups do already. So a prefix keeps the ways that
// it had, the dead one included, while they come to the same:
//
//	learned: site-b, site-b/1 (down)     the group has site-b
//	behind:  site-b                      what the speaker says
//
// Before any interface can be used again, what the speaker says takes effect: a way that comes
// back is used by the prefixes that are learned over it then, and by no others.

// stays reports whether a prefix may keep its ways when the speaker gives it others, because with
// what is down now both lead the same way, to the same gateways, and will when more goes down.
func (s *state) stays(before, next *origin) bool {
	isDown := func(name string) bool { return s.down[s.attached[name].ifname] }
	if !slices.ContainsFunc(before.neighbors, isDown) {
		return false
	}
	up, gateways, used := s.usable(before)
	nextUp, nextGateways, nextUsed := s.usable(next)
	return len(up) > 0 && slices.Equal(up, nextUp) && slices.Equal(gateways, nextGateways) && used == nextUsed
}

// usable returns the neighbors of an origin whose ways can be used now, the gateway of each, and how many of them are used:
// those that are not in reserve, or the first one (fib.Change).
func (s *state) usable(o *origin) (names []string, gateways []netip.Addr, used int) {
	for i, name := range o.neighbors {
		a, ok := s.attached[name]
		if !ok || s.down[a.ifname] {
			continue
		}
		names, gateways = append(names, name), append(gateways, o.gateways[i])
		if i < o.used {
			used++
		}
	}
	return names, gateways, max(used, min(len(names), 1))
}

// carrying is usable as it is while some neighbors are late: their ways count where there are no
// others.
func (s *state) carrying(o *origin) (names []string, used int) {
	names, _, used = s.usable(o)
	late := func(name string) bool { return s.late[name] }
	if len(s.late) == 0 || !slices.ContainsFunc(names, func(name string) bool { return !late(name) }) {
		return names, used
	}
	first := used
	used = 0
	for i, name := range names {
		if i < first && !late(name) {
			used++
		}
	}
	names = slices.DeleteFunc(names, late)
	return names, max(used, 1)
}

// catchUp has what the speaker says take effect for all prefixes. It reports whether it was
// something else for any.
func (s *state) catchUp() bool {
	any := len(s.behind) > 0
	for prefix, id := range s.behind {
		s.setLearned(prefix, id)
		s.origins[id].behind-- // it is not released: the prefix has it
		s.touched.add(prefix)
	}
	clear(s.behind)
	return any
}

// setHop says whether routes can use an interface. One that can waits for the prefixes that are
// behind.
func (l *loop) setHop(e setHop) {
	l.state.down[e.ifname] = e.down
	if e.down {
		delete(l.rising, e.ifname)
		l.routes.SetHop(e.ifname, l.state.hop(e.ifname))
		return
	}
	delete(l.state.down, e.ifname)
	if l.state.catchUp() || len(l.rising) > 0 {
		l.rising[e.ifname] = true
		l.applyRoutes()
		return
	}
	l.routes.SetHop(e.ifname, l.state.hop(e.ifname))
}

// raise has routes use the interfaces that have waited.
func (l *loop) raise() {
	for _, name := range sortedKeys(l.rising) {
		l.routes.SetHop(name, l.state.hop(name))
	}
	clear(l.rising)
}
