package tlslink

import (
	"encoding/binary"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"warren/tunnel/internal/fq"
	"warren/tunnel/tun"
)

// A flow is on the lane of the queue that the kernel has chosen for it, and so behind what others have on that lane: what they lose
// it waits for, two round trips or three. So a small packet of a flow of which nothing is on its way takes the lane with the shortest wait,
// and what follows takes the same one, until again nothing is on its way. Echoes have no order, and choose each time.
//
// Each lane has a queue of its own for such packets, behind those of the device: what waits there goes like what waits in the others.
// This is only done on paths with some delay: where there is none nobody waits long for what got lost, and it costs time.
//
// Where the queues of the device share one lane, as several would only fill the path (demand.go), streams keep to that: what begins
// a connection does not choose, and large packets go back.

const (
	// smallPacket is the largest packet that chooses, in bytes: a question to a name server or its answer, keys that are typed. What begins
	// a connection of QUIC is larger.
	smallPacket = 600

	// longPath is the round trip from which on lanes are chosen.
	longPath = 2 * time.Millisecond

	places = 1024 // in each queue's table
)

// choice is where flows are. The tables belong to the goroutines that read the queues.
type choice struct {
	link   *Link
	since  time.Duration // the tables know of nothing before
	steady atomic.Bool   // flows may change lanes: nothing is on the way of lanes that were replaced
	spread atomic.Bool   // the queues of the device have lanes of their own
	tables [][places]place
}

// place is where the flows are that share a number.
type place struct {
	queue int32         // 0: that of the device; else one more than a lane's own queue
	last  time.Duration // when the last packet was handed over, or a moment later
}

func newChoice(l *Link, now time.Duration) *choice {
	c := &choice{link: l, since: now, tables: make([][places]place, l.dev.Queues())}
	c.steady.Store(true)
	return c
}

// laneQueue is the number of a lane's own queue.
func (l *Link) laneQueue(n int) int { return l.dev.Queues() + n }

// laneOf returns the lane that carries a queue if it is there.
func (l *Link) laneOf(queue int) int {
	if n := queue - l.laneQueue(0); n >= 0 {
		return n
	}
	if !l.session.spread {
		return 0
	}
	return queue % l.wantedLanes()
}

// goesElsewhere has a frame that was just read from a queue take another lane than the queue's, if it is to, and reports whether it
// does. It is for the goroutine that reads the queue.
func (l *Link) goesElsewhere(queue int, frame []byte) bool {
	c := l.choice.Load()
	return c != nil && c.sends(queue, frame)
}

// notes takes note of what the pump has handed over to its own queue.
func (p *pump) notes(flow uint64) {
	if c := p.link.choice.Load(); c != nil && p.queue < len(c.tables) {
		c.tables[p.queue][flow%places].last = monotonic()
	}
}

func (c *choice) sends(home int, frame []byte) bool {
	packet := frame[tun.HeaderLen:]
	if isEcho(packet) {
		to := c.shortest(home, home, monotonic())
		if to == home {
			return false
		}
		c.link.hold(to, frame)
		return true
	}
	at, now := &c.tables[home][fq.Flow(packet)%places], monotonic()
	to := home
	if at.queue > 0 {
		to = int(at.queue) - 1
	}
	chooses, returns := c.chooses(packet), to != home && !c.spread.Load()
	if (chooses || returns) && now-at.last > longPath && c.mayMove(to, max(at.last, c.since), now) {
		before := to
		if to = home; chooses {
			to = c.shortest(home, before, now)
		}
		at.queue = 0
		if to != home {
			at.queue = int32(to) + 1
		}
	}
	at.last = now
	if to == home {
		return false
	}
	c.link.hold(to, frame)
	at.last = monotonic()
	return true
}

// chooses reports whether a packet takes the lane with the shortest wait if its flow may change lanes.
func (c *choice) chooses(packet []byte) bool {
	return len(packet) <= smallPacket && (c.spread.Load() || !isSYN(packet))
}

