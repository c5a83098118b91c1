package agent

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"warren/bgp"
	"warren/internal/config"
	"warren/internal/history"
	"warren/internal/speaker"
	"warren/tunnel"
)

// happenings returns what the history has had since the last call: kind, peer, cause.
func happenings(w *world) func() []string {
	from := uint64(0)
	return func() (all []string) {
		events, next, _ := w.history.Select(history.Query{From: from})
		from = next
		for _, e := range events {
			text := fmt.Sprint(e.Kind, " ", e.Peer)
			if e.Link != nil {
				text += fmt.Sprint("/", *e.Link)
			}
			if e.Over {
				text += " over"
			}
			if e.Count > 0 {
				text += fmt.Sprint(" x", e.Count)
			}
			all = append(all, strings.TrimSuffix(text+": "+e.Cause, ": "))
		}
		return all
	}
}

// A tunnel and its session go down with the cause that is known here, and are counted.
func TestHistoryOfATunnel(t *testing.T) {
	w := newWorld(t, router(peerConfig("b", 0), peerConfig("c", 1)))
	now := happenings(w)
	w.up(t, "b")
	expect(t, "up", now(), []string{"tunnel_up b/0"})
	w.play(spoken{bgp.Event{Kind: bgp.SessionUp, Time: time.Now(), Neighbor: "b"}})
	expect(t, "session", now(), []string{"session_up b/0"})
	w.down(t, "b")
	w.play(spoken{bgp.Event{Kind: bgp.SessionDown, Time: time.Now(), Neighbor: "b", Lasted: time.Minute}})
	expect(t, "down", now(), []string{"tunnel_down b/0: test", "session_down b/0: the tunnel is down: test"})
	w.play(
		spoken{bgp.Event{Kind: bgp.SessionUp, Time: time.Now(), Neighbor: "c"}},
		spoken{bgp.Event{Kind: bgp.SessionDown, Time: time.Now(), Neighbor: "c", Cause: "hold timer", Lasted: time.Minute}},
		spoken{bgp.Event{Kind: bgp.SessionDown, Time: time.Now(), Neighbor: "gone/1", Lasted: time.Minute}},
	)
	expect(t, "others", now(), []string{
		"session_up c/1", "session_down c/1: hold timer",
		"session_down gone: the peer or its tunnel was removed from this router's configuration",
	})
	p, _ := w.status().Peer("b")
	if p.Tunnel.Flaps != 1 || p.BGP.Flaps != 1 || p.BGP.LastReset.Cause != "the tunnel is down: test" || p.BGP.LastReset.Time.IsZero() {
		t.Errorf("%+v", p)
	}
	if p, _ := w.status().Peer("c"); p.Tunnel.Flaps != 0 || p.BGP.Flaps != 1 || p.BGP.LastReset.Cause != "hold timer" {
		t.Errorf("%+v", p)
	}
}

// A tunnel that is carried by another of its transports tells that, and nothing else happens to it.
func TestHistoryOfATunnelThatMoves(t *testing.T) {
	w := newWorld(t, router(peerConfig("b", 0)))
	now := happenings(w)
	id := w.attachment("b").id
	w.play(moved{id, "tls", "early"})
	expect(t, "not up", now(), nil)
	w.up(t, "b")
	now()
	mark := len(w.diary)
	w.play(moved{id, "tls", "WireGuard is down: silence"})
	w.play(moved{id + 1000, "tls", "another's"})
	expect(t, "moved", now(), []string{"carried b/0: WireGuard is down: silence"})
	expect(t, "done", w.since(mark), nil)
	events, _, _ := w.history.Select(history.Query{Last: 1})
	if len(events) != 1 || events[0].Transport != "tls" || events[0].Interface == "" {
		t.Errorf("%+v", events)
	}
}

func TestHistoryOfAReload(t *testing.T) {
	w := newWorld(t, router(peerConfig("b", 0)))
	now := happenings(w)
	w.up(t, "b")
	now()
	w.load = func() (*config.Config, error) { return router(peerConfig("c", 1)), nil }
	if _, err := w.reloadFor(1000, 0); err != nil {
		t.Fatal(err)
	}
	expect(t, "removed", now(), []string{"tunnel_down b/0: the peer was removed from this router's configuration", "reload "})
	events, _, _ := w.history.Select(history.Query{Last: 1})
	if e := events[0]; e.By != "uid 1000" || e.UID == nil || *e.UID != 1000 || fmt.Sprint(e.Changes) != "[peer b: removed peer c: added]" {
		t.Errorf("%+v", e)
	}
	w.load = func() (*config.Config, error) { return nil, errors.New("no file") }
	if _, err := w.reloadFor(bySignal, 0); err == nil {
		t.Fatal("no error")
	}
	events, _, _ = w.history.Select(history.Query{Last: 1})
	if e := events[0]; e.By != "signal" || e.UID != nil || e.Cause == "" || fmt.Sprint(e.Changes) != "[no file]" {
		t.Errorf("%+v", e)
	}
}

