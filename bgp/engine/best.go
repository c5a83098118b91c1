package engine

import (
	"net/netip"
	"slices"
	"time"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// What GoBGP and the judges say goes into the rib here.

// onBestPath is called by GoBGP when best paths have changed, in the order in which
// they did.
func (s *Speaker) onBestPath(paths []*apiutil.Path, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.moved = time.Now()
	for _, path := range paths {
		p, ok := prefixOf(path)
		if !ok {
			continue
		}
		var n *neighbor
		switch {
		case path.Withdrawal:
		case path.PeerAddress.IsValid():
			n = s.neighborAtLocked(path.PeerAddress, at)
		default:
			n = s.rib.here
		}
		s.rib.set(p, n, scopeOf(path))
	}
	s.notify()
}

// movesAtOnce is how many moves are taken in before others may have Speaker.mu.
const movesAtOnce = 4096

// onMoved takes in what the judge of c, a connection with n, has handed on or withdrawn.
func (s *Speaker) onMoved(n *neighbor, c *peerConn) {
	c.moving.Lock()
	defer c.moving.Unlock()
	all, told := c.takeMoves(), false
	for some := range slices.Chunk(all, movesAtOnce) {
		s.mu.Lock()
		s.moved = time.Now()
		if n.session.conn == c && s.neighbors[n.Name] == n {
			told = s.rib.move(n, some) || told
		}
		c.settle(some)
		s.reviewLocked(movesAtOnce)
		s.mu.Unlock()
	}
	c.finish()
	c.reuse(all)
	if told {
		s.notify()
	}
}

// neighborAtLocked finds the neighbor that an event at the given time is
// about; not one that was added only later with the same address.
func (s *Speaker) neighborAtLocked(addr netip.Addr, at time.Time) *neighbor {
	n := s.byAddr[addr.Unmap().WithZone("")]
	if n == nil || at.Before(n.added) {
		return nil
	}
	return n
}

// prefixOf returns the prefix of a unicast path.
func prefixOf(path *apiutil.Path) (netip.Prefix, bool) {
	nlri, ok := path.Nlri.(*gobgp.IPAddrPrefix)
	if !ok {
		return netip.Prefix{}, false
	}
	return nlri.Prefix.Masked(), true
}
