//go:build privileged

package tun

import (
	"errors"
	"os"
	"testing"
	"time"

	"warren/internal/netns"
)

// TestWriteDoesNotWaitForClose has the kernel keep a change of the interface waiting while it is closed: who writes to it
// serves other tunnels too.
func TestWriteDoesNotWaitForClose(t *testing.T) {
	netns.Test(t)
	d := open(t, Config{Name: "tt0", MTU: 1500, Queues: 2})
	held, release, changed := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		changed <- d.control("wait", func(int) error {
			close(held)
			<-release
			return nil
		})
	}()
	<-held
	closed := make(chan error, 1)
	go func() { closed <- d.Close() }()
	frame := make([]byte, HeaderLen+20)
	for end := time.Now().Add(time.Minute); !errors.Is(d.Write(frame), os.ErrClosed); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it is not closed for writers")
		}
	}
	select {
	case err := <-closed:
		t.Errorf("closed while the interface is being changed: %v", err)
	default:
	}
	close(release)
	if err := errors.Join(<-changed, <-closed); err != nil {
		t.Error(err)
	}
	wantGone(t, "tt0")
	if err := d.SetCarrier(true); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a carrier afterwards: %v", err)
	}
}
