package protocol

import (
	"math"
	"net/netip"
	"time"
)

// Limits on looking for whom an initiation is for, which takes a MAC for each key
// pair of this end. They are for each of two kinds of sources: those that peers are known to be
// at, and all others. A MAC takes some 0.5 to 1 µs.
const (
	searchRate  = 150e3 // MACs a second
	searchBurst = 100e3 // at once: packets wait meanwhile

	// shareHalf is after how long half of what a network has used is forgotten. A single network
	// that takes all that it gets then leaves half of the burst, and of n networks
	// each the same, which leave a 2n-th.
	shareHalf   = searchBurst / 2 / searchRate * math.Ln2 * float64(time.Second)
	maxNetworks = 4096 // of which the use is remembered
)

// search shares what searches may cost among the networks that ask for them. Each gets as
// much as its own use before is less than what is left, so that who asks for the first time
// gets something when others have asked for more than there is.
type search struct {
	left bucket
	used map[netip.Prefix]use
}

// use is how many MACs a network has cost lately.
type use struct {
	macs float64
	at   time.Time
}

func (u use) now(at time.Time) float64 {
	return u.macs * math.Exp2(-float64(max(0, at.Sub(u.at)))/shareHalf)
}

// take reports whether a search of n MACs may be made for a message from an address.
func (s *search) take(now time.Time, from netip.Addr, n int) bool {
	cost := min(float64(n), searchBurst)
	network := networkOf(from)
	u := s.used[network].now(now)
	s.left.refill(now, searchRate, searchBurst)
	if s.left.tokens < cost || u > 0 && s.left.tokens-cost < u {
		return false
	}
	s.left.tokens -= cost
	if s.used == nil || len(s.used) >= maxNetworks {
		s.used = make(map[netip.Prefix]use) // senders that are made up: all are alike
	}
	s.used[network] = use{u + cost, now}
	return true
}

// networkOf returns the network that shares with others: an IPv4 /24 or an IPv6 /48, of which
// an attacker often has all addresses.
func networkOf(a netip.Addr) netip.Prefix { return prefixOf(a, 24, 48) }

// sourceOf returns what a sender is known by: an IPv4 address or an IPv6 /64.
func sourceOf(a netip.Addr) netip.Prefix { return prefixOf(a, 32, 64) }

// prefixOf returns the network of an address with one of two lengths; the zero value if it is none.
func prefixOf(a netip.Addr, v4, v6 int) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := v6
	if a.Is4() {
		bits = v4
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}
