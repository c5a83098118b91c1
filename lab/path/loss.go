package path

import (
	"fmt"
	"math/rand/v2"
)

// Loss is how packets get lost: each by itself, or several in a row. It is the model of Gilbert and
// Elliott, with states that pass all and none.
type Loss struct {
	Share float64 // of all packets, 0 to 0.5
	Run   float64 // packets that are lost in a row, on average; up to 1: each is lost by itself
}

// Check returns an error if there is no such path.
func (l Loss) Check() error {
	if !(l.Share >= 0 && l.Share <= 0.5) || !(l.Run >= 0 && l.Run <= 1e6) {
		return fmt.Errorf("%v of the packets lost, %v in a row: allowed are shares of 0 to 0.5, and rows of up to a million", l.Share, l.Run)
	}
	return nil
}

// loser decides of one packet after the other. It is not safe for concurrent use.
type loser struct {
	bad    bool
	random *rand.Rand
}

// loses reports whether the next packet gets lost.
func (l *loser) loses(how Loss) bool {
	if how.Share <= 0 {
		l.bad = false
		return false
	}
	if how.Run <= 1 {
		return l.random.Float64() < how.Share
	}
	// The share of the bad state is enter / (enter + leave).
	leave := 1 / how.Run
	enter := leave * how.Share / (1 - how.Share)
	if l.bad {
		l.bad = l.random.Float64() >= leave
	} else {
		l.bad = l.random.Float64() < enter
	}
	return l.bad
}
