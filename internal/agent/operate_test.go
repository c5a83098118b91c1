package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"warren/bgp"
	"warren/internal/config"
	"warren/internal/link"
	"warren/internal/status"
	"warren/tunnel"
)

// orders has an operator ask for something, and returns what was noted and said.
func (w *world) orders(t *testing.T, do, peer string, change ...func(*status.Order)) (noted, lines []string) {
	t.Helper()
	o := status.Order{Do: do, Peer: peer}
	for _, c := range change {
		c(&o)
	}
	mark := len(w.diary)
	lines, err := w.order(o, 7)
	if err != nil {
		t.Fatal(err)
	}
	w.turn()
	return w.since(mark), lines
}

func lasts(d time.Duration) func(*status.Order) { return func(o *status.Order) { o.For = d } }

func saying(text string) func(*status.Order) { return func(o *status.Order) { o.Message = text } }

// drainedNeighbors are those that the speaker is to drain.
func drainedNeighbors(w *world) (names []string) {
	for _, name := range sortedKeys(w.speaker.neighbors) {
		if w.speaker.neighbors[name].Drained {
			names = append(names, name)
		}
	}
	return names
}

// A drain is about all tunnels of a peer, or all peers. It outlasts a reload and a tunnel, and ends when its time is over.
func TestDrain(t *testing.T) {
	w := twoTunnels(t, func(*config.Peer) {})
	now := happenings(w)
	for _, name := range []string{"b", "b/1", "c"} {
		w.up(t, name)
	}
	now()
	_, lines := w.orders(t, "drain", "b", lasts(time.Hour))
	expect(t, "lines", lines, []string{"peer b: drained for 1h0m0s"})
	expect(t, "drained", drainedNeighbors(w), []string{"b", "b/1"})
	expect(t, "history", now(), []string{"drain b"})
	p, _ := w.status().Peer("b")
	if d := p.Drained; d == nil || d.By != "uid 7" || d.Router || d.Until.Sub(d.Since.Time) != time.Hour {
		t.Errorf("status: %+v", p.Drained)
	}
	if c, _ := w.status().Peer("c"); c.Drained != nil || c.Out() || w.status().Router.Drained != nil {
		t.Error("c is drained too")
	}
	w.reloads(t, w.cfg)
	w.down(t, "b")
	w.up(t, "b")
	expect(t, "after a reload, and with another session", drainedNeighbors(w), []string{"b", "b/1"})
	_, lines = w.orders(t, "undrain", "")
	expect(t, "the router is not drained", lines, []string{"the whole router: it is not drained", "peer b: drained by itself; `warren undrain b` ends that"})

	_, lines = w.orders(t, "drain", "")
	expect(t, "lines", lines, []string{"the whole router: drained"})
	expect(t, "all", drainedNeighbors(w), []string{"b", "b/1", "c"})
	if c, _ := w.status().Peer("c"); c.Drained == nil || !c.Drained.Router || w.status().Router.Drained == nil {
		t.Errorf("status: %+v", c.Drained)
	}
	_, lines = w.orders(t, "undrain", "c")
	expect(t, "c is not drained by itself", lines, []string{"peer c: it is not drained by itself; `warren undrain` ends the drain of the whole router"})
	w.orders(t, "undrain", "")
	expect(t, "not all any more", drainedNeighbors(w), []string{"b", "b/1"})
	now()
	w.ahead += time.Hour - time.Second
	w.retry()
	expect(t, "until then", drainedNeighbors(w), []string{"b", "b/1"})
	w.ahead += time.Second
	w.retry()
	expect(t, "its time is over", drainedNeighbors(w), nil)
	expect(t, "history", now(), []string{"undrain b: its time is over"})

	w.orders(t, "drain", "c")
	w.reloads(t, router(peerConfig("b", 0)))
	w.reloads(t, router(peerConfig("b", 0), peerConfig("c", 1)))
	w.up(t, "c")
	expect(t, "another peer of the name is not drained", drainedNeighbors(w), nil)
	if _, err := w.order(status.Order{Do: "drain", Peer: "nobody"}, 0); !errors.Is(err, status.ErrNoPeer) {
		t.Errorf("a peer that there is not: %v", err)
	}
}

