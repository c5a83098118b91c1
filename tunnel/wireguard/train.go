package wireguard

// maxParts bounds the places that the messages of one send are in.
const maxParts = 4

// train is messages that leave with one send: of one size but for the last, which may be
// shorter.
type train struct {
	parts [][]byte // in their order, each of whole messages
	size  int      // of a message, in bytes
	count int
	bytes int
}

// single is a message that leaves alone.
func single(msg []byte) *train {
	return &train{parts: [][]byte{msg}, size: len(msg), count: 1, bytes: len(msg)}
}

// take moves messages from the beginning of a run to the end of the train, as many as
// there is room for, and reports whether there were any.
func (t *train) take(r *run) bool {
	if t.count == 0 {
		t.size = r.size
	}
	if t.full() || r.size > t.size || r.size < t.size && r.count > 1 {
		return false
	}
	n := max(1, min(r.count, maxSegments-t.count, (maxDatagram-t.bytes)/t.size))
	bytes := min(n*r.size, len(r.msgs))
	t.parts = append(t.parts, r.msgs[:bytes])
	t.bytes += bytes
	t.count += n
	r.msgs, r.count = r.msgs[bytes:], r.count-n
	return true
}

// full reports whether nothing can be added.
func (t *train) full() bool {
	return t.count > 0 && (t.bytes < t.count*t.size || t.count == maxSegments ||
		t.bytes+t.size > maxDatagram || len(t.parts) == maxParts)
}

// empty begins anew.
func (t *train) empty() {
	clear(t.parts)
	t.parts, t.size, t.count, t.bytes = t.parts[:0], 0, 0, 0
}
