package protocol

import (
	"bytes"
	"encoding/binary"
	"math"
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

// next is the earliest label that is later, of those that newTimestamp makes.
func (s *timestamp) next() (n timestamp) {
	seconds, nanoseconds := binary.BigEndian.Uint64(s[:]), binary.BigEndian.Uint32(s[8:])&^(coarse-1)+coarse
	if nanoseconds >= 1e9 {
		seconds, nanoseconds = seconds+1, 0
	}
	binary.BigEndian.PutUint64(n[:], seconds)
	binary.BigEndian.PutUint32(n[8:], nanoseconds)
	return n
}

// since is the time from another label to this one, at least 0, and at most 292 years.
func (s *timestamp) since(other *timestamp) time.Duration {
	seconds := int64(binary.BigEndian.Uint64(s[:]) - binary.BigEndian.Uint64(other[:]))
	if seconds < 0 || seconds >= math.MaxInt64/int64(time.Second) {
		return math.MaxInt64
	}
	nanoseconds := int64(binary.BigEndian.Uint32(s[8:])) - int64(binary.BigEndian.Uint32(other[8:]))
	return max(0, time.Duration(seconds)*time.Second+time.Duration(nanoseconds))
}

func (s *timestamp) after(other *timestamp) bool { return bytes.Compare(s[:], other[:]) > 0 }
