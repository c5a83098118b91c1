package tlslink

import (
	"fmt"
	"net/netip"
	"sync"
	"time"
)

// A path may drop large packets without the ICMP error that would say so (RFC 2923,
// section 2.1). TCP then repeats its full segments for ever, while connecting and all that
// is small works. The first packets of a handshake are full in both directions, the TLS
// hello with 1,470 bytes and its answer with 1,895: so it is the handshake that gets no
// answer. The dialing end bounds the segments of both ends, its own and, by the MSS option
// of its SYN, those of the other (RFC 9293, section 3.7.1).

// smallSegments are the sizes that are tried in turn, in bytes. Packets with the first have
// 1,260 bytes at most, headers included, which every IPv6 path carries (RFC 8200, section
// 5); with the second 576, as every IPv4 host takes (RFC 791).
var smallSegments = [...]int{1200, 536}

// testedSegments are what a handshake tests: its first packets are no larger. A path that
// has let a handshake through and bulk vanish gets no larger ones for some hours.
const testedSegments = 1420

const (
	firstTrial    = time.Minute // after which it is tried without small segments again
	lastTrial     = time.Hour   // the longest pause between such trials; each is twice the one before
	forgetPath    = 4 * time.Hour
	maxNarrowings = 64 // addresses that are remembered
)

// segments remembers at which addresses large packets vanish, and so how large the segments
// of the next connection are. Its methods may be called from any goroutine; the zero value is
// ready to use.
type segments struct {
	first time.Duration // instead of firstTrial, if it is not 0

	mu sync.Mutex
	of map[netip.Addr]*narrowing
}

// narrowing is what is known of the path to one address.
type narrowing struct {
	open    int           // the size without small segments; 0: what the kernel chooses
	step    int           // 0: open, else smallSegments[step-1]
	found   bool          // a connection came up with small segments after one without had failed
	pause   time.Duration // between trials without
	again   time.Time     // when the next is
	changed time.Time
}

func (n *narrowing) size() int {
	if n.step == 0 {
		return n.open
	}
	return smallSegments[n.step-1]
}

// narrow begins with small segments, or goes on with them after a trial without has failed.
func (n *narrowing) narrow(now time.Time, first time.Duration) {
	n.step = max(n.step, 1)
	n.pause = min(max(2*n.pause, first), lastTrial)
	n.again, n.changed = now.Add(n.pause), now
}

// next returns the size of segments to connect to an address with, in bytes; 0 is what the
// kernel chooses. Where large packets vanish, it is now and then tried without a bound.
func (s *segments) next(now time.Time, addr netip.Addr) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.of[addr]
	if n == nil {
		return 0
	}
	if n.found && !now.Before(n.again) {
		n.again = now.Add(n.pause)
		return n.open
	}
	return n.size()
}

// isDue reports whether a connection with segments of a size should be replaced by a trial
// with larger ones.
func (s *segments) isDue(now time.Time, addr netip.Addr, size int) bool {
	if size == 0 {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.of[addr]
	return n != nil && size != n.open && (n.step == 0 || n.found && !now.Before(n.again))
}

// finding is what the result of a connection says that was not known before.
type finding int

const (
	nothingNew  finding = iota
	largeVanish         // large packets do
	largePass           // they did, and don't any more
)

// cameUp takes note of a handshake with an address that was done with segments of a size.
func (s *segments) cameUp(now time.Time, addr netip.Addr, size int) finding {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.of[addr]
	switch {
	case n == nil:
	case size == n.open:
		was := n.found
		if n.step == 0 && now.Sub(n.changed) > forgetPath {
			delete(s.of, addr)
		}
		if n.step > 0 {
			n.step, n.found, n.changed = 0, false, now
		}
		if was {
			return largePass
		}
	case size == n.size() && !n.found:
		n.found, n.again = true, now.Add(n.pause)
		return largeVanish
	}
	return nothingNew
}

// timedOut takes note of a handshake that got no answer though TCP had connected. It may
// be for another reason: as long as small segments are of no use either, all sizes take
// turns.
func (s *segments) timedOut(now time.Time, addr netip.Addr, size int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.pathLocked(addr)
	switch {
	case size == n.open:
		n.narrow(now, s.firstPause())
	case size == n.size() && !n.found:
		n.step = (n.step + 1) % (len(smallSegments) + 1)
	}
}

// stuck takes note of a connection with segments of a size whose handshake was done, and
// whose large packets vanish since.
func (s *segments) stuck(now time.Time, addr netip.Addr, size int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.pathLocked(addr)
	switch {
	case size == n.size() && n.step > 0:
		n.step = min(n.step+1, len(smallSegments))
	case size == 0 || size == n.open:
		n.open = testedSegments
		n.narrow(now, s.firstPause())
	}
}

func (s *segments) firstPause() time.Duration {
	if s.first > 0 {
		return s.first
	}
	return firstTrial
}

func (s *segments) pathLocked(addr netip.Addr) *narrowing {
	n := s.of[addr]
	if n != nil {
		return n
	}
	if s.of == nil {
		s.of = make(map[netip.Addr]*narrowing)
	}
	if len(s.of) >= maxNarrowings {
		var oldest netip.Addr
		for a, o := range s.of {
			if !oldest.IsValid() || o.changed.Before(s.of[oldest].changed) {
				oldest = a
			}
		}
		delete(s.of, oldest)
	}
	n = &narrowing{}
	s.of[addr] = n
	return n
}

// hint says what the operator should know of the path to an address; "" is nothing.
func (s *segments) hint(addr netip.Addr) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.of[addr]
	if n == nil || !n.found {
		return ""
	}
	return fmt.Sprintf("large packets vanish on the way to %v or back, and no ICMP error says so: TCP segments are clamped to %d bytes; "+
		"let ICMP \"fragmentation needed\" and ICMPv6 \"packet too big\" through the firewalls on the path", addr, n.size())
}
