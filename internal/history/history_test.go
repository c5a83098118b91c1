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