// What does not succeed is told when it comes and when it is over, however often it is tried.
func TestHistoryOfConditions(t *testing.T) {
	w := newWorld(t, router(peerConfig("b", 0)))
	now := happenings(w)
	now()
	doors := subject{kind: kindListenTLS}
	for range 10 {
		w.play(tried{doors, errors.New("in use")}, wrote{errors.New("no memory")})
	}
	w.play(tried{doors, nil}, wrote{nil})
	got := now()
	if len(got) != 4 || !strings.HasPrefix(got[0], "underlay : peers cannot connect over TLS") || !strings.HasPrefix(got[1], "route_error : cannot write routes") ||
		!strings.HasPrefix(got[2], "underlay  over") || !strings.HasPrefix(got[3], "route_error  over") {
		t.Errorf("%q", got)
	}
}

// What counters tell is gathered, so that nobody can fill the history.
func TestHistoryOfCounters(t *testing.T) {
	w := newWorld(t, router(peerConfig("b", 0)))
	now := happenings(w)
	w.up(t, "b")
	now()
	at := time.Now()
	bad := func(repaired uint64, refused int) bgp.NeighborStatus {
		return bgp.NeighborStatus{Name: "b", Refused: refused, Malformed: bgp.Malformed{Repaired: repaired, Last: "no ORIGIN"}}
	}
	var was watchedNeighbor
	for i := range 30 {
		was = w.watchNeighbor(at.Add(time.Duration(i)*time.Second), bad(uint64(i+1), 7), was)
	}
	got := now()
	if len(got) != 2 || !strings.HasPrefix(got[0], "limit b/0 x7: 7 prefixes refused") || got[1] != "malformed b/0 x1: no ORIGIN" {
		t.Errorf("%q", got)
	}
	was = w.watchNeighbor(at.Add(2*sameAgain), bad(31, 0), was)
	expect(t, "a minute later", now(), []string{"limit b/0 over: no prefix is refused any more", "malformed b/0 x30: no ORIGIN"})
	was = w.watchNeighbor(at.Add(4*sameAgain), bad(2, 0), was)
	expect(t, "another session", now(), []string{"malformed b/0 x2: no ORIGIN"})
	_ = was

	w.refused = nil
	for i := range 20 {
		w.refused = append(w.refused[:0], tunnel.Refusal{Source: netip.MustParseAddr("192.0.2.1"), Reason: "unknown", Count: uint64(i + 1)})
		w.watchStrangers(at.Add(time.Duration(i) * time.Second))
	}
	w.watchStrangers(at.Add(sameAgain))
	w.watchStrangers(at.Add(3 * sameAgain))
	expect(t, "strangers", now(), []string{"stranger  x1: unknown", "stranger  x19: unknown"})

	w.speaker.process = speaker.Status{Restarts: 2, LastError: "killed"}
	w.watchSpeaker(at)
	w.watchSpeaker(at)
	expect(t, "speaker", now(), []string{"speaker_restarted  x2: killed"})
}

// A tunnel that went down and came up while the loop was busy was down: the log and the history say so, and why, and its
// BGP session begins again.
func TestDownWhileTheLoopIsBusy(t *testing.T) {
	w := newWorld(t, router(peerConfig("b", 0)))
	w.up(t, "b")
	number := w.attachment("b").session.number
	report := w.tunnels.report(t, "b")
	report.event(tunnel.Event{Name: "b", Reason: "nothing came from the peer for 50ms"})
	report.event(tunnel.Event{Name: "b", Up: true, Local: tunnel.Identity{1}, Peer: tunnel.Identity{2}})
	w.turn()
	events, _, _ := w.history.Select(history.Query{})
	if got := fmt.Sprint(w.kinds()); got != "[tunnel_up tunnel_down tunnel_up]" || events[1].Cause != "nothing came from the peer for 50ms" {
		t.Errorf("the history has %v: %+v", got, events)
	}
	if s := w.attachment("b").session; s == nil || s.number == number || w.attachment("b").resets.count != 1 {
		t.Errorf("the session is %+v, after %d downs", s, w.attachment("b").resets.count)
	}
}
