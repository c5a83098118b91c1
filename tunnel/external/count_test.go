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
		const keepalive = time.Hour
		var takes, packets atomic.Int64
		l, err := New(Config{Name: "b", Interface: "tun0", PeerAddress: netip.MustParseAddr("10.8.0.2"), Look: func(string) (Sight, error) {
			s := Sight{RxPackets: uint64(packets.Load())}
			time.Sleep(time.Duration(takes.Load()))
			return s, nil
		}, Keepalive: keepalive})
		if err != nil {
			t.Fatal(err)
		}
		packets.Store(1)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- l.Run(ctx) }()
		want := func(counted uint64) {
			t.Helper()
			synctest.Wait()
			began := time.Now()
			if st := l.Status(); st.Stats.RxPackets != counted || time.Since(began) > 0 {
				t.Errorf("%d packets after %v, want %d", st.Stats.RxPackets, time.Since(began), counted)
			}
			synctest.Wait() // for the look that follows
		}
		want(1)
		packets.Store(2)
		time.Sleep(keepalive)
		want(2)
		packets.Store(3)
		want(2)
		want(3)
		takes.Store(int64(time.Minute))
		packets.Store(4)
		want(3)
		want(3)
		takes.Store(0)
		time.Sleep(time.Minute)
		want(4)
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		want(4)
	})
}
