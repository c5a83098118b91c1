package speaker

import (
	"log/slog"
	"testing"
	"time"

	"warren/bgp"
)

// What one daemon knows of routes the next one knows, until the neighbors have announced them again. A neighbor
// that is not wanted for a while, as its tunnel is not there yet, keeps its routes for that time.
func TestTakeUp(t *testing.T) {
	before := New(Config{Logger: slog.New(slog.DiscardHandler), RestartTime: time.Minute})
	before.Want(bgp.Wanted{Neighbors: []bgp.Neighbor{neighbor("a", 1), neighbor("b", 1)}})
	now := time.Now()
	set(t, before.table, "a", "10.1.0.0/16", now)
	set(t, before.table, "a | b", "10.2.0.0/16", now)
	set(t, before.table, "b", "2001:db8::/32", now)
	h := before.handoverLocked()

	s := New(Config{Logger: slog.New(slog.DiscardHandler), RestartTime: time.Minute, Resume: h})
	if _, restarted := s.restart(time.Now()); !restarted {
		t.Error("peers are not told that routes have stayed")
	}
	if err := s.TakeUp(); err != nil {
		t.Fatal(err)
	}
	v, all := view{}, view{prefix("10.1.0.0/16"): "a", prefix("10.2.0.0/16"): "a | b", prefix("2001:db8::/32"): "b"}
	v.take(s.table)
	v.check(t, "at first", all)
	s.Want(bgp.Wanted{Neighbors: []bgp.Neighbor{neighbor("a", 7)}})
	s.table.expire(time.Now())
	v.take(s.table)
	v.check(t, "while b is not there", all)

	set(t, s.table, "a", "10.2.0.0/16", now)
	v.take(s.table)
	v.check(t, "a has announced one again", all)
	late := time.Now().Add(awaitNeighbors + time.Second)
	s.table.expire(late)
	v.take(s.table)
	v.check(t, "b has not come", view{prefix("10.1.0.0/16"): "a", prefix("10.2.0.0/16"): "a"})
	s.table.expire(time.Now().Add(2 * time.Minute))
	v.take(s.table)
	v.check(t, "restart_time is over", view{prefix("10.2.0.0/16"): "a"})

	// One that is another by now has nothing.
	s = New(Config{Logger: slog.New(slog.DiscardHandler), RestartTime: time.Minute, Resume: h})
	if err := s.TakeUp(); err != nil {
		t.Fatal(err)
	}
	other := neighbor("a", 7)
	other.ASN++
	s.Want(bgp.Wanted{Neighbors: []bgp.Neighbor{other, neighbor("b", 7)}})
	v = view{}
	v.take(s.table)
	v.check(t, "another AS", view{prefix("10.2.0.0/16"): "b", prefix("2001:db8::/32"): "b"})
}

// What is malformed is refused, and no number leads beyond the neighbors.
func TestTakeUpRefuses(t *testing.T) {
	before := New(Config{Logger: slog.New(slog.DiscardHandler)})
	before.Want(bgp.Wanted{Neighbors: []bgp.Neighbor{neighbor("a", 1)}})
	set(t, before.table, "a", "10.1.0.0/16", time.Now())
	good := before.handoverLocked()
	for what, h := range map[string]*Handover{
		"no neighbor": {Routes: good.Routes},
		"cut off":     {Neighbors: good.Neighbors, Routes: good.Routes[:len(good.Routes)-1]},
	} {
		s := New(Config{Logger: slog.New(slog.DiscardHandler), Resume: h})
		if err := s.TakeUp(); err == nil {
			t.Errorf("%s: taken over", what)
		}
	}
}
