package engine

import "net/netip"

// Gateway returns where packets to p go on the network that a neighbor is on: the next hop
// of its route, which the judge has found to be there, without a zone. It returns false for
// a neighbor at the far end of a tunnel, and where it has no route that is accepted.
func (s *Speaker) Gateway(neighbor string, p netip.Prefix) (gateway netip.Addr, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.neighbors[neighbor]
	if n == nil || !n.LAN() || n.session.conn == nil {
		return netip.Addr{}, false
	}
	return n.session.conn.nextHop(p)
}

// nextHop is that of the peer's route to p, and false if accepts is.
func (c *peerConn) nextHop(p netip.Prefix) (netip.Addr, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.judge.NextHop(p)
}