// A peer is taken down: first its routes go, then its session with words for its operator, then its tunnel. It stays so
// over a reload, whatever is tried again, until it is taken up.
func TestDownAndUp(t *testing.T) {
	w := newWorld(t, router(peerConfig("b", 0), peerConfig("c", 1)))
	w.up(t, "b")
	w.up(t, "c")
	w.learns(t, "10.2.0.0/16", "b")
	w.play(spoken{bgp.Event{Kind: bgp.SessionUp, Time: time.Now(), Neighbor: "b"}})
	now := happenings(w)
	now()
	noted, lines := w.orders(t, "down", "b", saying("new fiber"))
	expect(t, "lines", lines, []string{"peer b: taken down"})
	expect(t, "noted", noted, []string{"routes []", "delete neighbor b", "sessions have ended", "close b", "guard [if-b if-c]"})
	if is := w.speaker.farewells["b"]; is != (bgp.Farewell{Text: "new fiber"}) {
		t.Errorf("b is told %+v", is)
	}
	w.play(spoken{bgp.Event{Kind: bgp.SessionDown, Time: time.Now(), Neighbor: "b", Lasted: time.Minute}})
	const cause = "an operator took the peer down (uid 7): new fiber"
	expect(t, "history", now(), []string{"down b: new fiber", "tunnel_down b/0: " + cause, "session_down b/0: the tunnel is down: " + cause})
	s := w.status()
	p, _ := s.Peer("b")
	if p.Down == nil || p.Down.By != "uid 7" || p.Tunnel.State != "down" || p.Tunnel.LastError != "taken down by uid 7" || p.Tunnel.LastReset.Cause != cause {
		t.Errorf("status: %+v, %+v", p.Down, p.Tunnel)
	}
	expect(t, "nothing is wrong", status.Down(s, ""), nil)

	mark := len(w.diary)
	w.again()
	w.play(woke{time.Hour})
	w.turn()
	w.reloads(t, w.cfg)
	changed := peerConfig("b", 0)
	changed.Tunnels[0].MTU = 1400
	w.reloads(t, router(changed, peerConfig("c", 1)))
	if i := slices.IndexFunc(w.since(mark), func(s string) bool { return strings.HasPrefix(s, "open b") }); i >= 0 {
		t.Errorf("it is opened again: %v", w.since(mark))
	}
	_, lines = w.orders(t, "down", "b")
	expect(t, "again", lines, []string{"peer b: it is down already"})
	_, lines = w.orders(t, "reset", "b")
	expect(t, "reset", lines, []string{"peer b: it is taken down; `warren up b` takes it up"})
	now()
	noted, lines = w.orders(t, "up", "b")
	expect(t, "lines", lines, []string{"peer b: taken up"})
	expect(t, "noted", noted, []string{"open b on if-b"})
	expect(t, "history", now(), []string{"up b"})
	w.up(t, "b")
	w.play(spoken{bgp.Event{Kind: bgp.SessionUp, Time: time.Now(), Neighbor: "b"}})
	w.reloads(t, w.cfg)
	if len(w.speaker.farewells) != 0 {
		t.Errorf("there are farewells still: %v", w.speaker.farewells)
	}
	_, lines = w.orders(t, "up", "b")
	expect(t, "up already", lines, []string{"peer b: it is not taken down"})
}

// A reset closes and opens all of a peer's tunnels, and its counters say who asked for it.
func TestReset(t *testing.T) {
	w := twoTunnels(t, func(*config.Peer) {})
	for _, name := range []string{"b", "b/1", "c"} {
		w.up(t, name)
	}
	now := happenings(w)
	now()
	noted, lines := w.orders(t, "reset", "b")
	expect(t, "lines", lines, []string{"peer b: reset"})
	expect(t, "noted", noted, []string{
		"delete neighbor b", "delete neighbor b/1", "sessions have ended", "close b", "sessions have ended", "close b/1",
		"guard [if-b if-b1 if-c]", "open b on if-b", "open b/1 on if-b1",
	})
	if is := w.speaker.farewells["b/1"]; !is.Reset || is.Text != "reset by an operator" {
		t.Errorf("b/1 is told %+v", is)
	}
	expect(t, "history", now()[:2], []string{"reset b", "tunnel_down b/0: an operator reset the peer (uid 7)"})
	if p, _ := w.status().Peer("b"); p.Tunnels[1].Flaps != 1 || p.Tunnels[1].LastReset.Cause != "an operator reset the peer (uid 7)" {
		t.Errorf("%+v", p.Tunnels[1])
	}
}

// A peer on a network has a session alone, which is reset, ended, and begun again.
func TestOrdersForAPeerOnANetwork(t *testing.T) {
	w := newWorldWith(t, router(lanPeer("n", "192.0.2.9")), func(w *world) { w.locals.has("eth0 192.0.2.1/24") })
	generation := w.speaker.neighbors["n"].Generation
	w.orders(t, "drain", "n")
	expect(t, "drained", drainedNeighbors(w), []string{"n"})
	w.orders(t, "reset", "n")
	if w.speaker.neighbors["n"].Generation == generation || !w.speaker.farewells["n"].Reset {
		t.Error("the session goes on")
	}
	w.orders(t, "down", "n")
	w.locate()
	w.retry()
	if p, _ := w.status().Peer("n"); len(w.speaker.neighbors) != 0 || p.Tunnel.State != "down" || p.Tunnel.LastError != "taken down by uid 7" {
		t.Errorf("it is there still: %v, %+v", w.speaker.neighbors, p.Tunnel)
	}
	w.orders(t, "up", "n")
	expect(t, "up, and drained as before", drainedNeighbors(w), []string{"n"})
}

