package path

import (
	"math"
	"math/rand/v2"
	"testing"
)

// What gets lost has the share and the length that were asked for.
func TestLoss(t *testing.T) {
	for _, want := range []Loss{{Share: 0}, {Share: 0.01}, {Share: 0.01, Run: 1}, {Share: 0.01, Run: 8}, {Share: 0.3, Run: 3}} {
		if err := want.Check(); err != nil {
			t.Error(err)
		}
		l := newLoser(want)
		l.random = rand.New(rand.NewPCG(1, 2)).Float64
		const packets = 2_000_000
		lost, runs, before := 0, 0, false
		for range packets {
			now := l.loses()
			if now {
				lost++
			}
			if now && !before {
				runs++
			}
			before = now
		}
		if got := float64(lost) / packets; math.Abs(got-want.Share) > 0.1*want.Share {
			t.Errorf("%+v: %v are lost", want, got)
		}
		if length := float64(lost) / float64(max(runs, 1)); want.Run > 1 && math.Abs(length-want.Run) > 0.1*want.Run {
			t.Errorf("%+v: %v in a row", want, length)
		}
	}
	for _, bad := range []Loss{{Share: -0.1}, {Share: 0.6}, {Share: math.NaN()}, {Run: -1}, {Run: math.NaN()}} {
		if bad.Check() == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}
