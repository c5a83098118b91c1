package auto

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"warren/tunnel"
)

// The tunnel is up while one of the two is: it comes up and goes down once, whatever they do meanwhile.
func TestEventsOfTheTunnel(t *testing.T) {
	l := start(t, nil)
	l.tlsUp(true)
	l.until("it is up", func() bool { return len(l.events) == 1 && l.events[0].Up })
	l.carriedBy(TLS)
	l.wgUp()
	l.carriedBy(WireGuard)
	l.down(WireGuard, "silence")
	l.carriedBy(TLS)
	if s := l.Status(); s.Transport != "auto" || s.State != tunnel.StateUp || s.Ways[TLS].Why != "WireGuard is down: silence" {
		t.Errorf("%+v", s)
	}
	l.wgUp()
	l.down(TLS, "reset")
	l.carriedBy(WireGuard)
	l.down(WireGuard, "silence")
	l.until("it is down", func() bool { return len(l.events) == 2 && !l.events[1].Up })
	if got := l.events[1].Reason; got != "wireguard: silence" {
		t.Errorf("reason %q", got)
	}
	want := []string{"wireguard: " + preferred, "tls: WireGuard is down: silence", "wireguard: TLS is down: reset"}
	if !slices.Equal(l.moves, want) {
		t.Errorf("moves %q", l.moves)
	}
	if s := l.Status(); s.State != tunnel.StateConnecting || s.Ways[WireGuard].Carries {
		t.Errorf("%+v", s)
	}
	l.wgUp()
	l.until("it is up again", func() bool { return len(l.events) == 3 })
	l.end()
	if want := []bool{true, false, true}; !slices.Equal(l.dev.carrier[:3], want) {
		t.Errorf("carrier %v", l.dev.carrier)
	}
	select {
	case <-l.dev.closed:
	default:
		t.Error("the interface is not closed")
	}
}

// Both ends name one another alike, whichever transport comes up first at which end.
func TestNames(t *testing.T) {
	type names [2]tunnel.Identity
	over := names{wgLocal, wgPeer}
	for _, c := range []struct {
		name string
		do   func(*tester)
		want names
	}{
		{"TLS first, the peer has both", func(l *tester) { l.tlsUp(true) }, over},
		{"WireGuard first", func(l *tester) { l.wgUp() }, over},
		{"the peer has TLS alone", func(l *tester) { l.tlsUp(false) }, names{tlsLocal, tlsPeer}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := start(t, nil)
			c.do(l)
			l.until("it is up", func() bool { return len(l.events) == 1 })
			if ev := l.events[0]; (names{ev.Local, ev.Peer}) != c.want {
				t.Errorf("event %+v", ev)
			}
			if s := l.Status(); (names{s.Local, s.Peer}) != c.want {
				t.Errorf("status %+v", s)
			}
			l.end()
		})
	}
}

// The peer is told over TLS what came over WireGuard, at once when that changes and now and then, and the round trip is measured.
func TestReports(t *testing.T) {
	l := start(t, nil)
	l.wg.received = tunnel.Received{Sent: 10, Got: 9}
	l.tlsUp(true)
	has := func(r tunnel.Received, n int) func() bool {
		return func() bool {
			times := 0
			l.tls.locked(func() {
				for _, t := range l.tls.told {
					if t == r {
						times++
					}
				}
			})
			return times >= n
		}
	}
	l.until("told that it is not up", has(tunnel.Received{Sent: 10, Got: 9}, 1))
	up := tunnel.Received{Up: true, Sent: 20, Got: 19}
	l.wg.locked(func() { l.wg.received = up })
	l.wgUp()
	l.until("told that it is up", has(up, 1))
	l.until("told again", has(up, 2))
	l.until("measured", func() (ok bool) { l.wg.locked(func() { ok = l.wg.measured >= 2 }); return ok })
	l.end()
}

// A direction that is dead: the peer says that it hears nothing. All of that is told before Run, which takes it in its order: later WireGuard
// might be silent first, on a machine that is busy for some seconds.
func TestPeerSaysThatItHearsNothing(t *testing.T) {
	l := startWith(t, nil, func(l *tester) {
		l.tlsUp(true)
		l.wgUp()
		l.Heard(tunnel.Received{Up: false, Sent: 100, Got: 100})
	})
	l.carriedBy(TLS)
	l.until("moved", func() bool {
		return len(l.moves) == 2 && strings.Contains(l.moves[1], "the peer receives nothing over WireGuard")
	})
	l.end()
}

