package flow

import (
	"context"
	"net/netip"
	"sync"
	"testing"
	"time"

	"warren/tunnel/wireguard/flow/flowtest"
)

// slow is a sender whose first send takes until it is let go.
type slow struct {
	*sends
	once       sync.Once
	begun, let chan struct{}
}

func (s *slow) Send(b *Burst, to netip.AddrPort, from netip.Addr) error {
	s.once.Do(func() {
		close(s.begun)
		<-s.let
	})
	return s.sends.Send(b, to, from)
}

// What was read before Halt has been sent when it returns, also what waited for more.
func TestHaltWaits(t *testing.T) {
	a, _ := newPair(t, nearAddr, farAddr)
	out := &slow{sends: &sends{t: t}, begun: make(chan struct{}), let: make(chan struct{})}
	a.tunnel.Out = out
	var running sync.WaitGroup
	a.dev.Frames <- flowtest.TCP(0, 1000)
	a.tunnel.Start(0, &running, func(err error) { t.Error(err) })
	<-out.begun
	let, returned := sync.OnceFunc(func() { close(out.let) }), make(chan struct{})
	go func() {
		defer let()
		for !a.f.isHalted() {
			select {
			case <-returned:
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	a.f.Halt(ctx)
	if len(out.bursts) != 1 {
		t.Errorf("%d bursts were sent", len(out.bursts))
	}
	// The reader may be about to see that nothing is to be read, with a batch that it gives back.
	for a.f.batches.Load() != 0 {
		if time.Sleep(time.Millisecond); ctx.Err() != nil {
			t.Fatalf("%d batches are on their way", a.f.batches.Load())
		}
	}
	close(returned)
	a.f.Resume()
	a.dev.Close()
	running.Wait()
}

// What waits for a frame that was there before Halt is sent without it, and the frame stays where it is.
func TestHaltSendsWhatIsHeld(t *testing.T) {
	a, _ := newPair(t, nearAddr, farAddr)
	out := &sends{t: t}
	a.tunnel.Out = out
	o := newOutbound(a.tunnel, 0, new(sync.WaitGroup), func(err error) { t.Error(err) })
	a.dev.Frames <- flowtest.TCP(0, 1000)
	a.dev.Frames <- flowtest.TCP(1000, 1000)
	b, _, _ := o.read()
	a.tunnel.seal(b)
	o.sender.hand(b, o.stage.readable())
	if n := len(out.bursts); n != 0 {
		t.Fatalf("%d bursts were sent", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	a.f.Halt(ctx)
	read := make(chan *outboundBatch)
	go func() {
		b, _, _ := o.read()
		read <- b
	}()
	select {
	case b = <-read:
	case <-time.After(patience):
		t.Fatal("what is held waits until more may be read")
	}
	a.tunnel.seal(b)
	o.sender.hand(b, o.stage.readable())
	if n := a.f.batches.Load(); n != 0 || len(out.bursts) != 1 || len(a.dev.Frames) != 1 {
		t.Errorf("%d batches are on their way, %d bursts were sent, %d wait", n, len(out.bursts), len(a.dev.Frames))
	}
}

// What was received before Halt has been written when it returns, and what comes later is not lost.
func TestHaltLosesNothing(t *testing.T) {
	a, b := newRunningPair(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	const packets = 200
	got := 0
	count := func() {
		written, _ := b.dev.Take()
		for _, f := range written {
			got += (len(f) - 50) / 100
		}
	}
	for n := range packets {
		a.dev.Frames <- flowtest.TCP(uint32(100*n), 100)
		if n%20 == 10 {
			b.f.Halt(ctx)
			count()
			before := got
			a.f.Halt(ctx)
			a.f.Resume()
			if count(); got != before {
				t.Fatalf("%d packets were written after nothing more was to be read", got-before)
			}
			b.f.Resume()
		}
	}
	for ; got < packets; time.Sleep(time.Millisecond) {
		if count(); ctx.Err() != nil {
			t.Fatalf("%d of %d packets came", got, packets)
		}
	}
}
