package agent

import (
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"warren/bgp"
	"warren/internal/config"
	"warren/internal/status"
	"warren/tunnel"
)

// A router without a clock of its own begins with an old date, and then its clock is set. All times of a status but that
// of the status itself are by the clock as it is set now, so that what they tell of is no older than it is.
func TestDatesAreOfTheClockAsItIsSetNow(t *testing.T) {
	b := peerConfig("b", 0)
	b.Tunnels[0].Transport = config.TransportAuto
	w := newWorldWith(t, router(b, peerConfig("c", 1), peerConfig("d", 2), peerConfig("e", 3)), func(w *world) {
		w.tunnels.fail["e"] = errors.New("name is taken")
	})
	for _, name := range []string{"b", "c", "d"} {
		w.up(t, name)
	}
	now := time.Now()
	w.play(spoken{bgp.Event{Kind: bgp.SessionUp, Time: now, Neighbor: "c"}})
	w.play(spoken{bgp.Event{Kind: bgp.SessionDown, Time: now, Neighbor: "c", Lasted: time.Minute}})
	w.down(t, "c")
	w.up(t, "c")
	w.orders(t, "drain", "c", lasts(time.Hour))
	w.orders(t, "down", "d")
	w.quiet["c"] = &quiet{since: now}
	w.speaker.since = now
	w.tunnels.says = map[string]tunnel.Status{"b": {Transport: "auto", State: tunnel.StateUp, Since: now, Handshake: now, Ways: []tunnel.Way{
		{Status: tunnel.Status{Transport: "tls", State: tunnel.StateUp, Since: now}, Loss: -1, Carries: true, At: now},
	}}}

	right := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	w.date = func(at time.Time) time.Time {
		if at.IsZero() {
			return at
		}
		return right
	}
	seen := map[string]bool{}
	eachTime(reflect.ValueOf(w.status()), "", func(field string, at status.Time) {
		if seen[field] = seen[field] || !at.IsZero(); field != "Status.Time" && !at.IsZero() && !at.Equal(right) {
			t.Errorf("%s is by the clock as it was set then: %v", field, at)
		}
	})
	var unseen []string
	for field, is := range seen {
		if !is {
			unseen = append(unseen, field)
		}
	}
	if len(unseen) > 0 || len(seen) < 11 {
		t.Errorf("%d fields are seen: %v; without a time: %v", len(seen), slices.Sorted(maps.Keys(seen)), unseen)
	}
}

// eachTime calls f with each time in v, by its type and field.
func eachTime(v reflect.Value, field string, f func(string, status.Time)) {
	if at, ok := v.Interface().(status.Time); ok {
		f(field, at)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			eachTime(v.Elem(), field, f)
		}
	case reflect.Slice:
		for i := range v.Len() {
			eachTime(v.Index(i), field, f)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if of := v.Type().Field(i); of.IsExported() && strings.HasPrefix(v.Type().PkgPath(), "warren/internal/status") {
				eachTime(v.Field(i), v.Type().Name()+"."+of.Name, f)
			}
		}
	}
}
