package wire

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Kind says what a frame holds.
type Kind uint8

// The kinds that the daemon sends, with the payload's type. Start is the first frame.
const (
	KindStart    Kind = 1 // Start
	KindWant     Kind = 2 // Want
	KindSettings Kind = 3 // Settings
	KindStop     Kind = 4 // none: end the sessions, then the process
	KindAsk      Kind = 5 // Ask
	KindPing     Kind = 6 // Ping
)

// The kinds that the speaker's process sends. Ready is the first frame.
const (
	KindReady     Kind = 16 // Ready
	KindRoutes    Kind = 17 // see routes.go
	KindNeighbors Kind = 18 // Neighbors
	KindSettled   Kind = 19 // Settled
	KindEvent     Kind = 20 // Event
	KindServing   Kind = 21 // Serving
	KindExplained Kind = 22 // Explained
	KindParted    Kind = 23 // Parted
	KindPong      Kind = 24 // Ping, with the number that it answers
)

// Bounds of a payload, in bytes.
const (
	MaxFromSpeaker = 1 << 20
	MaxFromDaemon  = 256 << 20 // a thousand neighbors with ten thousand filters each
)

// frameHeader is the length of what is before the payload: four bytes of the payload's length, the
// most significant first, and the kind.
const frameHeader = 5

// A Reader reads frames. Its buffer is kept for the next frame unless it is large.
type Reader struct {
	r   *bufio.Reader
	max int
	buf []byte
}

// NewReader reads frames with payloads of at most most bytes.
func NewReader(r io.Reader, most int) *Reader {
	return &Reader{r: bufio.NewReaderSize(r, 64<<10), max: most}
}

// keepBuffer is the size of the largest buffer that is kept.
const keepBuffer = 256 << 10

// Read returns the next frame. The payload is valid until the next call. At the end of
// the stream between two frames the error is io.EOF.
func (r *Reader) Read() (Kind, []byte, error) {
	var h [frameHeader]byte
	if _, err := io.ReadFull(r.r, h[:]); err != nil {
		return 0, nil, err
	}
	n := int(binary.BigEndian.Uint32(h[:]))
	if n > r.max {
		return 0, nil, fmt.Errorf("wire: a message of %d bytes; at most %d are allowed", n, r.max)
	}
	if n > cap(r.buf) || cap(r.buf) > keepBuffer {
		r.buf = make([]byte, n)
	}
	if _, err := io.ReadFull(r.r, r.buf[:n]); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return 0, nil, err
	}
	return Kind(h[frameHeader-1]), r.buf[:n], nil
}

// Append appends a frame whose payload is v in JSON, or empty if v is nil.
func Append(dst []byte, k Kind, v any) ([]byte, error) {
	var payload []byte
	if v != nil {
		var err error
		if payload, err = json.Marshal(v); err != nil {
			return dst, fmt.Errorf("wire: %w", err)
		}
	}
	return append(appendHeader(dst, k, len(payload)), payload...), nil
}

func appendHeader(dst []byte, k Kind, length int) []byte {
	return append(binary.BigEndian.AppendUint32(dst, uint32(length)), byte(k))
}

// Decode reads a payload of JSON.
func Decode(payload []byte, v any) error {
	if err := json.Unmarshal(payload, v); err != nil {
		return fmt.Errorf("wire: %w", err)
	}
	return nil
}
