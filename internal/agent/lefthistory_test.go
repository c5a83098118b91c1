package agent

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"warren/internal/history"
	"warren/tunnel/tlslink"
)

// leaves returns what a daemon leaves of its history, as the next one reads it, after edit has changed the JSON.
func (w *world) leaves(t *testing.T, edit func(map[string]json.RawMessage)) *left {
	t.Helper()
	n := left{Version: HandoverVersion}
	goOn, err := w.leaveHistory(t.Context(), &n)
	if err != nil {
		t.Fatal(err)
	}
	goOn()
	n.Tunnels = []leftTunnel{{Name: "b", Came: w.attachment("b").session.came, OverIPv4: true}}
	data, err := json.Marshal(n)
	if err != nil {
		t.Fatal(err)
	}
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(data, &fields); err != nil {
		t.Fatal(err)
	}
	edit(fields)
	if data, err = json.Marshal(fields); err != nil {
		t.Fatal(err)
	}
	var got left
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	return &got
}

// resumes makes a world that takes over what was left.
func resumes(t *testing.T, before *world, n *left) *world {
	a := &Agent{left: n, log: slog.New(slog.DiscardHandler), opts: Options{Version: "next"}}
	return newWorldWith(t, before.cfg, func(w *world) {
		w.history = a.takeHistory(func(error) {})
		w.history.Add(a.startEvent())
		w.resuming = newResumption(n)
	})
}

func (w *world) kinds() (kinds []history.Kind) {
	events, _, _ := w.history.Select(history.Query{})
	for _, e := range events {
		kinds = append(kinds, e.Kind)
	}
	return kinds
}

// What has happened is known after `warren restart` too, and comes before it; how often a tunnel went down is counted
// on, and how long one was up that stayed is counted from when it came up. A daemon of a version that leaves
// nothing of this, or something else, is taken over from as well.
func TestHistoryIsLeft(t *testing.T) {
	w := newWorld(t, router(peerConfig("b", 0), peerConfig("c", 1)))
	w.up(t, "b")
	w.down(t, "b")
	w.up(t, "b")
	was := fmt.Sprint(w.kinds())
	if was != "[tunnel_up tunnel_down tunnel_up]" {
		t.Fatal(was)
	}
	w.attachment("b").session.came = w.now().Add(-time.Hour)

	same := func(map[string]json.RawMessage) {}
	n := w.leaves(t, same)
	n.Tunnels[0].TLS = &tlslink.Handover{}
	next := resumes(t, w, n)
	if got := fmt.Sprint(next.kinds()); got != strings.TrimSuffix(was, "]")+" restart]" {
		t.Errorf("history %s", got)
	}
	if e := next.lastEvent(); e.Cause != "warren was replaced by `warren restart`, version next" {
		t.Errorf("%+v", e)
	}
	if tun := next.status().Peers[0].Tunnel; tun.Flaps != 1 || tun.LastReset.Cause != "test" || tun.LastReset.Time.IsZero() {
		t.Errorf("%d flaps, the last %+v", tun.Flaps, tun.LastReset)
	}
	if other := next.status().Peers[1].Tunnel; other.Flaps != 0 {
		t.Errorf("another tunnel: %+v", other)
	}
	next.up(t, "b")
	next.down(t, "b")
	if e := next.lastEvent(); e.Kind != history.TunnelDown || e.LastedS < 3600 {
		t.Errorf("%+v", e)
	}
	if tun := next.status().Peers[0].Tunnel; tun.Flaps != 2 {
		t.Errorf("%d flaps", tun.Flaps)
	}

	for what, edit := range map[string]func(map[string]json.RawMessage){
		"older": func(f map[string]json.RawMessage) { delete(f, "history"); delete(f, "flaps") },
		"newer": func(f map[string]json.RawMessage) {
			f["history"], f["flaps"], f["other"] = json.RawMessage(`{"events":"in another form"}`), json.RawMessage(`[1]`), json.RawMessage(`1`)
		},
	} {
		next := resumes(t, w, w.leaves(t, edit))
		if got := fmt.Sprint(next.kinds()); got != "[restart]" || next.status().Peers[0].Tunnel.Flaps != 0 {
			t.Errorf("%s: history %s, %d flaps", what, got, next.status().Peers[0].Tunnel.Flaps)
		}
	}
}
