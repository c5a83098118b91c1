package fq

import (
	"math"
	"time"
)

const (
	// flows is how many queues there are; flows that share one by chance are one to it.
	flows = 256
	// quantum is how many bytes a flow may send in its turn: a full packet of the usual size.
	quantum = 1514
	// dropBatch is how many packets the longest queue loses at a time at most (RFC 8290, section 4.1.3).
	dropBatch = 64
)

// Bounds of what waits in a [Queue].
const (
	MaxBytes   = 4 << 20 // of memory, as capacity of the packets' buffers
	MaxPackets = 2048
)

// Packet is something that waits. It is the Queue's from Push until it is returned or handed to [Hooks.Drop].
type Packet struct {
	Data []byte // its length is what counts for fairness, its capacity for the bound of memory

	next *Packet
	came time.Duration
}

// Hooks are what the owner of a [Queue] does with packets. They are called by Push, Pop and Clear, and do not call the
// Queue.
type Hooks struct {
	// Mark tells the packet's flow of congestion, by a mark in it. It is false where the flow knows no marks.
	Mark func(*Packet) bool
	// Drop takes back a packet that is not sent.
	Drop func(*Packet)
}

// Limits are how long packets may wait before their flow is told to send less (RFC 8289). Target is a small part of
// Interval, and not less than it takes to send a packet; Interval is about the longest round trip of flows.
type Limits struct {
	Target, Interval time.Duration
}

// Queue is the queue. It is not safe for concurrent use.
type Queue struct {
	hooks Hooks

	flows      [flows]flow
	fresh, old list // of flows that have packets or had some, by turn

	listed int // in these lists

	packets int
	memory  int // capacity of their buffers
}

// New returns an empty Queue, of some 20 KB.
func New(h Hooks) *Queue { return &Queue{hooks: h} }

// flow is one of the queues.
type flow struct {
	head, tail *Packet
	bytes      int // that wait
	memory     int
	credit     int   // bytes that it may send yet in its turn
	next       *flow // in the list
	listed     bool

	codel codel
}

// list is a queue of flows.
type list struct{ first, last *flow }

func (l *list) append(f *flow) {
	f.next = nil
	if l.first == nil {
		l.first = f
	} else {
		l.last.next = f
	}
	l.last = f
}

func (l *list) removeFirst() {
	l.first = l.first.next
}

// Came returns when the packet was pushed.
func (p *Packet) Came() time.Duration { return p.came }

// Oldest returns when the packet came that has waited for longest. ok is false if none waits.
func (q *Queue) Oldest() (came time.Duration, ok bool) {
	if q.packets == 0 {
		return 0, false
	}
	for i := range q.flows {
		if p := q.flows[i].head; p != nil && (!ok || p.came < came) {
			came, ok = p.came, true
		}
	}
	return came, ok
}

// Len returns how many packets wait.
func (q *Queue) Len() int { return q.packets }

// Flows returns of how many flows packets wait, or have waited until their last turn.
func (q *Queue) Flows() int { return q.listed }

// Push has a packet wait, which came now and belongs to a flow.
func (q *Queue) Push(now time.Duration, flow uint64, p *Packet) {
	f := &q.flows[flow%flows]
	p.came, p.next = now, nil
	if f.head == nil {
		f.head = p
	} else {
		f.tail.next = p
	}
	f.tail = p
	f.bytes += len(p.Data)
	f.memory += cap(p.Data)
	q.packets++
	q.memory += cap(p.Data)
	if !f.listed {
		f.listed, f.credit = true, quantum
		q.listed++
		q.fresh.append(f)
	}
	for q.packets > MaxPackets || q.memory > MaxBytes {
		q.shorten()
	}
}

