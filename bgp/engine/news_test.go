package engine

import (
	"sync"
	"testing"
)

// News is told in the order in which it happened, however many goroutines tell it, and
// has been told when tell returns.
func TestNewsIsToldInOrder(t *testing.T) {
	const events, goroutines = 2000, 8
	var s Speaker
	next, got := 0, []int(nil) // what happens next, by mu; what was told, by news.telling
	var work sync.WaitGroup
	for range goroutines {
		work.Go(func() {
			for {
				s.mu.Lock()
				n := next
				if n == events {
					s.mu.Unlock()
					return
				}
				next++
				told := false
				s.news.pending = append(s.news.pending, func() { got = append(got, n); told = true })
				s.mu.Unlock()
				s.tell()
				s.news.telling.Lock()
				if !told {
					t.Errorf("%d was not told when tell returned", n)
				}
				s.news.telling.Unlock()
			}
		})
	}
	work.Wait()
	for i, n := range got {
		if i != n {
			t.Fatalf("%d was told in place %d", n, i)
		}
	}
	if len(got) != events {
		t.Errorf("%d of %d were told", len(got), events)
	}
}
