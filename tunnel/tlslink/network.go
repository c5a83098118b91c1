package tlslink

import (
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// networkBits are the networks that a source is counted in, widest first: what a
// provider has, what a site gets, and the source itself. An attacker often has all of
// an IPv6 /48, and of IPv4 a /24.
var networkBits = struct{ v4, v6 []int }{v4: []int{16, 24, 32}, v6: []int{32, 48, 56, 64}}

// networksOf returns the networks that an address is counted in.
func networksOf(a netip.Addr) []netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := networkBits.v6
	if !a.Is6() {
		bits = networkBits.v4
	}
	networks := make([]netip.Prefix, 0, 4)
	for _, n := range bits {
		p, err := a.Prefix(n)
		if err != nil { // no address at all: all of these are one network
			p = netip.Prefix{}
		}
		networks = append(networks, p)
	}
	return networks
}

// source is what a peer's or a stranger's address is known by.
func source(a netip.Addr) netip.Addr {
	networks := networksOf(a)
	return networks[len(networks)-1].Addr()
}

func (n *network) total() int { return n.in(allStages) }

func (v *guest) source() *network { return v.networks[len(v.networks)-1] }

// What an answered guest has to finish before those go that have had as long: a handshake takes one round trip from there,
// and a lost packet some more. A stranger can make its round trip look long, so there is a bound, and it
// counts among networks that are equally full only: who is many cannot hold more places so, only the same ones for longer.
const (
	graceTrips = 3
	minGrace   = 500 * time.Millisecond
	maxGrace   = 2 * time.Second
)

// hasGrace reports whether a guest was answered so short a time ago that others should go first.
func (v *guest) hasGrace(now time.Time) bool {
	return v.stage == answered && now.Sub(v.answered) < min(max(graceTrips*v.rtt, minGrace), maxGrace)
}

// roundTrip returns how long TCP's handshake took from the SYN's answer on; 0 if the kernel does not say, as with SYN cookies
// without timestamps, or for what is no TCP socket.
func roundTrip(conn net.Conn) (rtt time.Duration) {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return 0
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return 0
	}
	_ = setsockopt(raw, func(fd int) error {
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err == nil {
			rtt = time.Duration(info.Rtt) * time.Microsecond
		}
		return err
	})
	return rtt
}

// put moves a guest to a stage, behind all that are there.
func (v *guest) put(to stage) {
	v.remove()
	v.stage, v.place = to, v.pool.guests[to].PushBack(v)
	if to == answered {
		v.answered = v.pool.now()
	}
	for _, n := range v.networks {
		n.count[to]++
		v.pool.networks[n.prefix] = n
	}
}

// remove takes a guest out, if it is in.
func (v *guest) remove() {
	if v.place == nil {
		return
	}
	v.pool.guests[v.stage].Remove(v.place)
	v.place = nil
	for _, n := range v.networks {
		if n.count[v.stage]--; n.total() == 0 {
			delete(v.pool.networks, n.prefix)
		}
	}
}

// displace takes a guest out for another one, and closes its connection.
func (v *guest) displace() {
	v.remove()
	close(v.turn)
	v.conn.Close()
}

func (p *pool) size() (sum int) {
	for _, l := range p.guests {
		sum += l.Len()
	}
	return sum
}

// victim returns the guest that goes if one has to, other than the newcomer; nil if
// there is none. Those that are answered have half of the places for themselves, and
// at handshakeRate so at least half a second to finish; so have the others.
func (p *pool) victim(newcomer *guest) *guest {
	groups := [][]stage{{silent, waiting}, {answered}}
	if p.guests[answered].Len() > p.places/2 {
		slices.Reverse(groups)
	}
	for _, group := range groups {
		if v := p.worst(group, newcomer); v != nil {
			return v
		}
	}
	return nil
}

// worst returns the guest in some stages that is in the fullest network; there the one
// in the first of the stages, one without grace, and the oldest.
func (p *pool) worst(group []stage, newcomer *guest) (worst *guest) {
	now := p.now()
	for _, s := range group {
		for e := p.guests[s].Front(); e != nil; e = e.Next() {
			if v := e.Value.(*guest); v != newcomer && (worst == nil || v.isWorse(worst, group, now)) {
				worst = v
			}
		}
	}
	return worst
}

// isWorse reports whether a guest's networks are fuller than those of another, by guests
// in some stages: the widest first, and within one of these the next. Of equal ones one without grace is worse.
func (v *guest) isWorse(than *guest, group []stage, now time.Time) bool {
	for i := range min(len(v.networks), len(than.networks)) {
		a, b := v.networks[i].in(group), than.networks[i].in(group)
		if a != b {
			return a > b
		}
	}
	return than.hasGrace(now) && !v.hasGrace(now)
}

func (n *network) in(group []stage) (sum int) {
	for _, s := range group {
		sum += n.count[s]
	}
	return sum
}

// oldestOf returns the guest that goes for a newcomer of the same source; nil if all
// are being answered.
func (p *pool) oldestOf(newcomer *guest) *guest {
	for _, s := range []stage{silent, waiting} {
		for e := p.guests[s].Front(); e != nil; e = e.Next() {
			if v := e.Value.(*guest); v != newcomer && v.source() == newcomer.source() {
				return v
			}
		}
	}
	return nil
}