// Orders go to the next daemon, with all that status says of them.
func TestOrdersAreHandedOver(t *testing.T) {
	w := newWorld(t, router(peerConfig("b", 0), peerConfig("c", 1)))
	w.orders(t, "drain", "b", lasts(time.Hour))
	w.orders(t, "drain", "")
	w.orders(t, "down", "c", saying("new fiber"))
	state, err := json.Marshal(left{Version: HandoverVersion, Orders: &w.m.orders})
	if err != nil {
		t.Fatal(err)
	}
	before := w.status()
	var n left
	if err := json.Unmarshal(state, &n); err != nil {
		t.Fatal(err)
	}
	next := newWorldWith(t, router(peerConfig("b", 0), peerConfig("c", 1)), func(w *world) {
		w.resuming, w.left = newResumption(&n), newLeftovers(&n)
	})
	after := next.status()
	for i := range before.Peers {
		for what, both := range map[string][2]any{
			"drained": {before.Peers[i].Drained, after.Peers[i].Drained}, "down": {before.Peers[i].Down, after.Peers[i].Down},
			"router": {before.Router.Drained, after.Router.Drained},
		} {
			a, _ := json.Marshal(both[0])
			b, _ := json.Marshal(both[1])
			if string(a) != string(b) {
				t.Errorf("%s %s: %s, was %s", before.Peers[i].Name, what, b, a)
			}
		}
	}
	if i := slices.IndexFunc(next.diary, func(s string) bool { return strings.HasPrefix(s, "open c") }); i >= 0 {
		t.Errorf("c is opened: %v", next.diary)
	}
	next.orders(t, "up", "c")
	next.up(t, "c")
	next.up(t, "b")
	expect(t, "drained", drainedNeighbors(next), []string{"b", "c"})
}

// An order ends with its peer, also where the peer goes otherwise than by a reload: another one of the name is neither down nor drained.
func TestOrdersEndWithTheirPeers(t *testing.T) {
	is := newOrders()
	is.Down["b"], is.Drained["c"] = &takenDown{}, &drained{}
	n := left{Orders: &is}
	w := newWorldWith(t, router(peerConfig("d", 2)), func(w *world) { w.resuming, w.left = newResumption(&n), newLeftovers(&n) })
	_, lines := w.orders(t, "undrain", "")
	expect(t, "after a restart without the peers' files", lines, []string{"the whole router: it is not drained"})
	mark := len(w.diary)
	w.reloads(t, router(peerConfig("b", 0), peerConfig("c", 1), peerConfig("d", 2)))
	w.up(t, "c")
	if !w.isOpened("b", mark) || len(drainedNeighbors(w)) > 0 {
		t.Errorf("after a restart without the peers' files: %q, drained are %q", w.since(mark), drainedNeighbors(w))
	}

	var fail error
	w = newWorldWith(t, router(invitedPeer(config.TransportTLS, config.RoleInviting)), withDisk(&fail))
	w.orders(t, "down", "b")
	w.later(61 * time.Minute)
	if w.attachment("b") != nil {
		t.Fatal("the invitation's term is over, and the peer is there")
	}
	mark = len(w.diary)
	again := invitedPeer(config.TransportTLS, config.RoleInviting)
	again.Tunnels[0].Trust.Invitation.Until = w.now().Add(time.Hour)
	w.reloads(t, router(again))
	if !w.isOpened("b", mark) {
		t.Errorf("invited again: %q", w.since(mark))
	}
}

