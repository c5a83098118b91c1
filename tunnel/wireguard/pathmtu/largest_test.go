package pathmtu

import (
	"testing"
	"time"
)

// The longest packet becomes less and more under way. What had found nothing to vanish follows at once.
func TestLargestChanges(t *testing.T) {
	p := newPath(t, 1420)
	p.Restart(p.now)
	p.wait(time.Second)
	p.SetLargest(p.now, 1320)
	if p.Limit() != 1320 || p.Largest() != 1320 {
		t.Fatalf("limit %d", p.Limit())
	}
	p.wait(time.Minute)
	p.SetLargest(p.now, 1420)
	if p.Limit() != 1420 {
		t.Errorf("limit %d, want the largest again", p.Limit())
	}
	// What vanishes at the new size is found.
	p.SetLargest(p.now, 1320)
	p.passes = 1350
	p.wait(time.Minute)
	p.SetLargest(p.now, 1420)
	p.wait(time.Minute)
	if p.Limit() != 1350 {
		t.Errorf("limit %d, want what passes", p.Limit())
	}
	// It stays when more is allowed, until more passes.
	p.SetLargest(p.now, 1500)
	if p.Limit() != 1350 {
		t.Errorf("limit %d, want what passes still", p.Limit())
	}
	p.Stop()
	p.SetLargest(p.now, 1400)
	if due := p.Due(); !due.IsZero() {
		t.Error("a search that was stopped goes on")
	}
}
