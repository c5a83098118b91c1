package agent

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"warren/bgp"
	"warren/internal/status"
)

// lateWorld is one with tunnels to b and c, by both of which a prefix is learned.
func lateWorld(t *testing.T) (w *world, p netip.Prefix) {
	w = newWorld(t, router(peerConfig("b", 0), peerConfig("c", 1)))
	w.speaker.since = w.now()
	w.speaker.complete = map[string]bool{}
	p = netip.MustParsePrefix("10.9.0.0/24")
	for _, name := range []string{"b", "c"} {
		w.up(t, name)
		w.exchanged(t, name)
	}
	w.speaker.changes[p] = bgp.Route{Prefix: p, Ways: used("b", "c")}
	w.turnOfSpeaker()
	return w, p
}

// turnOfSpeaker does what the loop does when the speaker has something to say.
func (w *world) turnOfSpeaker() {
	w.followRoutes()
	w.learn()
	w.applyRoutes()
}

// exchanged has both ends have all routes of a neighbor's session.
func (w *world) exchanged(t *testing.T, name string) {
	t.Helper()
	w.speaker.complete[name] = true
	w.followRoutes()
	if w.isLate(name) {
		t.Fatalf("%s is late though both ends have all routes", name)
	}
}

func (w *world) isLate(name string) bool { return w.routes.late[name] }

func (w *world) states(p netip.Prefix) map[string]string {
	links, all := map[string]*attachment{}, map[string]string{}
	w.m.all(func(a *attachment) { links[a.name] = a })
	for _, way := range w.state.shownWays(p, links) {
		all[way.Peer] = way.State
	}
	return all
}

// A tunnel that is back carries nothing that has another way before both ends have all routes; then it
// does. Status says so.
func TestReturnWaitsForRoutes(t *testing.T) {
	w, p := lateWorld(t)
	w.down(t, "b")
	w.learns(t, p.String(), "c")
	delete(w.speaker.complete, "b")
	w.up(t, "b")
	w.speaker.changes[p] = bgp.Route{Prefix: p, Ways: used("b", "c")}
	w.turnOfSpeaker()
	if got := w.states(p); !w.isLate("b") || w.isLate("c") || got["b"] != status.WayReserve || got["c"] != status.WayUsed {
		t.Errorf("the tunnel is used before the routes are there: late %v, %v", w.isLate("b"), got)
	}
	w.exchanged(t, "b")
	if got := w.states(p); got["b"] != status.WayUsed || got["c"] != status.WayUsed {
		t.Errorf("both ends have all routes: %v", got)
	}
}

// What carries a prefix's packets while some interfaces are late.
func TestLateCarries(t *testing.T) {
	s := stateOf("a", "b", "c")
	id := s.originOf([]bgp.Way{{Neighbor: "a"}, {Neighbor: "b"}, {Neighbor: "c", Reserve: true}})
	for _, c := range []struct{ late, down, want string }{
		{"", "", "a b"}, {"a", "", "b"}, {"ab", "", "c"}, {"abc", "", "a b"}, {"ac", "", "b"}, {"c", "ab", "c"}, {"a", "bc", "a"},
	} {
		clear(s.late)
		clear(s.down)
		for _, name := range []string{"a", "b", "c"} {
			s.late[name], s.down[name] = strings.Contains(c.late, name), strings.Contains(c.down, name)
		}
		names, used := s.carrying(s.origins[id])
		if got := strings.Join(names[:used], " "); got != c.want {
			t.Errorf("late %q, down %q: by %q, should be by %q", c.late, c.down, got, c.want)
		}
	}
}

// A peer that never says that it has all routes is waited for as long as lateFor, from when its session began.
func TestReturnWaitsNotForEver(t *testing.T) {
	w, _ := lateWorld(t)
	w.down(t, "b")
	delete(w.speaker.complete, "b")
	w.speaker.since = w.now()
	w.up(t, "b")
	for _, step := range []time.Duration{0, lateFor - time.Second} {
		w.ahead += step
		if w.followRoutes(); !w.isLate("b") {
			t.Fatalf("%v after the session began it is waited for no longer", step)
		}
	}
	w.ahead += time.Second
	if w.followRoutes(); w.isLate("b") {
		t.Error("it is waited for longer than lateFor")
	}
}

