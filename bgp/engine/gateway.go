package engine

import "net/netip"

// gateway returns where packets to p go on the network that n is on: the next hop of its
// route, which the judge has found to be there, without a zone. It is not valid for a neighbor
// at the far end of a tunnel. ok is false where n has no route any more. n has a connection.
func (n *neighbor) gateway(p netip.Prefix) (gateway netip.Addr, ok bool) {
	if !n.LAN() {
		return netip.Addr{}, true
	}
	return n.session.conn.nextHop(p)
}

// nextHop is that of the peer's route to p, and false if accepts is.
func (c *peerConn) nextHop(p netip.Prefix) (netip.Addr, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.judge.NextHop(p)
}
