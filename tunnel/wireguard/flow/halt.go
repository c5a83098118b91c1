package flow

import "context"

// Halt has nothing more be read, from the sockets and from the interfaces: what comes waits in the kernel.
// It returns when what was read before has been sent and written, or ctx is done. Resume ends that.
func (f *Flow) Halt(ctx context.Context) {
	halted := make(chan struct{})
	f.halted.CompareAndSwap(nil, &halted)
	for f.batches.Load() > 0 {
		select {
		case <-f.landed:
		case <-ctx.Done():
			return
		}
	}
}

// Resume has all be read again.
func (f *Flow) Resume() {
	if halted := f.halted.Swap(nil); halted != nil {
		close(*halted)
	}
}

// isHalted reports whether nothing is to be read. A reader asks after it has called enter, so that Halt waits for what it
// reads otherwise.
func (f *Flow) isHalted() bool { return f.halted.Load() != nil }

// waitHalt waits while nothing is to be read.
func (f *Flow) waitHalt() {
	if halted := f.halted.Load(); halted != nil {
		<-*halted
	}
}

// flight is a batch on its way from its reader until what is in it was sent or written. The zero flight is of no Flow.
type flight struct{ of *Flow }

// enter begins it.
func (b *flight) enter(f *Flow) {
	b.of = f
	f.batches.Add(1)
}

// leave ends it, if it was begun.
func (b *flight) leave() {
	f := b.of
	if b.of = nil; f == nil || f.batches.Add(-1) > 0 || !f.isHalted() {
		return
	}
	select {
	case f.landed <- struct{}{}:
	default: // Halt has yet to look
	}
}
