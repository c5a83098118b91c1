package agent

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"warren/internal/config"
	"warren/internal/history"
)

// later has the clock go on and the loop look.
func (w *world) later(d time.Duration) {
	w.ahead += d
	w.retry()
	w.turn()
}

// hintOf returns the hint about confirmation.
func (w *world) hintOf() string { return w.confirmHint(w.now()) }

func (w *world) lastEvent() history.Event {
	events, _, _ := w.history.Select(history.Query{Last: 1})
	return events[0]
}

// tries reloads next, to be confirmed within a minute.
func (w *world) tries(t *testing.T, next *config.Config) reloaded {
	t.Helper()
	w.load = func() (*config.Config, error) { return next, nil }
	r, err := w.reloadFor(7, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	w.turn()
	return r
}

// What is not confirmed is taken back, with what the old config was loaded with, whatever the files say by
// then; what is confirmed stays.
func TestReloadThatIsNotConfirmed(t *testing.T) {
	before := router(secretPeer("b", 0, "old"))
	w := newWorld(t, before)
	w.up(t, "b")
	next := router(secretPeer("b", 0, "new"), peerConfig("c", 1))
	next.Peers[0].Tunnels[0].MTU = 9000
	r := w.tries(t, next)
	if w.cfg != next || r.goesBack.IsZero() || w.lastEvent().Cause != "to be confirmed within 1m0s" || !strings.Contains(w.hintOf(), "waits to be confirmed: in ") {
		t.Errorf("%+v, %+v, %q", r, w.lastEvent(), w.hintOf())
	}
	w.later(59 * time.Second)
	if w.cfg != next {
		t.Error("it went back before the time was over")
	}
	w.load = func() (*config.Config, error) { return nil, errors.New("the files are not looked at") }
	w.later(2 * time.Second)
	if w.cfg != before || w.attachment("c") != nil {
		t.Fatal("it did not go back")
	}
	if a := w.attachment("b"); a.cfg.MTU != before.Peers[0].Tunnels[0].MTU || a.cfg.Trust.Secrets[0].File != "/etc/warren/old" || a.phase != phaseOpen {
		t.Errorf("%+v", a.cfg)
	}
	e := w.lastEvent()
	if e.Kind != history.Reload || e.By != "warren itself" || e.UID != nil || !strings.HasPrefix(e.Cause, "went back by itself, as no `warren confirm` came within 1m0s") || len(e.Changes) != 2 {
		t.Errorf("%+v", e)
	}
	if !strings.Contains(w.hintOf(), "the files differ from what this router uses") {
		t.Errorf("hint %q", w.hintOf())
	}
	if _, err := w.confirm(7); err == nil || !strings.Contains(err.Error(), "it is too late") {
		t.Errorf("error %v", err)
	}
	w.later(time.Hour)
	w.tries(t, next)
	if strings.Contains(w.hintOf(), "differ") {
		t.Errorf("hint %q", w.hintOf())
	}
	if lines, err := w.confirm(8); err != nil || len(lines) != 1 {
		t.Errorf("%v, %v", lines, err)
	}
	if e := w.lastEvent(); !strings.Contains(e.Cause, "by uid 7 is confirmed") || *e.UID != 8 {
		t.Errorf("%+v", e)
	}
	w.later(time.Hour)
	if w.cfg != next || w.hintOf() != "" {
		t.Errorf("it went back all the same; hint %q", w.hintOf())
	}
	if _, err := w.confirm(7); err == nil || err.Error() != "no reload waits to be confirmed" {
		t.Errorf("error %v", err)
	}
}

// While a reload waits, another one is refused, unless it is to be confirmed too: then the time begins again,
// and what is gone back to is what was known to work.
func TestReloadWhileOneIsNotConfirmed(t *testing.T) {
	before := router(peerConfig("b", 0))
	w := newWorld(t, before)
	w.tries(t, router(peerConfig("b", 0), peerConfig("c", 1)))
	first := w.cfg
	w.load = func() (*config.Config, error) { return router(), nil }
	_, err := w.reloadFor(bySignal, 0)
	if err == nil || !strings.Contains(err.Error(), "waits to be confirmed until ") || !strings.Contains(err.Error(), "by uid 7") || w.cfg != first {
		t.Errorf("error %v", err)
	}
	w.later(50 * time.Second)
	w.tries(t, router(peerConfig("b", 0), peerConfig("d", 2)))
	w.later(50 * time.Second)
	if w.unconfirmed == nil || w.attachment("d") == nil {
		t.Fatal("the time did not begin again")
	}
	w.later(11 * time.Second)
	if w.cfg != before {
		t.Error("it did not go back to what was there before the first")
	}

	// A mistake in the files changes nothing about what waits; the files as they were before end it.
	w.tries(t, first)
	w.load = func() (*config.Config, error) { return nil, errors.New("no") }
	if _, err := w.reloadFor(7, time.Minute); err == nil || w.unconfirmed == nil {
		t.Errorf("error %v", err)
	}
	if r := w.tries(t, router(peerConfig("b", 0))); !r.goesBack.IsZero() || len(r.lines) != 1 || w.unconfirmed != nil {
		t.Errorf("%+v", r)
	}
	// Nothing to change is nothing to confirm. The time in which the machine sleeps counts.
	if r := w.tries(t, router(peerConfig("b", 0))); !r.goesBack.IsZero() || len(r.lines) != 0 {
		t.Errorf("%+v", r)
	}
	now := w.cfg
	w.tries(t, first)
	w.wake(time.Hour)
	w.turn()
	w.later(0)
	if w.cfg != now {
		t.Error("it did not go back after a sleep")
	}
}

// What waits to be confirmed can be taken back at once, whatever the files say; nothing else can.
func TestReloadIsTakenBack(t *testing.T) {
	before := router(secretPeer("b", 0, "old"))
	w := newWorld(t, before)
	w.up(t, "b")
	if _, err := w.undo(7); err == nil || !strings.Contains(err.Error(), "no reload waits to be confirmed") {
		t.Errorf("error %v", err)
	}
	w.load = func() (*config.Config, error) { return router(secretPeer("b", 0, "new")), nil }
	if _, err := w.reloadFor(7, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := w.undo(7); err == nil || !strings.Contains(err.Error(), "only such a one can be taken back") {
		t.Errorf("a reload that was not to be confirmed: error %v", err)
	}
	kept := w.cfg
	// Of two, what was there before the first.
	w.tries(t, router(secretPeer("b", 0, "new"), peerConfig("c", 1)))
	w.tries(t, router(secretPeer("b", 0, "new"), peerConfig("c", 1), peerConfig("d", 2)))
	if !strings.Contains(w.hintOf(), "`warren reload --undo`") {
		t.Errorf("hint %q", w.hintOf())
	}
	w.load = func() (*config.Config, error) { return nil, errors.New("the files are not looked at") }
	lines, err := w.undo(8)
	w.turn()
	if err != nil || len(lines) != 3 || !strings.HasPrefix(lines[2], "taken back: ") || w.cfg != kept || w.attachment("c") != nil || w.attachment("d") != nil {
		t.Fatalf("%q, %v", lines, err)
	}
	if e := w.lastEvent(); e.Kind != history.Reload || *e.UID != 8 || len(e.Changes) != 2 || !strings.Contains(e.Cause, "by uid 7 is taken back") {
		t.Errorf("%+v", e)
	}
	if hint := w.hintOf(); !strings.Contains(hint, "the files differ from what this router uses") || !strings.Contains(hint, "was taken back by uid 8") {
		t.Errorf("hint %q", hint)
	}
	if _, err := w.undo(7); err == nil || !strings.Contains(err.Error(), "it is taken back already") || !strings.Contains(err.Error(), "by uid 8") {
		t.Errorf("error %v", err)
	}
	if _, err := w.confirm(7); err == nil || !strings.Contains(err.Error(), "it is too late") {
		t.Errorf("error %v", err)
	}
	mark := len(w.diary)
	w.later(time.Hour)
	if w.cfg != kept || len(w.since(mark)) > 0 {
		t.Errorf("it went back once more: %v", w.since(mark))
	}
}

// A port that cannot be had any more is no reason not to go back: it is a condition, and tried again.
func TestGoingBackToAPortThatIsTaken(t *testing.T) {
	before, next := router(peerConfig("b", 0)), router(peerConfig("b", 0), peerConfig("c", 1))
	before.TLS.Listen, next.TLS.Listen = []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:443")}, []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:8443")}
	before.WireGuard.ListenPort = 51820
	before.WireGuard.PrivateKey, next.WireGuard.PrivateKey = make(config.Secret, config.KeySize), make(config.Secret, config.KeySize)
	next.WireGuard.PrivateKey[0] = 1
	w := newWorld(t, before)
	w.tries(t, next)
	w.listenErr, w.portErr, w.keyErr = errors.New("taken"), errors.New("taken"), errors.New("it is a peer's")
	w.later(time.Minute)
	if w.cfg != before || w.attachment("c") != nil {
		t.Fatal("it did not go back")
	}
	expect(t, "lines", w.lastEvent().Changes, []string{
		"not yet, and tried again: tls: listening on 192.0.2.1:443: taken",
		"not yet, and tried again: wireguard: on port 51820: taken",
		"not yet, and tried again: wireguard: another private key, for handshakes from now on: it is a peer's",
		"peer c: removed",
	})
	wrong := w.wrong()
	slices.Sort(wrong)
	expect(t, "conditions", wrong, []string{"listen_tls", "listen_wireguard"})
	w.listenErr, w.portErr, w.keyErr = nil, nil, nil
	mark := len(w.diary)
	w.again()
	expect(t, "conditions", w.wrong(), nil)
	if did := w.since(mark); !slices.Contains(did, "listen [192.0.2.1:443]") || !slices.Contains(did, "port 51820") || !slices.Contains(did, "private key 0") || len(w.undone) > 0 {
		t.Errorf("noted %v", did)
	}
	if n := w.m.neighbors(); len(n.neighbors)+len(n.absent) != 1 {
		t.Errorf("%+v", n)
	}
}

