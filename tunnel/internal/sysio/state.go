package sysio

import "syscall"

// State asks about a descriptor that somebody else reads. It is for one goroutine at a
// time.
type State struct {
	raw      syscall.RawConn
	ask      func(fd uintptr) // made once, so that asking allocates nothing
	readable bool
}

// NewState returns the State of a connection, which must outlive it. Readable asks: it is
// [Readable] or [Received].
func NewState(raw syscall.RawConn, readable func(fd int) bool) *State {
	s := &State{raw: raw}
	s.ask = func(fd uintptr) { s.readable = readable(int(fd)) }
	return s
}

// Readable asks, without waiting, whether a read would return something, be it an error.
// Nothing is to be read from what is closed.
func (s *State) Readable() bool { return s.raw.Control(s.ask) == nil && s.readable }
