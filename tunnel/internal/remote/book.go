package remote

import (
	"maps"
	"net/netip"
	"time"
)

// How long an address that was of no use is left for the last: at first, twice as long with each
// further failure in a row, and at most. A tunnel that lasted makes the next failure the first.
const (
	firstPenalty = 10 * time.Second
	maxPenalty   = 5 * time.Minute
	lasting      = time.Minute
)

// maxRemembered bounds a book, as names may have other addresses each time.
const maxRemembered = 64

// Book remembers which addresses of a peer were of no use. The zero Book knows of none. It is not
// safe for concurrent use.
type Book struct {
	failures map[netip.AddrPort]failure
}

type failure struct {
	times int       // in a row
	until time.Time // it is bad
}

// Failed notes that an attempt at an address failed. What is bad already was tried as there was
// nothing better, and does not get worse by that.
func (b *Book) Failed(addr netip.AddrPort, now time.Time) {
	f := b.failures[addr]
	if now.Before(f.until) {
		return
	}
	f.times++
	f.until = now.Add(min(firstPenalty<<min(f.times-1, 16), maxPenalty))
	if b.failures == nil {
		b.failures = make(map[netip.AddrPort]failure)
	}
	if len(b.failures) >= maxRemembered {
		b.forgetOldest()
	}
	b.failures[addr] = f
}

// Ended notes that a tunnel to an address, which was up for so long, ended by a failure.
func (b *Book) Ended(addr netip.AddrPort, lasted time.Duration, now time.Time) {
	f := b.failures[addr]
	if lasted >= lasting {
		f.times = 0
	}
	f.until = time.Time{} // it worked meanwhile
	if b.failures != nil {
		b.failures[addr] = f
	}
	b.Failed(addr, now)
}

// IsBad reports whether an address is to be tried after others.
func (b *Book) IsBad(addr netip.AddrPort, now time.Time) bool {
	return now.Before(b.failures[addr].until)
}

// Split tells good addresses from bad ones, each in the order that they have.
func (b *Book) Split(addrs []netip.AddrPort, now time.Time) (good, bad []netip.AddrPort) {
	for _, a := range addrs {
		if b.IsBad(a, now) {
			bad = append(bad, a)
		} else {
			good = append(good, a)
		}
	}
	return good, bad
}

// Clone returns a book of its own.
func (b *Book) Clone() Book { return Book{maps.Clone(b.failures)} }

func (b *Book) forgetOldest() {
	var oldest netip.AddrPort
	for a, f := range b.failures {
		if !oldest.IsValid() || f.until.Before(b.failures[oldest].until) {
			oldest = a
		}
	}
	delete(b.failures, oldest)
}
