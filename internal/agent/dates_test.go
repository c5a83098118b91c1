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
	w.tunnels.says = map[string]tunnel.Status{"b": {Transport: "auto", State: tunnel.StateUp, Since: now, Ways: []tunnel.Way{
		{Status: tunnel.Status{Transport: "tls", State: tunnel.StateUp, Since: now}, Loss: -1, Carries: true, At: now},
		{Status: tunnel.Status{Transport: "wireguard", State: tunnel.StateUp, Since: now, Handshake: now}, Loss: -1},
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

// What the next daemon is left of times are dates by the clock as it is set now: a drain does not end at once, or never, because
// the clock was set since it began.
func TestDatesThatAreLeft(t *testing.T) {
	w := newWorld(t, router(peerConfig("b", 0), peerConfig("c", 1)))
	w.up(t, "b")
	w.down(t, "b")
	w.orders(t, "drain", "")
	w.orders(t, "drain", "b", lasts(time.Hour))
	w.orders(t, "down", "c", saying("new fiber"))
	const set = 9000 * 24 * time.Hour
	w.date = func(at time.Time) time.Time {
		if at.IsZero() {
			return at
		}
		return at.Add(set)
	}
	now := time.Now()
	w.accepted["guest"] = &accepted{seen: now}
	is, left := &w.m.orders, w.m.orders.dated(w.date)
	for what, at := range map[string][2]time.Time{
		"the router's drain": {is.Router.Since, left.Router.Since},
		"a peer's":           {is.Drained["b"].Since, left.Drained["b"].Since},
		"its end":            {is.Drained["b"].Until, left.Drained["b"].Until},
		"a peer is down":     {is.Down["c"].Since, left.Down["c"].Since},
		"an accepted peer":   {now, w.leaveAccepted()["guest"]},
		"a flap":             {w.attachment("b").resets.last, w.m.flaps(w.date)["b"].Tunnel.Last},
	} {
		if at[0].IsZero() || at[1].Sub(at[0]) != set {
			t.Errorf("%s: %v is left as %v", what, at[0], at[1])
		}
	}
	if d := left.Down["c"]; !left.Router.Until.IsZero() || left.Router.By != 7 || d.By != 7 || d.Message != "new fiber" {
		t.Errorf("%+v, %+v", left.Router, d)
	}
	if none := newOrders(); none.dated(w.date).Router != nil {
		t.Error("a router that is not drained")
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
