package speaker

import (
	"encoding/json"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"warren/bgp"
	"warren/internal/speaker/wire"
)

// impossible are times that the process can tell of, and nothing has happened at.
var impossible = []string{
	"9999-12-31T23:59:59-01:00", // the year 10000 in UTC, which has no form in JSON
	"0000-01-01T00:00:00+01:00", // nor has the one before 0
	"0001-01-01T00:00:00Z", "2200-01-01T00:00:00Z",
}

// However many events the process tells of, those that are taken are bounded, and so is when they were and how
// long something had lasted. What is known of the session follows all of them.
func TestEventsAreBounded(t *testing.T) {
	var got []bgp.Event
	var log safeBuffer
	s := New(Config{
		ASN: 64512, RouterID: netip.MustParseAddr("10.0.0.1"), OnEvent: func(e bgp.Event) { got = append(got, e) },
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	s.Want(bgp.Wanted{Neighbors: []bgp.Neighbor{neighbor("a", 1)}})
	o := s.table.wanted["a"]
	p, begun := newProcess(s), time.Now()
	tell := func(kind bgp.EventKind, at string) {
		t.Helper()
		e, err := json.Marshal(map[string]any{"ID": o.id, "Kind": kind, "Time": at, "Lasted": -5, "Cause": "x"})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.take(wire.KindEvent, e); err != nil {
			t.Fatal(err)
		}
	}
	for _, at := range impossible {
		tell(bgp.SessionDown, at)
	}
	before := begun.Add(-time.Minute).Truncate(0)
	tell(bgp.SessionUp, before.Format(time.RFC3339Nano))
	for i, e := range got {
		if _, err := json.Marshal(e.Time.UTC()); err != nil || e.Lasted < 0 || i < len(impossible) && (e.Time.Before(begun) || e.Time.After(time.Now())) {
			t.Errorf("an event is %+v: %v", e, err)
		}
	}
	if n := len(impossible); len(got) != n+1 || !got[n].Time.Equal(before) || !o.up.Equal(before) {
		t.Fatalf("events are %+v, up since %v", got, o.up)
	}
	const flood = 5 * eventBurst
	for range flood {
		tell(bgp.SessionDown, begun.Format(time.RFC3339Nano))
	}
	most := eventBurst + eventsPerSecond*(time.Since(begun).Seconds()+1)
	if n := float64(len(got)); n > most || n < eventBurst {
		t.Errorf("of %d events %v are taken", flood, n)
	}
	if !o.up.IsZero() {
		t.Error("a session is up that has ended")
	}
	if n := strings.Count(log.String(), "left out"); n > 1 {
		t.Errorf("that events are left out is said %d times", n)
	}
}

// Times in a status can be shown, whatever they are.
func TestStatusIsBounded(t *testing.T) {
	s := New(Config{ASN: 64512, RouterID: netip.MustParseAddr("10.0.0.1")})
	s.Want(bgp.Wanted{Neighbors: []bgp.Neighbor{neighbor("a", 1)}})
	p := newProcess(s)
	tell := func(at string) error {
		st, err := json.Marshal(map[string]any{"Changed": []map[string]any{{
			"ID": s.table.wanted["a"].id, "State": "active", "Since": at, "Unanswered": at, "RestartUntil": at, "RemoteRouterID": "fe80::1%\x1b",
		}}})
		if err != nil {
			t.Fatal(err)
		}
		return p.take(wire.KindNeighbors, st)
	}
	for _, at := range impossible {
		if err := tell(at); err != nil {
			t.Fatal(err)
		}
		st, now := s.Neighbors()[0], time.Now()
		if st.Since.After(now) || st.Unanswered.After(now) || st.RestartUntil.After(now.Add(longestRestart)) || st.RemoteRouterID.Zone() != "" {
			t.Errorf("%s: the status is %+v", at, st)
		}
		for _, is := range []time.Time{st.Since, st.Unanswered, st.RestartUntil} {
			if _, err := json.Marshal(is.UTC()); err != nil {
				t.Errorf("%s: %v", at, err)
			}
		}
	}
	since := time.Now().Add(-100 * 24 * time.Hour).Truncate(0)
	if err := tell(since.Format(time.RFC3339Nano)); err != nil {
		t.Fatal(err)
	}
	if st := s.Neighbors()[0]; !st.Since.Equal(since) || !st.Unanswered.Equal(since) || !st.RestartUntil.Equal(since) {
		t.Errorf("of long ago the status is %+v", st)
	}
}