// shorten takes packets from the flow of which most wait, at its head, so that it hears of it soon: up to half of what it
// has, as the search costs more than that.
func (q *Queue) shorten() {
	longest := &q.flows[0]
	for i := range q.flows {
		if q.flows[i].memory > longest.memory {
			longest = &q.flows[i]
		}
	}
	half := longest.memory / 2
	for n := 0; n < dropBatch && longest.memory > half; n++ {
		q.hooks.Drop(q.take(longest))
		longest.codel.count++
	}
}

// take removes the first packet of a flow; nil: there is none.
func (q *Queue) take(f *flow) *Packet {
	p := f.head
	if p == nil {
		return nil
	}
	f.head, p.next = p.next, nil
	f.bytes -= len(p.Data)
	f.memory -= cap(p.Data)
	q.packets--
	q.memory -= cap(p.Data)
	return p
}

// Pop returns the packet that is to be sent next; nil: nothing waits any more.
func (q *Queue) Pop(now time.Duration, limits Limits) *Packet {
	for {
		from := &q.fresh
		if from.first == nil {
			from = &q.old
		}
		f := from.first
		if f == nil {
			return nil
		}
		if f.credit <= 0 {
			f.credit += quantum
			from.removeFirst()
			q.old.append(f)
			continue
		}
		if p := q.choose(f, now, limits); p != nil {
			f.credit -= len(p.Data)
			return p
		}
		from.removeFirst()
		if from == &q.fresh && q.old.first != nil { // it would be new again at once, and keep the others out
			q.old.append(f)
		} else {
			f.listed = false
			q.listed--
		}
	}
}

// Clear drops all that waits.
func (q *Queue) Clear() {
	for i := range q.flows {
		for f := &q.flows[i]; f.head != nil; {
			q.hooks.Drop(q.take(f))
		}
	}
	*q = Queue{hooks: q.hooks}
}

// codel is CoDel's state of a flow (RFC 8289, section 5).
type codel struct {
	dropping  bool
	above     time.Duration // when the packets will have waited for too long for an Interval; 0: they do not
	next      time.Duration // when the next is to be dropped, while dropping
	count     uint32        // dropped since dropping has begun
	lastCount uint32        // the count at that time
}

// choose takes the flow's next packet that is to be sent, and tells the flow of congestion if there is. nil: there is none.
func (q *Queue) choose(f *flow, now time.Duration, limits Limits) *Packet {
	c := &f.codel
	p := q.take(f)
	late := c.isLate(f, p, now, limits)
	switch {
	case !late:
		c.dropping = false
	case !c.dropping:
		if !q.hooks.Mark(p) {
			q.hooks.Drop(p)
			p = q.take(f)
			c.isLate(f, p, now, limits)
		}
		c.begin(now, limits)
	default:
		for c.dropping && now >= c.next {
			c.count++
			if q.hooks.Mark(p) {
				c.schedule(limits)
				break
			}
			q.hooks.Drop(p)
			p = q.take(f)
			if c.isLate(f, p, now, limits) {
				c.schedule(limits)
			} else {
				c.dropping = false
			}
		}
	}
	return p
}

// isLate reports whether packets have waited for more than the target during an interval. What is less than a packet of
// the usual size is no queue.
func (c *codel) isLate(f *flow, p *Packet, now time.Duration, limits Limits) bool {
	if p == nil || now-p.came < limits.Target || f.bytes <= quantum {
		c.above = 0
		return false
	}
	if c.above == 0 {
		c.above = now + limits.Interval
		return false
	}
	return now >= c.above
}

// begin has packets be dropped from now on: at about the last rate, if that was a short time ago.
func (c *codel) begin(now time.Duration, limits Limits) {
	since := c.count - c.lastCount
	c.count = 1
	if since > 1 && now-c.next < 16*limits.Interval {
		c.count = since
	}
	c.dropping, c.lastCount, c.next = true, c.count, now
	c.schedule(limits)
}

// schedule says when the next is dropped.
func (c *codel) schedule(limits Limits) {
	c.next += time.Duration(float64(limits.Interval) / math.Sqrt(float64(c.count)))
}
