package protocol

import (
	"net/netip"
	"time"
)

// Limits on handshakes. An initiation costs a core some 0.1 ms, 0.4 ms if it is answered,
// and a cookie some 5 µs.
const (
	defaultHandshakes = 1000            // a second
	cookies           = 10_000          // a second, and a fifth of it at once
	calm              = time.Second     // how long cookies are asked for after too many
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
	if b.refill(now, rate, burst); b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

func (b *bucket) refill(now time.Time, rate, burst float64) {
	if b.filled.IsZero() {
		b.tokens = burst
	} else if d := now.Sub(b.filled); d > 0 {
		b.tokens = min(burst, b.tokens+d.Seconds()*rate)
	}
	b.filled = now
}

// load measures how many handshake messages arrive.
type load struct {
	rate    float64 // messages a second that are no load; its burst too
	all     bucket
	proven  bucket    // of those with a cookie, as a bot net can have; the same rate
	cookies bucket    // that are handed out
	until   time.Time // under load until then
	sources map[netip.Prefix]*bucket
	swept   time.Time // when idle sources were forgotten last
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
	key := sourceOf(from)
	if !key.IsValid() {
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
	return b.take(now, perSource, sourceBurst) && l.proven.take(now, l.rate, l.rate)
}

// forgetIdle makes room, if it can. It takes long, so that it is not done for each of many.
func (l *load) forgetIdle(now time.Time) bool {
	if now.Sub(l.swept) < sourceIdle {
		return false
	}
	l.swept = now
	for key, b := range l.sources {
		if now.Sub(b.filled) >= sourceIdle {
			delete(l.sources, key)
		}
	}
	return len(l.sources) < maxSources
}
