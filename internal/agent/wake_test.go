package agent

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"
)

// When the machine woke up all tunnels are told, and BGP sessions start again that the peer has
// ended meanwhile. The log says it once.
func TestWake(t *testing.T) {
	for _, c := range []struct {
		asleep time.Duration
		want   []string
	}{
		{3*time.Hour + 12*time.Minute, []string{"wake b", "wake c", "mend b", "mend c", "delete neighbor b", "add neighbor b"}},
		{holdTime, []string{"wake b", "wake c", "mend b", "mend c", "delete neighbor b", "add neighbor b"}},
		{holdTime - time.Second, []string{"wake b", "wake c", "mend b", "mend c"}},
	} {
		w := newWorld(t, router(peerConfig("b", 0), peerConfig("c", 1)))
		var said strings.Builder
		w.log = slog.New(slog.NewTextHandler(&said, nil))
		w.up(t, "b")
		mark := len(w.diary)
		said.Reset()
		w.wake(c.asleep)
		got := w.since(mark)
		for _, line := range c.want {
			if !slices.Contains(got, line) {
				t.Errorf("after %v: %q lacks %q", c.asleep, got, line)
			}
		}
		if len(got) != len(c.want) {
			t.Errorf("after %v: %q, want %q", c.asleep, got, c.want)
		}
		if strings.Count(said.String(), "woke up") != 1 || !strings.Contains(said.String(), "asleep="+c.asleep.String()) {
			t.Errorf("the log says %q", said.String())
		}
	}
}

// The loop takes the news of a sleep.
func TestLoopIsToldOfSleep(t *testing.T) {
	w := newWorld(t, router(peerConfig("b", 0)))
	woke := make(chan time.Duration)
	w.woke = woke
	mark := len(w.diary)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.run(ctx, func() {}) }()
	woke <- time.Hour
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if !slices.Contains(w.since(mark), "wake b") {
		t.Errorf("%q", w.since(mark))
	}
}
