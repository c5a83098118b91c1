package flow

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// refuse has the kernel have refused to cut what is sent to an address, or not.
func (s *Socket) refuse(to netip.AddrPort, refused bool) {
	if s.whole.of = nil; refused {
		s.whole.note(to, time.Now())
	}
	s.whole.some.Store(refused)
}

// TestRefusalIsOfOneDestination has an underlay that cannot cut, by which one of two peers is reached.
func TestRefusalIsOfOneDestination(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r refusals
		bad, good := netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("192.0.2.2:1")
		burst := &Burst{parts: [][]byte{make([]byte, 30)}, size: 10, count: 3, bytes: 30}
		refuses := true
		var whole, single int
		send := func(to netip.AddrPort) {
			t.Helper()
			whole, single = 0, 0
			if err := r.send(burst, to, func(_ [][]byte, size int) error {
				switch {
				case size == 0:
					single++
				case to == bad && refuses:
					whole++
					return unix.EIO
				default:
					whole++
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		want := func(step string, w, s int) {
			t.Helper()
			if whole != w || single != s {
				t.Errorf("%s: %d sends to be cut and %d of one message, want %d and %d", step, whole, single, w, s)
			}
		}
		send(bad)
		want("refused", 1, 3)
		send(bad)
		want("remembered", 0, 3)
		send(good)
		want("to another peer", 1, 0)
		time.Sleep(refusedFor)
		send(bad)
		want("tried again", 1, 3)
		time.Sleep(refusedFor)
		send(bad)
		want("a longer rest", 0, 3)
		time.Sleep(refusedFor)
		refuses = false
		send(bad)
		want("by another route", 1, 0)
		if r.some.Load() {
			t.Error("it is still remembered")
		}
		for i := range 2 * maxRefusals {
			r.note(netip.AddrPortFrom(bad.Addr(), uint16(i)), time.Now())
		}
		if n := len(r.of); n > maxRefusals {
			t.Errorf("%d destinations are remembered", n)
		}
	})
}