// What cannot be taken back yet is not forgotten when another reload is taken back that has nothing to do with it.
func TestGoingBackTwice(t *testing.T) {
	before, next := router(peerConfig("b", 0)), router(peerConfig("b", 0))
	before.WireGuard.PrivateKey, next.WireGuard.PrivateKey = make(config.Secret, config.KeySize), make(config.Secret, config.KeySize)
	next.WireGuard.PrivateKey[0] = 1
	w := newWorld(t, before)
	w.tries(t, next)
	w.keyErr = errors.New("it is a peer's")
	w.later(time.Minute)
	other := *before
	other.Peers = append(slices.Clone(before.Peers), peerConfig("c", 1))
	w.tries(t, &other)
	w.later(time.Minute)
	if w.cfg != before || w.attachment("c") != nil {
		t.Fatal("it did not go back")
	}
	w.keyErr = nil
	mark := len(w.diary)
	w.again()
	if did := w.since(mark); !slices.Contains(did, "private key 0") || len(w.undone) > 0 {
		t.Errorf("noted %v", did)
	}
}

// No restart takes what was taken back, or what waits to be confirmed, as the next program knows of the files alone.
func TestRestartWhileTheFilesDiffer(t *testing.T) {
	before, bad := router(peerConfig("b", 0)), router(peerConfig("b", 0), peerConfig("c", 1))
	w := newWorld(t, before)
	refused := func(when, want string) {
		t.Helper()
		_, err := (&Agent{}).replace(w.loop, nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v", when, err)
		}
	}
	allowed := func(when string) {
		t.Helper()
		if err := w.mayRestart(); err != nil {
			t.Errorf("%s: %v", when, err)
		}
	}
	allowed("at first")
	w.tries(t, bad)
	refused("waiting", "waits to be confirmed until ")
	if _, err := w.undo(7); err != nil {
		t.Fatal(err)
	}
	w.turn()
	refused("taken back", "the files differ from what this router uses since it went back at ")
	w.load = func() (*config.Config, error) { return nil, errors.New("a mistake") }
	refused("with a mistake in the files", "put them back, or have `warren reload` take what they say, and restart then")
	other := router(peerConfig("b", 0))
	other.ASN++
	w.load = func() (*config.Config, error) { return other, nil }
	refused("with what a reload refuses", "the files differ")
	w.load = func() (*config.Config, error) { return router(peerConfig("b", 0)), nil }
	allowed("with the files as they were")
	w.load = func() (*config.Config, error) { return bad, nil }
	refused("with the bad files again", "the files differ")
	w.tries(t, bad)
	w.later(2 * time.Minute)
	refused("not confirmed", "the files differ")
	if _, err := w.reloadFor(7, 0); err != nil {
		t.Fatal(err)
	}
	allowed("after a reload")
}

