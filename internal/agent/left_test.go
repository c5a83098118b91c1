package agent

import (
	"testing"
	"time"

	"warren/tunnel/tun"
)

// A machine that is so busy that the time for a restart is over before all tunnels were tried once is given more: an
// interface that was left, and that its tunnel is about to take, is not removed.
func TestResumptionWaitsForTheStart(t *testing.T) {
	w := newWorld(t, router(peerConfig("b", 0)))
	n := &left{Tunnels: []leftTunnel{{Name: "b", Device: tun.Handover{Name: "if-b"}}}, Up: []string{"b"}}
	w.resuming, w.left = newResumption(n), newLeftovers(n)
	removed := 0
	w.left.also(func() ([]string, error) { removed++; return nil, nil })
	w.left.take("if-b")
	w.m.starting = true
	done := w.resuming.done
	w.resumed(true)
	if w.resuming == nil || removed > 0 || !w.resuming.timer.Reset(time.Hour) {
		t.Fatalf("the resumption is over, or has no end any more; %d removals", removed)
	}
	w.m.starting = false
	w.resumed(false)
	if w.resuming == nil {
		t.Fatal("the resumption is over, and a tunnel that was up is not there again")
	}
	w.resumed(true)
	if w.resuming != nil || removed != 1 {
		t.Fatalf("the resumption goes on; %d removals", removed)
	}
	<-done
}
