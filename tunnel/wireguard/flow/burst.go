package flow

// maxParts bounds how many pieces of memory one send takes its messages from.
const maxParts = 4

// Burst is the messages of one send, which the kernel cuts (UDP_SEGMENT): all of one size but
// the last, which may be shorter, and of one traffic class.
type Burst struct {
	parts [][]byte // in their order, each of whole messages
	size  int      // of a message, in bytes
	count int
	bytes int
	class uint8 // the traffic class of the outer packets, which the kernel takes one of for all
	own   bool  // it holds nobody's packet: who sends it has more to do than to wait for room in the socket
}

// Single is a burst of one message that holds no packet of anybody else, with the traffic class 0. Sending it does not
// wait.
func Single(msg []byte) *Burst {
	return &Burst{parts: [][]byte{msg}, size: len(msg), count: 1, bytes: len(msg), own: true}
}

// Parts returns the messages, in pieces of whole ones. They are the burst's.
func (b *Burst) Parts() [][]byte { return b.parts }

// take moves messages from the beginning of a run to the end of the burst, as many as there is
// room for, and reports whether there were any.
func (b *Burst) take(r *run) bool {
	if b.count == 0 {
		b.size, b.class = r.size, r.class
	}
	if b.full() || r.class != b.class || r.size > b.size || r.size < b.size && r.count > 1 {
		return false
	}
	n := max(1, min(r.count, maxSegments-b.count, (MaxDatagram-b.bytes)/b.size))
	bytes := min(n*r.size, len(r.msgs))
	b.parts = append(b.parts, r.msgs[:bytes])
	b.bytes += bytes
	b.count += n
	r.msgs, r.count = r.msgs[bytes:], r.count-n
	return true
}

// full reports whether nothing can be added.
func (b *Burst) full() bool {
	return b.count > 0 && (b.bytes < b.count*b.size || b.count == maxSegments ||
		b.bytes+b.size > MaxDatagram || len(b.parts) == maxParts)
}

// reset removes all messages.
func (b *Burst) reset() {
	clear(b.parts)
	b.parts, b.size, b.count, b.bytes, b.class = b.parts[:0], 0, 0, 0, 0
}
