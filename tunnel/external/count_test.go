package external

import (
	"context"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestStatusDoesNotWait has the kernel keep everybody waiting: Status has the counters of before, and
// newer ones when there are any.
func TestStatusDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var takes, packets atomic.Int64
		l, err := New(Config{Name: "b", Interface: "tun0", PeerAddress: netip.MustParseAddr("10.8.0.2"), Look: func(string) (Sight, error) {
			s := Sight{RxPackets: uint64(packets.Load())}
			time.Sleep(time.Duration(takes.Load()))
			return s, nil
		}, Keepalive: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- l.Run(ctx) }()
		want := func(counted uint64, within time.Duration) {
			t.Helper()
			synctest.Wait()
			began := time.Now()
			if st := l.Status(); st.Stats.RxPackets != counted || time.Since(began) > within {
				t.Errorf("%d packets after %v, want %d", st.Stats.RxPackets, time.Since(began), counted)
			}
		}
		packets.Store(1)
		want(1, 0)
		takes.Store(int64(time.Minute))
		packets.Store(2)
		want(1, countWithin)
		packets.Store(3)
		want(1, countWithin)
		time.Sleep(time.Minute)
		takes.Store(0)
		packets.Store(4)
		want(4, 0)
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		packets.Store(5)
		want(4, countWithin)
	})
}