// A BGP session that begins again from nothing over a tunnel that stays up has its interface late again;
// one that goes on with the routes of the last one does not, nor does what the speaker's own death interrupts.
func TestSessionAgainIsLate(t *testing.T) {
	w, p := lateWorld(t)
	w.speaker.states, w.speaker.stale = map[string]string{"b": "active"}, map[string]bool{"b": true}
	w.turnOfSpeaker() // its routes are still there
	if w.isLate("b") {
		t.Error("routes are kept, and their interface is late")
	}
	w.speaker.since = w.now().Add(time.Second)
	delete(w.speaker.complete, "b")
	delete(w.speaker.states, "b")
	w.turnOfSpeaker()
	if w.isLate("b") {
		t.Error("the session goes on, and its interface is late")
	}

	w.speaker.states, w.speaker.stale = map[string]string{"b": "idle"}, nil
	w.learns(t, p.String(), "c")
	w.turnOfSpeaker()
	if !w.isLate("b") {
		t.Error("there is neither session nor route, and nothing would wait for the next ones")
	}
	delete(w.speaker.states, "b")
	w.speaker.changes[p] = bgp.Route{Prefix: p, Ways: used("b", "c")}
	w.turnOfSpeaker()
	if got := w.states(p); got["b"] != status.WayReserve {
		t.Errorf("before all routes are there: %v", got)
	}
	w.exchanged(t, "b")
}

// A session that begins again between two looks, with its first routes: they are of the next one.
func TestSessionAgainBetweenTwoLooks(t *testing.T) {
	w, p := lateWorld(t)
	w.learns(t, p.String(), "c")
	w.speaker.since = w.now().Add(time.Second)
	delete(w.speaker.complete, "b")
	w.speaker.changes[p] = bgp.Route{Prefix: p, Ways: used("b", "c")}
	w.turnOfSpeaker()
	if !w.isLate("b") {
		t.Error("the routes of the next session count for those of the last")
	}
}

// A session that begins from nothing, as its peer was killed and started again: routes of the last one are known until the loop
// has seen that they are gone, and are no reason to use the next ones at once.
func TestSessionFromNothingIsLate(t *testing.T) {
	w, p := lateWorld(t)
	w.speaker.states, w.speaker.stale = map[string]string{"b": "active"}, map[string]bool{"b": true}
	w.turnOfSpeaker()
	w.speaker.states, w.speaker.stale, w.speaker.since = nil, nil, w.now().Add(time.Second)
	delete(w.speaker.complete, "b")
	w.speaker.changes[p] = bgp.Route{Prefix: p, Ways: used("c")}
	w.turnOfSpeaker()
	w.speaker.changes[p] = bgp.Route{Prefix: p, Ways: used("b", "c")}
	w.turnOfSpeaker()
	if got := w.states(p); !w.isLate("b") || got["b"] != status.WayReserve || got["c"] != status.WayUsed {
		t.Errorf("before all routes are there: late %v, %v", w.isLate("b"), got)
	}
	w.exchanged(t, "b")
}

