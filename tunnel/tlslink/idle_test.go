package tlslink

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"warren/tunnel"
)

func TestIdleTunnelsAreCheap(t *testing.T) {
	const links = 200
	a, b := secretPair(t)
	before := footprint()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	up := make(chan struct{}, 2*links)
	add := func(e *end, n int, remotes ...string) *Link {
		dev := newFakeDevice("p", MaxLanes)
		dev.keep = false
		l, err := e.endpoint.AddLink(LinkConfig{
			Name: "p", Trust: secretTrust(0), Link: uint16(n), Remotes: remotes, Device: dev,
			Keepalive: 10 * time.Second, DeadAfter: time.Minute,
			Events: func(ev tunnel.Event) {
				if ev.Up {
					up <- struct{}{}
				}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		running.Go(func() { l.Run(ctx) })
		return l
	}
	for n := range links {
		add(b, n)
		la := add(a, n, b.addr())
		<-up
		<-up
		la.dev.(*fakeDevice).queues[0] <- packet(60000) // so that buffers have been used
	}
	each := func() int64 { return (footprint() - before) / (2 * links) }
	poll(t, func() bool { return each() < idleCost }, func() string {
		return fmt.Sprintf("%d bytes for each end of an idle tunnel, want at most %d", each(), idleCost)
	})
	t.Logf("%d bytes for each end of an idle tunnel", each())
}

// footprint is the memory of what is in use, and of stacks, after what can be collected was. What lies free between that depends on the
// order in which a machine gets to things.
func footprint() int64 {
	runtime.GC()
	runtime.GC() // empties the pools
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
