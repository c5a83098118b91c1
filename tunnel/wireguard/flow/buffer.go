package flow

import "sync"

// buffer has room for whatever is read or made at once: a datagram, some frames of an
// interface, the last of which may be as large as they get, or the messages made of
// those with the usual size of segments. One size for all of these keeps what is in
// nobody's hands small.
type buffer [80 << 10]byte

// buffers are held only while they are in use.
var buffers = sync.Pool{New: func() any { return new(buffer) }}

func newBuffer() *buffer { return buffers.Get().(*buffer) }

func (b *buffer) release() { buffers.Put(b) }
