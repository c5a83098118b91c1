package speaker

import (
	"strings"
	"testing"
	"time"

	"warren/bgp"
)

// When the clock is set, the times that the process has told of stay what they were, and none is taken for another session's.
func TestTimesOutlastAClockThatIsSet(t *testing.T) {
	tab, now := newTable(), time.Now()
	tab.want([]bgp.Neighbor{{Name: "a"}}, nil)
	o := tab.wanted["a"]
	date := now.Round(0) // as it comes from the process
	st := bgp.NeighborStatus{State: stateEstablished, Since: date.Add(-time.Hour), RestartUntil: date.Add(time.Minute)}
	tab.setStatus(o.id, st, now)
	first := o.status
	if now.Sub(first.Since) != time.Hour || first.RestartUntil.Sub(now) != time.Minute || !first.Unanswered.IsZero() {
		t.Errorf("%+v", first)
	}
	for _, at := range []time.Time{first.Since, first.RestartUntil} {
		if !strings.Contains(at.String(), " m=") {
			t.Errorf("%v has no monotonic reading", at)
		}
	}
	for _, set := range []time.Duration{83 * 24 * time.Hour, -2 * time.Hour} {
		st.Received++
		tab.setStatus(o.id, st, date.Add(set))
		if got := o.status; got.Since != first.Since || got.RestartUntil != first.RestartUntil || got.Received != st.Received {
			t.Errorf("the clock is set by %v: %+v", set, got)
		}
	}
	// Another session, told by the clock as it is set now; and one from the future is not taken for true.
	later := now.Add(time.Minute)
	st.Since, st.RestartUntil = later.Round(0).Add(-time.Second), time.Time{}
	tab.setStatus(o.id, st, later)
	if got := o.status; later.Sub(got.Since) != time.Second || !got.RestartUntil.IsZero() {
		t.Errorf("%+v", got)
	}
	st.Since = later.Round(0).Add(time.Hour)
	tab.setStatus(o.id, st, later)
	if got := o.status; got.Since != later {
		t.Errorf("%+v", got)
	}
}
