package protocol

import (
	"bytes"
	"encoding/binary"
	"time"
)

// timestamp is a TAI64N label: seconds since 1970 TAI plus 2^62, and nanoseconds,
// both big endian, so that labels sort as bytes do. A responder takes only
// initiations with a later one than it has seen (section 5.1).
type timestamp [12]byte

// coarse hides how the clock ticks: nanoseconds are cut to multiples of this. It
// is far below the time between two initiations.
const coarse = 1 << 24

func newTimestamp(t time.Time) (s timestamp) {
	binary.BigEndian.PutUint64(s[:], 1<<62+10+uint64(t.Unix()))
	binary.BigEndian.PutUint32(s[8:], uint32(t.Nanosecond())&^(coarse-1))
	return s
}

func (s *timestamp) after(other *timestamp) bool { return bytes.Compare(s[:], other[:]) > 0 }