// A daemon that goes on with both transports goes on with the one that carried, whichever says first that it is up.
func TestResumes(t *testing.T) {
	for _, carries := range []Transport{TLS, WireGuard} {
		for _, first := range []Transport{TLS, WireGuard} {
			l := startWith(t, &Handover{Carries: carries, Why: "as before", Pause: time.Hour, Well: 2 * time.Hour}, func(l *tester) {
				if first == TLS {
					l.tlsUp(true)
					l.wgUp()
				} else {
					l.wgUp()
					l.tlsUp(true)
				}
			})
			l.until("up", func() bool { return len(l.events) == 1 && l.Status().Ways[carries].Carries })
			l.end()
			if len(l.moves) > 0 || l.shared.turn.Load().of != carries || l.HandOver().Pause != time.Hour {
				t.Errorf("%v carried, %v came first: moves %v, %+v", carries, first, l.moves, l.HandOver())
			}
		}
	}
}

// Of several round trips the shortest counts.
func TestShortestTrip(t *testing.T) {
	l := New(Config{Name: "b", Device: newFakeDevice(1)})
	wg := &fakeTransport{}
	l.Join(wg, wg)
	for i, ms := range []time.Duration{200, 50, 3, 70, 90, 100, 100, 100, 100, 100} {
		wg.trip = ms * time.Millisecond
		l.measure()
		want := map[int]time.Duration{4: 3, 6: 3, 9: 100}
		if w, ok := want[i]; ok && l.trip() != w*time.Millisecond || i < 4 && l.trip() != 0 {
			t.Errorf("after %d: %v", i, l.trip())
		}
	}
}

// Both are up, but nothing comes by one of them, while something does by the other.
func TestSilence(t *testing.T) {
	l := start(t, nil)
	l.tlsUp(true)
	l.wgUp()
	l.carriedBy(WireGuard)
	n := uint64(0)
	l.until("WireGuard is left", func() bool { // only reports come
		l.Heard(tunnel.Received{Up: true})
		return slices.Contains(l.moves, "tls: nothing comes over WireGuard")
	})
	l.until("TLS is left", func() bool { // only packets come
		n++
		l.wg.locked(func() { l.wg.received.Got = n })
		return slices.Contains(l.moves, "wireguard: nothing comes over TLS")
	})
	l.carriedBy(WireGuard)
	l.end()
}

// A transport that comes up long after the other does not make that seem silent: nothing was awaited by it until then.
func TestLateIsNotSilent(t *testing.T) {
	l := New(Config{Name: "b", Device: newFakeDevice(1)})
	tls, wg := &fakeTransport{}, &fakeTransport{}
	l.Join(tls, wg)
	now := time.Now()
	l.happened(now, TLS, tunnel.Event{Up: true, Beside: true})
	now = now.Add(time.Hour)
	l.happened(now, WireGuard, tunnel.Event{Up: true})
	if silent := l.silent(now); silent != [2]bool{} {
		t.Errorf("silent: %v", silent)
	}
	if silent := l.silent(now.Add(silentTicks * l.tick)); silent != [2]bool{true, true} {
		t.Errorf("silent: %v", silent)
	}
}

// However many reports come at once, the last is kept.
func TestReportsAreNotHoarded(t *testing.T) {
	l := New(Config{Name: "b", Device: newFakeDevice(1)})
	l.Event(TLS)(tunnel.Event{Up: true})
	for n := range uint64(1000) {
		l.Heard(tunnel.Received{Sent: n})
	}
	l.Event(WireGuard)(tunnel.Event{Up: true})
	l.Heard(tunnel.Received{Sent: 1})
	news := l.take()
	if len(news) != 4 || news[1] != (heard{tunnel.Received{Sent: 999}}) {
		t.Errorf("%+v", news)
	}
}

// What is sent to try WireGuard is sent before it carries again.
func TestTries(t *testing.T) {
	l := startWith(t, &Handover{Carries: TLS, Why: "lossy", Pause: firstPause}, func(l *tester) {
		l.tlsUp(true)
		l.wgUp()
	})
	l.carriedBy(TLS)
	if s := l.Status(); s.Ways[TLS].Why != "lossy" {
		t.Errorf("%+v", s.Ways[TLS])
	}
	n := uint64(1000)
	answer := func() { // the peer answers, and reports that all came
		n += 5
		l.wg.locked(func() { l.wg.received.Got = n })
		l.Heard(tunnel.Received{Up: true, Sent: n, Got: n})
	}
	l.until("tries", func() (ok bool) {
		answer()
		l.wg.locked(func() { ok = l.wg.keepalives > 20 })
		return ok
	})
	if h := l.HandOver(); h.Carries != TLS || h.Pause != firstPause {
		t.Errorf("%+v", h)
	}
	l.until("WireGuard carries", func() bool { answer(); return l.shared.turn.Load().of == WireGuard })
	l.end()
}

