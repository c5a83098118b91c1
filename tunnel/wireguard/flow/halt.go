package flow

// Halt has nothing more be read, from the sockets and from the interfaces: what comes waits in the kernel.
// What was read before goes on its way. Resume ends that.
func (f *Flow) Halt() {
	halted := make(chan struct{})
	f.halted.CompareAndSwap(nil, &halted)
}

// Resume has all be read again.
func (f *Flow) Resume() {
	if halted := f.halted.Swap(nil); halted != nil {
		close(*halted)
	}
}

// waitHalt waits while nothing is to be read.
func (f *Flow) waitHalt() {
	if halted := f.halted.Load(); halted != nil {
		<-*halted
	}
}