// isOpened reports whether a peer's tunnel was opened since mark.
func (w *world) isOpened(peer string, mark int) bool {
	return slices.ContainsFunc(w.since(mark), func(line string) bool { return strings.HasPrefix(line, "open "+peer+" ") })
}

// A peer that a reload removes, and that comes back as the reload is taken back, is down or drained as before. When the reload is confirmed that is
// forgotten.
func TestOrdersWhenAReloadIsTakenBack(t *testing.T) {
	all := func() *config.Config { return router(peerConfig("b", 0), peerConfig("c", 1), peerConfig("d", 2)) }
	without := func() *config.Config { return router(peerConfig("d", 2)) }
	ordered := func() (*world, int) {
		w := newWorld(t, all())
		w.load = func() (*config.Config, error) { return nil, errors.New("a mistake") }
		if _, err := w.reloadFor(7, time.Minute); err == nil || w.unconfirmed != nil {
			t.Fatalf("a reload that fails waits to be confirmed: %v", err)
		}
		w.orders(t, "down", "b")
		w.orders(t, "drain", "c")
		return w, len(w.diary)
	}
	check := func(when string, w *world, mark int) {
		t.Helper()
		w.up(t, "c")
		if w.isOpened("b", mark) || !slices.Equal(drainedNeighbors(w), []string{"c"}) {
			t.Errorf("%s: %q, drained are %q", when, w.since(mark), drainedNeighbors(w))
		}
		w.orders(t, "up", "b")
		if !w.isOpened("b", mark) {
			t.Errorf("%s: b cannot be taken up: %q", when, w.since(mark))
		}
	}

	w, mark := ordered()
	w.tries(t, without())
	_, lines := w.orders(t, "undrain", "")
	expect(t, "what is drained still", lines, []string{"the whole router: it is not drained"})
	if _, err := w.undo(7); err != nil {
		t.Fatal(err)
	}
	w.turn()
	check("taken back", w, mark)

	w, mark = ordered()
	w.tries(t, without())
	w.later(2 * time.Minute)
	check("not confirmed", w, mark)

	w, mark = ordered()
	w.tries(t, without())
	w.tries(t, router(peerConfig("b", 0), peerConfig("d", 2)))
	w.tries(t, all())
	if w.unconfirmed != nil {
		t.Error("nothing is another than it was, and it waits to be confirmed")
	}
	check("mended", w, mark)

	w, mark = ordered()
	w.tries(t, without())
	if _, err := w.confirm(7); err != nil {
		t.Fatal(err)
	}
	w.reloads(t, all())
	w.up(t, "c")
	if !w.isOpened("b", mark) || len(drainedNeighbors(w)) > 0 {
		t.Errorf("confirmed, and others of the names: %q, drained are %q", w.since(mark), drainedNeighbors(w))
	}
}

