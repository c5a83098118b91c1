package flow

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Several goroutines take numbers, work on them for different times, and finish: what
// is handed on is in order, complete, and never handed on by two at once.
func TestReorder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const items, workers = 1000, 5
		var got []uint64
		var handing atomic.Int32
		announced := false
		r := newReorder(func(v *uint64, more bool) {
			if handing.Add(1) != 1 {
				t.Error("two hand on at once")
			}
			announced = more
			time.Sleep(rand.N(3 * time.Microsecond))
			got = append(got, *v)
			handing.Add(-1)
		})
		reading := make(chan struct{}, 1) // a mutex would stop the bubble's time
		var wg sync.WaitGroup
		for range workers {
			wg.Go(func() {
				for {
					reading <- struct{}{}
					number := r.number()
					if number >= items {
						r.finish(number, new(number))
						<-reading
						return
					}
					<-reading
					time.Sleep(rand.N(20 * time.Microsecond))
					r.finish(number, new(number))
				}
			})
		}
		wg.Wait()
		if announced {
			t.Error("nothing came after the last")
		}
		if !r.idle() || len(got) != items+workers {
			t.Fatalf("%d of %d handed on", len(got), items+workers)
		}
		for i, v := range got {
			if v != uint64(i) {
				t.Fatalf("number %d came as %d", v, i)
			}
		}
	})
}

// What is read while the first of all is still being worked on is bounded.
func TestReorderIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReorder(func(*int, bool) {})
		first := r.number()
		came := 1
		go func() {
			for range ahead {
				r.finish(r.number(), new(int))
				came++
			}
		}()
		synctest.Wait()
		if came != ahead || r.idle() {
			t.Fatalf("%d came, want %d", came, ahead)
		}
		r.finish(first, new(int))
		synctest.Wait()
		if came != ahead+1 || !r.idle() {
			t.Fatalf("%d came, want %d", came, ahead+1)
		}
	})
}
