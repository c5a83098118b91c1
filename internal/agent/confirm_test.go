package agent

import (
	"errors"
	"strings"
	"testing"
	"time"

	"warren/internal/config"
)

// No restart takes what was taken back, or what waits to be confirmed, as the next program knows of the files alone.
func TestRestartWhileTheFilesDiffer(t *testing.T) {
	before, bad := router(peerConfig("b", 0)), router(peerConfig("b", 0), peerConfig("c", 1))
	w := newWorld(t, before)
	refused := func(when, want string) {
		t.Helper()
		_, err := (&Agent{}).replace(w.loop, nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v", when, err)
		}
	}
	allowed := func(when string) {
		t.Helper()
		if err := w.mayRestart(); err != nil {
			t.Errorf("%s: %v", when, err)
		}
	}
	allowed("at first")
	w.tries(t, bad)
	refused("waiting", "waits to be confirmed until ")
	if _, err := w.undo(7); err != nil {
		t.Fatal(err)
	}
	w.turn()
	refused("taken back", "the files differ from what this router uses since it went back at ")
	w.load = func() (*config.Config, error) { return nil, errors.New("a mistake") }
	refused("with a mistake in the files", "put them back, or have `warren reload` take what they say, and restart then")
	other := router(peerConfig("b", 0))
	other.ASN++
	w.load = func() (*config.Config, error) { return other, nil }
	refused("with what a reload refuses", "the files differ")
	w.load = func() (*config.Config, error) { return router(peerConfig("b", 0)), nil }
	allowed("with the files as they were")
	w.load = func() (*config.Config, error) { return bad, nil }
	refused("with the bad files again", "the files differ")
	w.tries(t, bad)
	w.later(2 * time.Minute)
	refused("not confirmed", "the files differ")
	if _, err := w.reloadFor(7, 0); err != nil {
		t.Fatal(err)
	}
	allowed("after a reload")
}