// A drained peer is quiet when nothing but BGP goes through its tunnels for a while.
func TestQuiet(t *testing.T) {
	w := newWorld(t, router(peerConfig("b", 0)))
	w.up(t, "b")
	w.tunnels.says = map[string]tunnel.Status{}
	flows := func(rx, tx uint64, spoken link.Segments) {
		w.tunnels.says["b"] = tunnel.Status{Stats: tunnel.Stats{RxPackets: rx, TxPackets: tx}}
		w.segments = spoken
		w.ahead += time.Second
		w.retry()
	}
	quiet := func() bool { p, _ := w.status().Peer("b"); return !p.Drained.QuietSince.IsZero() }
	w.orders(t, "drain", "b")
	rx, tx := uint64(100), uint64(100)
	for range 10 { // a slow flow, one way
		rx += 1
		flows(rx, tx, link.Segments{})
		if quiet() {
			t.Fatal("there is a flow")
		}
	}
	var spoken link.Segments
	for i := range 6 { // BGP, faster than the flow was
		rx, tx, spoken = rx+3, tx+4, link.Segments{In: spoken.In + 3, Out: spoken.Out + 4}
		flows(rx, tx, spoken)
		if is := quiet(); is && i < 2 || !is && i == 5 {
			t.Fatalf("after %d s of BGP alone it is quiet: %v", i+1, is)
		}
	}
	flows(rx+2, tx, spoken)
	if quiet() {
		t.Error("two packets are a flow")
	}
	w.orders(t, "undrain", "b")
	if len(w.quiet) != 0 {
		t.Error("what is not drained is looked at")
	}
}

// What is said to the far end fits, and is cut between characters.
func TestFarewellText(t *testing.T) {
	for _, c := range []struct{ text, message, want string }{
		{"taken down", "", "taken down"}, {"taken down", "new fiber", "new fiber"},
		{"taken down", strings.Repeat("ä", 70), strings.Repeat("ä", 64)}, {"taken down", strings.Repeat("a", 128), strings.Repeat("a", 128)},
	} {
		if is := farewellText(c.text, c.message); is != c.want {
			t.Errorf("%q: %q", c.message, is)
		}
	}
}

// That a peer is refused that was taken down is no news, and that another one is, is.
func TestRefusedWhileDown(t *testing.T) {
	w := newWorld(t, router(peerConfig("b", 0)))
	from := netip.MustParseAddrPort("198.51.100.9:4711")
	w.tunnels.report(t, "b").event(tunnel.Event{Name: "b", Up: true, Remote: from, Local: tunnel.Identity{1}, Peer: tunnel.Identity{2}})
	w.turn()
	w.orders(t, "down", "b")
	refuse := func(at string) {
		w.refused = append(w.refused, tunnel.Refusal{Source: netip.MustParseAddr(at), Reason: "unknown", Count: 3, Last: w.now()})
	}
	refuse("198.51.100.9")
	refuse("198.51.100.8")
	said := func() (all []string) {
		for _, h := range w.status().Router.Hints {
			if strings.Contains(h.Text, "was refused") {
				all = append(all, strings.Fields(h.Text)[0])
			}
		}
		return all
	}
	expect(t, "while it is down", said(), []string{"198.51.100.8"})
	w.orders(t, "up", "b")
	expect(t, "when it is up", said(), []string{"198.51.100.8"})
	w.ahead += time.Minute
	w.refused = nil
	refuse("198.51.100.9")
	expect(t, "later", said(), []string{"198.51.100.9"})
}

// `warren why` names the operator who has put a way into reserve.
func TestWhyOfOrders(t *testing.T) {
	w := newWorld(t, router(peerConfig("b", 0), peerConfig("c", 1)))
	for _, name := range []string{"b", "c"} {
		w.up(t, name)
	}
	p := netip.MustParsePrefix("10.2.0.0/16")
	reasons := func(first, second string) (all []string) {
		cfg := *w.cfg
		x := explainer{q: status.WhyQuestion{Of: p}, cfg: &cfg, sides: w.sides()}
		x.is = bgp.Explanation{Prefix: p, Candidates: []bgp.Candidate{
			{Neighbor: first, Verdict: bgp.VerdictBest}, {Neighbor: second, Verdict: bgp.VerdictReserve, Step: bgp.StepLocalPref},
		}}
		for _, c := range x.candidates() {
			all = append(all, fmt.Sprintf("%s %s: %s", c.Peer, c.Verdict, c.Reason))
		}
		return all
	}
	const lp = "LOCAL_PREF, the degree of preference (RFC 4271 section 9.1.1)"
	w.orders(t, "drain", "b")
	expect(t, "drained", reasons("c", "b"), []string{
		"c best: preferred to that of b by " + lp,
		"b reserve: its peer is drained by uid 7, so that it is used only where there is no other way; that of c is preferred by " + lp,
	})
	w.orders(t, "drain", "")
	if is := reasons("b", "c"); !strings.HasSuffix(is[0], "; used though its peer is drained by uid 7, as no other way is better") {
		t.Errorf("all are drained: %v", is)
	}
	w.orders(t, "undrain", "")
	w.orders(t, "down", "c")
	if is := reasons("b", "c"); is[1] != "c unreachable: its peer was taken down by uid 7; `warren up c` takes it up" {
		t.Errorf("down: %v", is)
	}
}
