package history

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// A history that is handed over goes on where it was: its events come before those to come, in their order, and each
// is in the file once, also those that could not be written before.
func TestHandOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history")
	f := File{path, 64 << 10}
	l, stop := start(t, f, nil)
	l.Add(Event{Kind: TunnelUp, Cause: "one"})
	settle(t, l)
	_, goOn, err := l.HandOver(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := l.HandOver(ended); err == nil {
		t.Error("handed over twice")
	}
	goOn() // as when the next program cannot be started
	l.Add(Event{Kind: TunnelDown, Cause: "two"})
	settle(t, l)
	stop() // what comes from now on is not written by this program
	l.Add(Event{Kind: TunnelUp, Cause: "three"})
	h, _, err := l.HandOver(t.Context())
	if err != nil || fmt.Sprint(causes(h.Events)) != "[one two three]" || h.Next-h.Written != 1 {
		t.Fatalf("%+v, %v", h, err)
	}
	data, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	var taken Handover
	if err := json.Unmarshal(data, &taken); err != nil {
		t.Fatal(err)
	}
	next := Resume(&taken, func(err error) {
		if err != nil {
			t.Error(err)
		}
	})
	next.SetFile(f)
	next.Add(Event{Kind: Restart, Cause: "four"})
	over, end := context.WithCancel(t.Context())
	end()
	if err := next.Run(over); err != nil {
		t.Fatal(err)
	}
	if got, _, _ := next.Select(Query{}); fmt.Sprint(causes(got)) != "[one two three four]" {
		t.Errorf("%v", causes(got))
	}
	if got := lines(t, path); fmt.Sprint(causes(got)) != "[one two three four]" {
		t.Errorf("the file has %v", causes(got))
	}
}

// What is handed over is bounded, and so is what is taken, whatever a program has left.
func TestHandOverIsBounded(t *testing.T) {
	l := New(nil)
	text := strings.Repeat("x", maxText)
	for i := range capacity {
		l.Add(Event{Kind: TunnelUp, Cause: fmt.Sprint(i, " ", text), Remote: text, By: text})
	}
	h, _, err := l.HandOver(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(h)
	if n := len(h.Events); err != nil || len(data) > maxHandover+1024 || n < 500 || !strings.HasPrefix(h.Events[n-1].Cause, fmt.Sprint(capacity-1)) {
		t.Errorf("%d events in %d bytes, %v", len(h.Events), len(data), err)
	}
	// Those that are left out and were not in the file are told of as lost.
	path := filepath.Join(t.TempDir(), "history")
	next := Resume(&h, func(error) {})
	next.SetFile(File{path, 64 << 20})
	over, end := context.WithCancel(t.Context())
	end()
	if err := next.Run(over); err != nil {
		t.Fatal(err)
	}
	if got := lines(t, path); got[0].Kind != Lost || int(got[0].Count) != capacity-len(h.Events) || len(got) != len(h.Events)+1 {
		t.Errorf("%d lines, the first %+v", len(got), got[0])
	}

	many := Handover{Next: 3, Written: 1 << 60}
	for range 2 * capacity {
		many.Events = append(many.Events, Event{Kind: TunnelUp, Cause: strings.Repeat("x", 9*maxText)})
	}
	next = Resume(&many, func(error) {})
	next.Add(Event{Kind: TunnelUp})
	got, _, _ := next.Select(Query{})
	if len(got) != capacity || len(got[0].Cause) > 2*maxText || next.written > next.next {
		t.Errorf("%d events, the first of %d bytes, written up to %d of %d", len(got), len(got[0].Cause), next.written, next.next)
	}
	if got, _, _ := Resume(nil, nil).Select(Query{}); len(got) != 0 {
		t.Errorf("%v", got)
	}
}
