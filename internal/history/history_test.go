package history

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// start runs a Log until the test ends or stop is called, which returns when all is written.
func start(t *testing.T, f File, report func(error)) (l *Log, stop func()) {
	t.Helper()
	if report == nil {
		report = func(err error) {
			if err != nil {
				t.Error(err)
			}
		}
	}
	l = New(report)
	return l, run(t, l, f)
}

// run runs a Log likewise.
func run(t *testing.T, l *Log, f File) (stop func()) {
	l.SetFile(f)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = l.Run(ctx)
	}()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return stop
}

func causes(events []Event) (all []string) {
	for _, e := range events {
		all = append(all, e.Cause)
	}
	return all
}

func TestMemoryIsBounded(t *testing.T) {
	l := New(nil)
	for i := range 5 * capacity {
		l.Add(Event{Kind: TunnelUp, Cause: fmt.Sprint(i)})
	}
	all, next, _ := l.Select(Query{})
	if len(all) != capacity || all[0].Cause != fmt.Sprint(4*capacity) || all[capacity-1].Cause != fmt.Sprint(5*capacity-1) {
		t.Fatalf("%d events, from %s", len(all), all[0].Cause)
	}
	if cap(l.events) > 4*capacity {
		t.Errorf("room for %d", cap(l.events))
	}
	if got, _, _ := l.Select(Query{From: next - 2}); len(got) != 2 {
		t.Errorf("%d events from the last but one", len(got))
	}
}

// A router without a clock of its own begins in 1970, and has its clock set a moment later: what has happened before happened
// a moment ago, also for the next program, and for the file if that could not be written before. What another process has left
// stays as it was.
func TestClockThatIsSet(t *testing.T) {
	const years = 56 * 365 * 24 * time.Hour
	set := time.Duration(0)
	now := time.Now()
	past := func(l *Log, cause string) {
		until := At(now.Add(time.Hour - years))
		l.Add(Event{Kind: Drain, Time: At(now.Add(-years)), Until: &until, Cause: cause})
	}
	l := New(nil)
	l.SetDate(func(t time.Time) time.Time { return t.Round(0).Add(set) })
	past(l, "boot")
	since := now.Add(-8 * time.Hour)
	if got, _, _ := l.Select(Query{Since: since}); len(got) != 0 {
		t.Fatalf("before the clock is set: %v", got)
	}
	set = years
	got, _, _ := l.Select(Query{Since: since})
	if len(got) != 1 || !got[0].Time.Equal(At(now).Time) || !got[0].Until.Equal(At(now.Add(time.Hour)).Time) {
		t.Fatalf("%+v", got)
	}
	h, _, err := l.HandOver(t.Context())
	if err != nil || len(h.Events) != 1 || !h.Events[0].Time.Equal(At(now).Time) {
		t.Fatalf("handed over: %+v, %v", h, err)
	}
	if _, batch, _, _ := l.unwritten(); len(batch) != 1 || !batch[0].Time.Equal(At(now).Time) {
		t.Errorf("to be written: %+v", batch)
	}
	next := Resume(&h, nil)
	next.SetDate(func(t time.Time) time.Time { return t.Round(0).Add(set) })
	if got, _, _ := next.Select(Query{}); len(got) != 1 || !got[0].Time.Equal(At(now).Time) {
		t.Errorf("the next program: %+v", got)
	}
	set = 0
	if got, _, _ := l.Select(Query{}); !got[0].Time.Equal(At(now.Add(-years)).Time) {
		t.Errorf("set back: %+v", got)
	}
}

// A text of a peer's, however long and whatever is in it, takes a line of bounded length.
func TestTextIsBounded(t *testing.T) {
	l := New(nil)
	nasty := strings.Repeat("\"\\\x1b\xff€", 10000)
	e := Event{Kind: Malformed, Peer: nasty, Cause: nasty, Interface: nasty, Remote: nasty}
	for range 1000 {
		e.Changes = append(e.Changes, nasty)
	}
	l.Add(e)
	got, _, _ := l.Select(Query{})
	line, err := Line(got[0])
	if err != nil || len(line) > 32<<10 || bytes.ContainsAny(line[:len(line)-1], "\x1b\n\xff") {
		t.Errorf("%v, a line of %d bytes", err, len(line))
	}
}

func TestSelect(t *testing.T) {
	l := New(nil)
	begin := time.Date(2020, 3, 1, 12, 0, 0, 0, time.UTC)
	for i, peer := range []string{"a", "b", "", "a"} {
		l.Add(Event{Kind: SessionUp, Peer: peer, Cause: fmt.Sprint(i), Time: At(begin.Add(time.Duration(i) * time.Minute))})
	}
	for _, c := range []struct {
		q    Query
		want string
	}{
		{Query{}, "[0 1 2 3]"},
		{Query{Peer: "a"}, "[0 3]"},
		{Query{Since: begin.Add(time.Minute)}, "[1 2 3]"},
		{Query{Peer: "a", Since: begin.Add(time.Second)}, "[3]"},
		{Query{Last: 2}, "[2 3]"},
		{Query{Peer: "c"}, "[]"},
	} {
		if got, _, _ := l.Select(c.q); fmt.Sprint(causes(got)) != c.want {
			t.Errorf("%+v: %v, want %s", c.q, causes(got), c.want)
		}
	}
	_, next, changed := l.Select(Query{})
	select {
	case <-changed:
		t.Fatal("changed, though nothing is")
	default:
	}
	l.Add(Event{Kind: SessionDown, Cause: "4"})
	<-changed
	if got, _, _ := l.Select(Query{From: next}); fmt.Sprint(causes(got)) != "[4]" {
		t.Errorf("%v", causes(got))
	}
}

// Where the clock was ahead and was set back, what happened before is no newer than what happened after it.
func TestSelectWhereTheClockWasSetBack(t *testing.T) {
	l := New(nil)
	now := time.Now()
	for _, ago := range []time.Duration{
		-9000 * time.Hour, 10 * time.Hour, // set back ten hours ago
		-8000 * time.Hour, -8001 * time.Hour, time.Hour, // and an hour ago
		-ahead / 2,                     // a little is no matter
		20000 * time.Hour, time.Minute, // a start without a date
		-7000 * time.Hour, // the clock is ahead now
	} {
		l.Add(Event{Kind: SessionDown, Cause: ago.String(), Time: At(now.Add(-ago))})
	}
	for _, c := range []struct {
		ago  time.Duration
		want string
	}{
		{time.Second, "[-30s -7000h0m0s]"},
		{2 * time.Minute, "[-30s 1m0s -7000h0m0s]"},
		{2 * time.Hour, "[-8000h0m0s -8001h0m0s 1h0m0s -30s 1m0s -7000h0m0s]"},
		{24 * time.Hour, "[-9000h0m0s 10h0m0s -8000h0m0s -8001h0m0s 1h0m0s -30s 1m0s -7000h0m0s]"},
	} {
		if got, _, _ := l.Select(Query{Since: now.Add(-c.ago)}); fmt.Sprint(causes(got)) != c.want {
			t.Errorf("%v ago: %v, want %s", c.ago, causes(got), c.want)
		}
	}
}

// limitedVariable tells the test binary that it is a process of TestFullDisk's, whose limits are no other test's.
const limitedVariable = "WARREN_HISTORY_LIMITED"
