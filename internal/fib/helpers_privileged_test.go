//go:build privileged

package fib

import (
	"math/rand/v2"
	"testing"
	"time"
)

// newRand returns a source that a failing test names the seed of.
func newRand(t *testing.T) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	})
	return rand.New(rand.NewPCG(seed, 0))
}