// What the peer assigns it says over TLS with the event, and over WireGuard when it is asked; silence there takes
// nothing back.
func TestAssigned(t *testing.T) {
	l := start(t, nil)
	mine := []netip.Addr{netip.MustParseAddr("10.0.0.5")}
	l.Event(TLS)(tunnel.Event{Up: true, Time: time.Now(), Beside: true, Assigned: mine})
	l.until("offered", func() bool { return len(l.offered) == 1 && slices.Equal(l.offered[0], mine) })
	l.wgUp()
	l.Offered(nil)
	l.Offered(mine)
	l.until("offered again", func() bool { return len(l.offered) == 2 && slices.Equal(l.offered[1], mine) })
	l.end()
}

// With the interface one transport ends, and so does the tunnel.
func TestDeviceFails(t *testing.T) {
	l := start(t, nil)
	l.tlsUp(true)
	l.carriedBy(TLS)
	gone := errors.New("gone")
	l.tls.failed <- gone
	if err := <-l.ended; !errors.Is(err, gone) {
		t.Errorf("ended with %v", err)
	}
	l.Wake()
	if !l.wg.woken || !l.tls.woken || l.Status().State != tunnel.StateDown {
		t.Errorf("%+v", l.Status())
	}
}

func TestHints(t *testing.T) {
	long := time.Now().Add(-time.Hour)
	both := [2]tunnel.Status{{State: tunnel.StateUp, Since: long, Hint: "of TLS"}, {State: tunnel.StateUp, Since: long, Hint: "of WireGuard"}}
	noUDP, noTCP := both, both
	noUDP[WireGuard] = tunnel.Status{Since: long, LastError: "no answer"}
	noTCP[TLS] = tunnel.Status{Since: long, LastError: "refused"}
	fresh := noUDP
	fresh[WireGuard].Since = time.Now()
	for _, c := range []struct {
		d    decided
		ways [2]tunnel.Status
		want string
	}{
		{decided{chosen: chosen{carries: WireGuard}, ups: [2]bool{true, true}, beside: true}, both, "of WireGuard"},
		{decided{chosen: chosen{carries: TLS, why: "it loses"}, ups: [2]bool{true, true}, beside: true}, both, "of TLS; the tunnel is carried by TLS: it loses"},
		{decided{ups: [2]bool{TLS: true}, beside: true}, noUDP, "nothing comes over UDP: the tunnel is carried by TLS"},
		{decided{ups: [2]bool{TLS: true}, beside: true}, noUDP, "(no answer)"},
		{decided{ups: [2]bool{TLS: true}}, noUDP, "over TLS only"},
		{decided{ups: [2]bool{TLS: true}}, fresh, "of TLS"},
		{decided{chosen: chosen{carries: WireGuard}, ups: [2]bool{WireGuard: true}}, noTCP, "no connection over TLS that could take over if UDP is dropped (refused)"},
	} {
		c.d.since, c.d.chosen.since, c.d.isUp = long, long, true
		if got := c.d.hint(c.ways, time.Now()); !strings.Contains(got, c.want) || strings.HasPrefix(c.want, "of ") && got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

// While UDP does not pass and several secrets are known the ends are called by that of TLS, as WireGuard alone would have each end
// take its own first one. WireGuard's session has the last word.
func TestNamesWhileUDPIsBlocked(t *testing.T) {
	old, oldPeer := tunnel.Identity{5}, tunnel.Identity{6}
	l := startWith(t, nil, func(l *tester) {
		l.wg.named = map[string][2]tunnel.Identity{"old.secret": {old, oldPeer}, "new.secret": {wgLocal, wgPeer}}
	})
	key := func(name string) { l.tls.locked(func() { l.tls.status.Key = name }) }
	is := func(what string, local, peer tunnel.Identity) {
		t.Helper()
		if s := l.Status(); s.Local != local || s.Peer != peer {
			t.Errorf("%s: the ends are %v and %v", what, s.Local[0], s.Peer[0])
		}
	}
	key("old.secret")
	l.tlsUp(true)
	l.until("it is up", func() bool { return len(l.events) == 1 })
	if ev := l.events[0]; ev.Local != old || ev.Peer != oldPeer {
		t.Errorf("it came up between %v and %v", ev.Local[0], ev.Peer[0])
	}
	is("the second secret of this end", old, oldPeer)
	key("new.secret")
	is("the first", wgLocal, wgPeer)
	key("one that was removed")
	is("one that is not known over WireGuard", wgLocal, wgPeer)
	key("old.secret")
	l.wgUp()
	l.carriedBy(WireGuard)
	is("WireGuard's session", wgLocal, wgPeer)
	l.end()
}
