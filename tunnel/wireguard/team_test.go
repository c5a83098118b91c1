package wireguard

import (
	"sync"
	"sync/atomic"
	"testing"
)

// A team grows while it lets go of the reading, never beyond what there is to spare, and
// gives back all but its first member when it ends.
func TestTeam(t *testing.T) {
	const spare, rounds = 3, 10_000
	var left atomic.Int32
	left.Store(spare)
	var running sync.WaitGroup
	var team *team
	var read, most, at atomic.Int32
	readers := 0 // of the one who reads
	team = newTeam(&left, &running, func() {
		if n := at.Add(1); n > most.Load() {
			most.Store(n)
		}
		defer at.Add(-1)
		for {
			if readers++; readers != 1 {
				t.Error("two read at once")
			}
			readers--
			done := read.Add(1) > rounds
			team.release()
			if done {
				return
			}
			team.grow()
			if !team.read() {
				return
			}
		}
	})
	team.start()
	running.Wait()
	if most.Load() > 1+spare || left.Load() != spare || team.members.Load() != 0 {
		t.Errorf("%d worked at once, %d to spare and %d members afterwards", most.Load(), left.Load(), team.members.Load())
	}
	if read.Load() <= rounds {
		t.Errorf("%d reads, and then nobody went on", read.Load())
	}
}
