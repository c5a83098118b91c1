package engine

import (
	"fmt"
	"time"

	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"warren/bgp/judge"
)

// GoBGP queues each change of a route for each neighbor that is to be told of it, without a bound. It takes out what a
// later change has replaced only when it sends, and while it waits for a peer that reads slowly it does not. So one peer whose
// routes come and go, beside one that reads a little, would fill this process's memory. A session ends in
// which more changes wait than there are prefixes and mostBehind: the next one begins with the table, which is less than that.
// A table that is sent as a whole is one entry of the queue. How many there are is told by the copy of GoBGP that
// is amended (tools/amend).

// mostBehind is how many changes may wait for a peer however few prefixes there are. Tests replace it.
var mostBehind = 64 << 10

// outOfResources is the subcode of a Cease (RFC 4486 section 4).
const outOfResources = gobgp.BGP_ERROR_SUB_OUT_OF_RESOURCES

// CountQueue is called by GoBGP when a session is established: count is how many messages of its queue wait, of any
// number of paths each.
func (c *peerConn) CountQueue(count func() int) { c.queued.Store(&count) }

// waits is how much of GoBGP's queue waits for the peer.
func (c *peerConn) waits() int {
	if count := c.queued.Load(); count != nil {
		return (*count)()
	}
	return 0
}

// looksToForget is for how many looks in a row nothing has to have waited before what there was once is forgotten: GoBGP may hear
// late of a peer that is gone, by whose routes it is withdrawn then.
const looksToForget = int(time.Minute / aliveInterval)

// isBehind reports how many changes wait, and whether these are too many. table is how many prefixes there are. The most
// that there were since the peer has been told everything for a minute count, as all of a large table may be withdrawn at once. It is for
// watchAlive's goroutine.
func (c *peerConn) isBehind(unsent, table int) (queued int, is bool) {
	queued = c.waits()
	if c.idle++; queued > 0 {
		c.idle = 0
	}
	if c.idle > looksToForget {
		c.most = 0
	}
	c.most = max(c.most, table)
	return queued, unsent > 0 && queued > c.most+mostBehind
}

// fallBehind returns what ends the session of a peer that is behind by so many changes.
func (c *peerConn) fallBehind(queued int) func() {
	why := &judge.Notification{
		Code: gobgp.BGP_ERROR_CEASE, Subcode: outOfResources,
		Text: fmt.Sprintf("%d changes of routes waited for the peer, which reads them more slowly than they come", queued),
	}
	return func() { c.refuse(why, observation{}) }
}
