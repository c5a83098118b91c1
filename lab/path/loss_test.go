package path

import (
	"math"
	"math/rand/v2"
	"testing"
)

// What gets lost has the share and the length that were asked for, in rows that have no memory: a row goes on with the
// same chance after each packet.
func TestLoss(t *testing.T) {
	for _, want := range []Loss{{Share: 0}, {Share: 0.01}, {Share: 0.01, Run: 1}, {Share: 0.01, Run: 8}, {Share: 0.3, Run: 3}} {
		if err := want.Check(); err != nil {
			t.Error(err)
		}
		l := loser{random: rand.New(rand.NewPCG(1, 2))}
		const packets = 2_000_000
		lost, runs, long, length := 0, 0, 0, 0
		for range packets {
			if !l.loses(want) {
				length = 0
				continue
			}
			lost++
			switch length++; length {
			case 1:
				runs++
			case 4:
				long++
			}
		}
		if got := float64(lost) / packets; math.Abs(got-want.Share) > 0.1*want.Share {
			t.Errorf("%+v: %v are lost", want, got)
		}
		if want.Run <= 1 {
			continue
		}
		if got := float64(lost) / float64(max(runs, 1)); math.Abs(got-want.Run) > 0.1*want.Run {
			t.Errorf("%+v: %v in a row", want, got)
		}
		goesOn := 1 - 1/want.Run
		if got, want4 := float64(long)/float64(max(runs, 1)), goesOn*goesOn*goesOn; math.Abs(got-want4) > 0.1*want4 {
			t.Errorf("%+v: %v of the rows have four packets or more, want %v", want, got, want4)
		}
	}
	for _, bad := range []Loss{{Share: -0.1}, {Share: 0.6}, {Share: math.NaN()}, {Run: -1}, {Run: math.NaN()}} {
		if bad.Check() == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}