// So it is with a peer that a CA vouches for, which a reload of [accept] let go of.
func TestOrdersForAcceptedPeersWhenAReloadIsTakenBack(t *testing.T) {
	const name = "s1.spokes.example"
	dir, load := acceptor(t)
	before := load()
	rewrite(t, dir, `"*.spokes.example"`, `"*.other.example"`)
	next := load()
	for what, back := range map[string]func(*world){
		"taken back": func(w *world) {
			if _, err := w.undo(7); err != nil {
				t.Fatal(err)
			}
			w.turn()
		},
		"not confirmed": func(w *world) { w.later(2 * time.Minute) },
		"mended":        func(w *world) { w.tries(t, before) },
	} {
		w := newWorld(t, before)
		if err := w.connects(t, name); err != nil {
			t.Fatal(err)
		}
		w.orders(t, "down", name)
		mark := len(w.diary)
		w.tries(t, next)
		if w.attachment(name) != nil {
			t.Fatalf("%s: it is accepted still", what)
		}
		back(w)
		if err := w.connects(t, name); err == nil || !strings.Contains(err.Error(), "has taken it down") || w.isOpened(name, mark) {
			t.Errorf("%s: %v, %q", what, err, w.since(mark))
		}
		w.orders(t, "up", name)
		if !w.isOpened(name, mark) {
			t.Errorf("%s: it cannot be taken up: %q", what, w.since(mark))
		}
	}
}
