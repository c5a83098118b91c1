package agent

import (
	"net/netip"
	"testing"
	"time"
)

// forgets plays the tick at which what was withdrawn is forgotten.
func (w *world) forgets(t *testing.T, now time.Time) {
	t.Helper()
	w.forgetWithdrawn(now)
	w.applyRoutes()
}

// While a peer is gone its prefixes go nowhere; what it withdraws while it is there
// is forgotten, and so is what it does not announce again.
func TestLearnedPrefixesStayUnreachable(t *testing.T) {
	b, c := peerConfig("b", 0), peerConfig("c", 1)
	b.BGP.KeepLearned = true
	w := newWorld(t, router(b, c))
	w.up(t, "b")
	w.up(t, "c")
	w.learns(t, "10.2.0.0/16", "b")
	w.learns(t, "10.4.0.0/16", "b")
	w.learns(t, "10.3.0.0/16", "c")
	expect(t, "all there", w.routes.want, []string{
		"10.2.0.0/16 dev if-b", "10.2.0.0/16 unreachable", "10.3.0.0/16 dev if-c", "10.4.0.0/16 dev if-b", "10.4.0.0/16 unreachable"})

	w.down(t, "b")
	w.down(t, "c")
	for _, p := range []string{"10.2.0.0/16", "10.4.0.0/16", "10.3.0.0/16"} {
		w.learns(t, p, "")
	}
	now := time.Now()
	w.forgets(t, now.Add(time.Hour))
	gone := []string{"10.2.0.0/16 unreachable", "10.4.0.0/16 unreachable"}
	expect(t, "while it is gone, however long", w.routes.want, gone)
	if !w.unreachable {
		t.Error("the guard does not know")
	}

	// It is back, and announces one of them.
	w.up(t, "b")
	w.learns(t, "10.2.0.0/16", "b")
	w.speaker.since = now
	w.forgets(t, now.Add(announcesWithin-time.Second))
	back := []string{"10.2.0.0/16 dev if-b", "10.2.0.0/16 unreachable"}
	expect(t, "at first", w.routes.want, append(back[:2:2], "10.4.0.0/16 unreachable"))
	w.forgets(t, now.Add(announcesWithin))
	expect(t, "a session that is about to end", w.routes.want, append(back[:2:2], "10.4.0.0/16 unreachable"))
	w.forgets(t, now.Add(announcesWithin+goneFor))
	expect(t, "not announced again", w.routes.want, back)

	// A reload without it forgets all, and one with it remembers what is there.
	plain := b
	plain.BGP.KeepLearned = false
	w.reloads(t, router(plain, c))
	expect(t, "turned off", w.routes.want, back[:1])
	w.reloads(t, router(b, c))
	expect(t, "turned on", w.routes.want, back)
}

func TestNamedPrefixesAreAlwaysUnreachable(t *testing.T) {
	b := peerConfig("b", 0)
	b.BGP.Unreachable = netips("10.2.0.0/16 2001:db8:2::/48")
	cfg := router(b)
	cfg.FIB.Table = 500
	w := newWorld(t, cfg)
	w.applyRoutes()
	expect(t, "from the first moment", w.routes.want, []string{"10.2.0.0/16 unreachable", "2001:db8:2::/48 unreachable"})
}

// A peer that comes and goes with other prefixes each time does not fill the memory.
func TestMemoryIsBounded(t *testing.T) {
	m := newMemory(&touched{})
	for i := range 1000 {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{11, 0, byte(i >> 8), byte(i)}), 32)
		m.learn(p, "b", 10, func(q netip.Prefix) bool { return q == p })
		m.sweep(time.Now(), func(netip.Prefix) bool { return false }, nil)
	}
	if len(m.prefixes) > 10 || m.of["b"] != len(m.prefixes) {
		t.Errorf("%d prefixes of a peer with at most 10", len(m.prefixes))
	}
}
