package tlslink

import (
	"errors"
	"os"
	"testing"
	"time"
)

// Attempts that get no answer in time have later ones wait for longer, until one gets through.
func TestFar(t *testing.T) {
	var f far
	expect := func(set, want time.Duration) {
		t.Helper()
		if got := f.connectTimeout(set); got != want {
			t.Errorf("%v, want %v", got, want)
		}
	}
	expect(2*time.Second, 2*time.Second)
	f.connected(os.ErrDeadlineExceeded)
	expect(2*time.Second, 2*time.Second)
	f.connected(errors.New("refused"))
	f.connected(os.ErrDeadlineExceeded)
	expect(2*time.Second, handshakeTimeout)
	expect(time.Minute, time.Minute)
	f.connected(nil)
	expect(2*time.Second, 2*time.Second)
}
