package main

import (
	"testing"
	"time"
)

// TestAssessPairs: what counts is when packets were sent that arrived, and a pair that is parted to the end is
// parted until then.
func TestAssessPairs(t *testing.T) {
	began := time.Now()
	pair := func(arrived ...bool) *spokePair {
		p := &spokePair{arrived: arrived}
		for i := range arrived {
			p.sent = append(p.sent, began.Add(time.Duration(i)*spokeInterval))
		}
		return p
	}
	got := assessPairs(map[[2]int]*spokePair{
		{0, 1}: pair(true, true, true, true, true, true),
		{1, 2}: pair(true, false, false, true, true, true),
		{2, 0}: pair(true, true, false, false, false, false),
	})
	if want := (spokeFigures{medianMS: millis(3 * spokeInterval), worstMS: millis(4 * spokeInterval), lost: 6}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := assessPairs(nil); got != (spokeFigures{}) {
		t.Errorf("of no pairs: %+v", got)
	}
}
