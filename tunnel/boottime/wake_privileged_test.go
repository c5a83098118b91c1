//go:build privileged

package boottime

import (
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"warren/internal/skip"
)

// The kernel tells when the clock is set, by a nanosecond here, as it does when the machine
// wakes up: that calls the same.
func TestTheKernelTellsWhenTheClockIsSet(t *testing.T) {
	set, err := clockSet(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		by := unix.Timex{Modes: unix.ADJ_SETOFFSET | unix.ADJ_NANO}
		by.Time.Usec = 1
		if _, err := unix.Adjtimex(&by); errors.Is(err, unix.EPERM) {
			skip.OutsideCI(t, "setting the clock is not allowed here")
		} else if err != nil {
			t.Fatal(err)
		}
		select {
		case <-set:
		case <-time.After(30 * time.Second):
			t.Fatal("not told that the clock was set")
		}
	}
	select {
	case <-set:
		t.Error("told once more")
	default:
	}
}
