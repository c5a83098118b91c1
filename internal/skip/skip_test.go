package skip

import (
	"runtime"
	"testing"
)

// recorder is a test that notes how it was ended.
type recorder struct {
	testing.TB
	ended string
}

func (r *recorder) Helper() {}

func (r *recorder) Fatalf(string, ...any) { r.ended = "failed"; runtime.Goexit() }

func (r *recorder) Skipf(string, ...any) { r.ended = "skipped"; runtime.Goexit() }

func TestOutsideCI(t *testing.T) {
	for ci, want := range map[string]string{"true": "failed", "": "skipped"} {
		t.Setenv("CI", ci)
		r := &recorder{TB: t}
		done := make(chan struct{})
		go func() {
			defer close(done)
			OutsideCI(r, "no %s here", "processor")
			r.ended = "not at all"
		}()
		<-done
		if r.ended != want {
			t.Errorf("CI=%q: the test ended %s, want %s", ci, r.ended, want)
		}
	}
}
