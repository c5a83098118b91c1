package flow

import "testing"

// Large packets wake the link once, until it has looked after the path.
func TestLargePacketsAreNoticedOnce(t *testing.T) {
	e, _ := newPair(t, nearAddr, farAddr)
	woken := 0
	e.tunnel.Notify = func() { woken++ }
	e.tunnel.sendsLarge(LargePacket)
	if woken > 0 {
		t.Error("a small packet wakes the link")
	}
	for range 2 {
		for range 3 {
			e.tunnel.sendsLarge(1400)
		}
		if woken != 1 {
			t.Errorf("woken %d times, want once", woken)
		}
		woken = 0
		e.tunnel.Large.Store(false)
	}
}
