package agent

import (
	"encoding/json"
	"testing"
	"time"

	"warren/internal/history"
	"warren/tunnel/tlslink"
	"warren/tunnel/tun"
)

// A machine that is so busy that the time for a restart is over before all tunnels were tried once is given more: an
// interface that was left, and that its tunnel is about to take, is not removed.
func TestResumptionWaitsForTheStart(t *testing.T) {
	w := newWorld(t, router(peerConfig("b", 0)))
	n := &left{Tunnels: []leftTunnel{{Name: "b", Device: tun.Handover{Name: "if-b"}}}, Up: []string{"b"}}
	w.resuming, w.left = newResumption(n), newLeftovers(n)
	removed := 0
	w.left.also(func() ([]string, error) { removed++; return nil, nil })
	w.left.take("if-b")
	w.m.starting = true
	done := w.resuming.done
	w.resumed(true)
	if w.resuming == nil || removed > 0 || !w.resuming.timer.Reset(time.Hour) {
		t.Fatalf("the resumption is over, or has no end any more; %d removals", removed)
	}
	w.m.starting = false
	w.resumed(false)
	if w.resuming == nil {
		t.Fatal("the resumption is over, and a tunnel that was up is not there again")
	}
	w.resumed(true)
	if w.resuming != nil || removed != 1 {
		t.Fatalf("the resumption goes on; %d removals", removed)
	}
	<-done
}

// A tunnel over an interface that goes on without the daemon is up since before a restart too. If it went down then, that is in the
// history, and counts.
func TestTunnelsThatGoOnByThemselves(t *testing.T) {
	cfg := router(peerConfig("b", 0), peerConfig("c", 1), peerConfig("d", 2))
	w := newWorld(t, cfg)
	came := w.now().Add(-time.Hour)
	for _, name := range []string{"b", "c"} {
		w.up(t, name)
		w.attachment(name).session.came = came
	}
	was := left{Version: HandoverVersion}
	was.Up, was.UpSince = w.upByThemselves()
	state, err := json.Marshal(was)
	if err != nil {
		t.Fatal(err)
	}
	var n left
	if err := json.Unmarshal(state, &n); err != nil {
		t.Fatal(err)
	}
	next := resumes(t, w, &n)
	next.up(t, "b")
	if got := next.attachment("b").session.came; !got.Equal(came) {
		t.Errorf("b is up since %v, want %v", got, came)
	}
	next.up(t, "d")
	next.resumed(false)
	if next.resuming == nil {
		t.Fatal("c is not waited for")
	}
	next.resumed(true)
	var downs []history.Event
	events, _, _ := next.history.Select(history.Query{})
	for _, e := range events {
		if e.Kind == history.TunnelDown {
			downs = append(downs, e)
		}
	}
	if len(downs) != 1 || downs[0].Peer != "c" || downs[0].Cause != "it was not there again after `warren restart`" || downs[0].LastedS < 3599 {
		t.Errorf("downs %+v", downs)
	}
	if got := [3]int{next.attachment("b").resets.count, next.attachment("c").resets.count, next.attachment("d").resets.count}; got != [3]int{0, 1, 0} {
		t.Errorf("flaps %v", got)
	}
}

// One that comes back and goes down while others are waited for went down once, and is up from then on when it comes again. What is not
// known is left out, and a peer that is not configured any more has no flaps.
func TestTunnelsThatAreMissed(t *testing.T) {
	before := newWorld(t, router(peerConfig("b", 0), peerConfig("c", 1)))
	came := before.now().Add(-time.Hour)
	n := &left{
		Up:      []string{"c", "gone"},
		Tunnels: []leftTunnel{{Name: "b", Device: tun.Handover{Name: "if-b"}, TLS: &tlslink.Handover{}, Came: came}},
	}
	w := resumes(t, before, n)
	w.up(t, "b")
	w.down(t, "b")
	if got := w.attachment("b").resets.count; got != 1 {
		t.Fatalf("%d flaps", got)
	}
	w.up(t, "b")
	if got := w.attachment("b").session.came; got.Equal(came) {
		t.Error("b is up since before it went down")
	}
	w.down(t, "b")
	w.resumed(true)
	if got := [2]int{w.attachment("b").resets.count, w.attachment("c").resets.count}; w.resuming != nil || got != [2]int{2, 1} {
		t.Errorf("flaps %v", got)
	}
	events, _, _ := w.history.Select(history.Query{})
	if last := events[len(events)-1]; last.Kind != history.TunnelDown || last.Peer != "c" || last.LastedS != 0 {
		t.Errorf("%+v", last)
	}
}
