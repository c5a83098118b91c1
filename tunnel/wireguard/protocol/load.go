package protocol

import (
	"net/netip"
	"time"
)

// Limits on handshakes. One costs a core some 0.2 ms.
const (
	defaultHandshakes = 1000            // a second, before cookies are asked for
	calm              = time.Second     // how long cookies are asked for after that
	perSource         = 20              // handshakes a second and source, while they are
	sourceBurst       = 5               //
	maxSources        = 4096            // that are told apart
	sourceIdle        = 1 * time.Second // after which a source's bucket is full again
)

// bucket is a token bucket. Its zero value is empty and was filled long ago.
type bucket struct {
	tokens float64
	filled time.Time
}

func (b *bucket) take(now time.Time, rate, burst float64) bool {
	return b.takeN(now, 1, rate, burst)
}

// takeN takes n tokens, or as many as the bucket can hold.
func (b *bucket) takeN(now time.Time, n, rate, burst float64) bool {
	n = min(n, burst)
	if b.filled.IsZero() {
		b.tokens = burst
	} else if d := now.Sub(b.filled); d > 0 {
		b.tokens = min(burst, b.tokens+d.Seconds()*rate)
	}
	b.filled = now
	if b.tokens < n {
		return false
	}
	b.tokens -= n
	return true
}

// load measures how many handshake messages arrive.
type load struct {
	rate    float64 // messages a second that are no load; its burst too
	all     bucket
	until   time.Time // under load until then
	sources map[netip.Prefix]*bucket
}

// under counts a message, and reports whether there are too many.
func (l *load) under(now time.Time) bool {
	if !l.all.take(now, l.rate, l.rate) {
		l.until = now.Add(calm)
	}
	if now.Before(l.until) {
		return true
	}
	l.sources = nil
	return false
}

// allow limits a source that has shown a cookie, and so that it is where it says.
// Sources are IPv4 addresses and IPv6 /64s.
func (l *load) allow(now time.Time, from netip.Addr) bool {
	from = from.Unmap().WithZone("")
	bits := 32
	if from.Is6() {
		bits = 64
	}
	key, err := from.Prefix(bits)
	if err != nil {
		return false
	}
	b := l.sources[key]
	if b == nil {
		if len(l.sources) >= maxSources && !l.forgetIdle(now) {
			return false
		}
		if l.sources == nil {
			l.sources = make(map[netip.Prefix]*bucket)
		}
		b = new(bucket)
		l.sources[key] = b
	}
	return b.take(now, perSource, sourceBurst)
}

// forgetIdle makes room, if it can.
func (l *load) forgetIdle(now time.Time) bool {
	for key, b := range l.sources {
		if now.Sub(b.filled) >= sourceIdle {
			delete(l.sources, key)
		}
	}
	return len(l.sources) < maxSources
}
