package protocol

// The window has a ring of bits, of which one word is always being reused.
const (
	windowWords = 8192 / 64
	windowSize  = (windowWords - 1) * 64 // how far a counter may lie behind
)

// window remembers which counters of a session have been seen, by the method of
// RFC 6479: a ring of words, of which those that the highest counter passes are
// cleared. Its zero value has seen nothing.
type window struct {
	top  uint64 // one more than the highest counter seen
	bits [windowWords]uint64
}

// see reports whether counter is new, and notes it. It is called only with
// counters that are authentic.
func (w *window) see(counter uint64) bool {
	if counter >= rejectAfterMessages {
		return false
	}
	word := counter / 64
	switch {
	case counter >= w.top:
		w.advance(counter)
	case w.top-counter > windowSize:
		return false
	}
	at, bit := &w.bits[word%windowWords], uint64(1)<<(counter%64)
	if *at&bit != 0 {
		return false
	}
	*at |= bit
	return true
}

// advance clears the words between the highest counter so far and a higher one.
func (w *window) advance(counter uint64) {
	if w.top > 0 {
		last := (w.top - 1) / 64
		for i := range min(counter/64-last, windowWords) {
			w.bits[(last+1+i)%windowWords] = 0
		}
	}
	w.top = counter + 1
}