// Two peers on one network, by both of which a prefix is learned, are behind the same interface. One that is back waits for the routes,
// the other one's go on; what is learned from the first alone does not wait. After its removal nothing is left of it.
func TestReturnOnANetworkWaits(t *testing.T) {
	w := newWorldWith(t, router(lanPeer("b", "192.0.2.2"), lanPeer("c", "192.0.2.3")), func(w *world) {
		w.speaker.since, w.speaker.complete = w.now(), map[string]bool{}
		w.locals.has("eth0 192.0.2.1/24")
	})
	both, alone := netip.MustParsePrefix("10.9.0.0/24"), netip.MustParsePrefix("10.8.0.0/24")
	learn := func(p netip.Prefix, names ...string) {
		ways := used(names...)
		for i, name := range names {
			ways[i].Gateway = w.attachment(name).lan.Address
		}
		w.speaker.changes[p] = bgp.Route{Prefix: p, Ways: ways}
		w.turnOfSpeaker()
	}
	learn(both, "b", "c")
	learn(alone, "b")
	if got := w.states(both); !w.isLate("b") || !w.isLate("c") || got["b"] != status.WayUsed || got["c"] != status.WayUsed {
		t.Errorf("at first there is none that is not late: %v", got)
	}
	w.exchanged(t, "b")
	w.exchanged(t, "c")

	w.speaker.states = map[string]string{"b": "idle"}
	learn(both, "c")
	learn(alone)
	w.speaker.states, w.speaker.since = nil, w.now().Add(time.Second)
	delete(w.speaker.complete, "b")
	learn(both, "b", "c")
	learn(alone, "b")
	if got := w.states(both); !w.isLate("b") || w.isLate("c") || got["b"] != status.WayReserve || got["c"] != status.WayUsed {
		t.Errorf("before all routes are there: %v", got)
	}
	if got := w.states(alone); got["b"] != status.WayUsed {
		t.Errorf("what has no other way waits: %v", got)
	}
	w.exchanged(t, "b")
	if got := w.states(both); got["b"] != status.WayUsed || got["c"] != status.WayUsed {
		t.Errorf("both ends have all routes: %v", got)
	}

	w.locals.has("eth1 192.0.2.1/24") // it is found on another interface, which begins the sessions again
	delete(w.speaker.complete, "b")
	w.localsChanged()
	if !w.isLate("b") {
		t.Error("another session on another interface is used at once")
	}
	w.reloads(t, router(lanPeer("c", "192.0.2.3")))
	if w.isLate("b") || w.state.late["b"] {
		t.Error("a peer that was removed is late")
	}
}

// Two peers on a network may announce one gateway, a third router's: that is one way, and not late because one of them is.
func TestOneGatewayOfTwoPeers(t *testing.T) {
	w := newWorldWith(t, router(lanPeer("b", "192.0.2.2"), lanPeer("c", "192.0.2.3")), func(w *world) {
		w.speaker.since, w.speaker.complete = w.now(), map[string]bool{"c": true}
		w.locals.has("eth0 192.0.2.1/24")
	})
	p, third := netip.MustParsePrefix("10.9.0.0/24"), netip.MustParseAddr("192.0.2.77")
	w.speaker.changes[p] = bgp.Route{Prefix: p, Ways: []bgp.Way{{Neighbor: "b", Gateway: third}, {Neighbor: "c", Gateway: third}}}
	w.turnOfSpeaker()
	if got := w.states(p); got["b"] != status.WayReserve || got["c"] != status.WayUsed {
		t.Errorf("b is late: %v", got)
	}
	w.exchanged(t, "b")
	links := map[string]*attachment{"b": w.attachment("b"), "c": w.attachment("c")}
	if ways := w.state.shownWays(p, links); len(ways) != 2 || ways[0].Share != 1 || ways[1].State != status.WayReserve {
		t.Errorf("one gateway counts twice: %+v", ways)
	}
}

// After a restart of this router all tunnels seem to be up again. The one over which BGP goes on carries, before both ends have said that they
// have all routes, and not the one over which nothing comes.
func TestSessionThatGoesOnCarries(t *testing.T) {
	w, p := lateWorld(t)
	w.speaker.stale, w.speaker.states = map[string]bool{"b": true, "c": true}, map[string]string{"b": "active", "c": "active"}
	clear(w.speaker.complete)
	for _, name := range []string{"b", "c"} {
		w.m.named(name).session.inUse = false // as it begins
		w.setLate(setLate{name, true})
	}
	w.turnOfSpeaker()
	if got := w.states(p); got["b"] != status.WayUsed || got["c"] != status.WayUsed {
		t.Errorf("before there is any session: %v", got)
	}
	delete(w.speaker.states, "b")
	delete(w.speaker.stale, "b") // it has announced all of its routes at once
	w.speaker.since = w.now().Add(time.Second)
	w.turnOfSpeaker()
	if got := w.states(p); got["b"] != status.WayUsed || got["c"] != status.WayReserve {
		t.Errorf("with a session over one of them: %v", got)
	}
	delete(w.speaker.states, "c")
	w.turnOfSpeaker()
	if got := w.states(p); got["b"] != status.WayUsed || got["c"] != status.WayUsed {
		t.Errorf("with a session over both: %v", got)
	}
}