// mayMove reports whether nothing is on its way of a flow that was last sent on a queue's lane at a time.
func (c *choice) mayMove(queue int, last, now time.Duration) bool {
	ln := c.link.routes[queue].Load()
	if ln == nil || !c.steady.Load() {
		return false
	}
	_, cleared := ln.look(now)
	return cleared > last
}

// shortest returns the queue whose lane has the shortest wait, for what is on a queue's lane now and was read from the queue home.
func (c *choice) shortest(home, from int, now time.Duration) (queue int) {
	l := c.link
	own := l.routes[from].Load()
	if own == nil {
		return from
	}
	least, _ := own.look(now)
	queue = from
	for n := 0; n < MaxLanes && least.wait() > 0; n++ {
		q := l.laneQueue(n)
		ln := l.routes[q].Load()
		if ln == nil || ln == own || ln.number != n { // it is missing, and lane 0 stands in for it
			continue
		}
		if ln == l.routes[home].Load() {
			q = home
		}
		if v, _ := ln.look(now); v.known && v.wait() < least.wait() {
			queue, least = q, v
		}
	}
	return queue
}

// hold has a frame wait in a lane's own queue.
func (l *Link) hold(queue int, frame []byte) {
	p := &l.senders[queue-l.laneQueue(0)]
	var begins bool
	if tun.IsFine(frame) {
		begins = p.cut(frame)
	} else {
		begins = p.add(frame)
	}
	if begins {
		l.pumps.Go(func() error {
			p.sendBacklog()
			return nil
		})
	}
}

// isSYN reports whether a packet begins a connection of TCP.
func isSYN(packet []byte) bool {
	const flags, syn = 13, 2
	var at int
	switch {
	case len(packet) >= 20 && packet[0]>>4 == 4 && packet[9] == unix.IPPROTO_TCP:
		at = int(packet[0]&15) * 4
	case len(packet) >= 40 && packet[0]>>4 == 6 && packet[6] == unix.IPPROTO_TCP:
		at = 40
	default:
		return false
	}
	return len(packet) > at+flags && packet[at+flags]&syn != 0
}

// isEcho reports whether a packet is an ICMP echo, or the answer to one.
func isEcho(packet []byte) bool {
	switch {
	case len(packet) >= 20 && packet[0]>>4 == 4 && packet[9] == unix.IPPROTO_ICMP:
		at := int(packet[0]&15) * 4
		whole := binary.BigEndian.Uint16(packet[6:])&0x3fff == 0
		return whole && len(packet) > at && len(packet) <= smallPacket && (packet[at] == 8 || packet[at] == 0)
	case len(packet) > 40 && packet[0]>>4 == 6 && packet[6] == unix.IPPROTO_ICMPV6:
		return len(packet) <= smallPacket && (packet[40] == 128 || packet[40] == 129)
	}
	return false
}

// followChoice has lanes be chosen from when there are several, on a path with a delay, until the session ends.
func (l *Link) followChoice() {
	c, began := l.choice.Load(), false
	if c == nil && l.isLong() {
		c, began = newChoice(l, monotonic()), true
	}
	if c == nil {
		return
	}
	c.steady.Store(len(l.session.draining) == 0)
	c.spread.Store(l.session.spread)
	if began {
		l.choice.Store(c)
	}
}

// isLong reports whether the session has several lanes, and its path a delay.
func (l *Link) isLong() bool {
	var lanes []*lane
	for _, ln := range l.session.lanes {
		if ln != nil && !ln.lost.Load() {
			lanes = append(lanes, ln)
		}
	}
	if len(lanes) < 2 {
		return false
	}
	long := false
	for _, ln := range lanes {
		v, _ := ln.look(monotonic())
		if v.known && v.shortest < longPath {
			return false
		}
		long = long || v.known
	}
	return long
}
