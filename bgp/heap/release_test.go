package heap

import (
	"context"
	"testing"
)

func TestPeak(t *testing.T) {
	var p Peak
	for _, c := range []struct {
		now  int
		want bool
	}{
		{LargeTable - 1, false}, {0, false}, // no large one
		{2 * LargeTable, false}, {LargeTable/2 + 1, false}, {LargeTable / 2, true}, {LargeTable / 2, false}, {0, false}, // once
		{4 * LargeTable, false}, {0, true}, // and again
	} {
		if got := p.Shrunk(c.now); got != c.want {
			t.Errorf("%d prefixes: %v, want %v", c.now, got, c.want)
		}
	}
}

// A Releaser that is at work already does not start again, and ends with its context.
func TestRelease(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var r Releaser
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.Release(ctx)
	}()
	for !r.working.Load() {
		select {
		case <-done:
			t.Fatal("it has ended")
		default:
		}
	}
	r.Release(t.Context()) // returns, although its context is not done
	select {
	case <-done:
		t.Error("it has ended")
	default:
	}
	cancel()
	<-done
}
