package path

import (
	"container/heap"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"time"
)

// maxHeld bounds the frames under way in one direction: 0.3 s of 1 Gbit/s.
const maxHeld = 32768

// noTime is what next returns if nothing is under way.
const noTime = int64(-1)

// frameHeader is the length of an Ethernet header.
const frameHeader = 14

// line is one direction of a path: it says when a frame is due. Times are nanoseconds of whichever clock the caller
// has. It is not safe for concurrent use, except for its counts.
type line struct {
	router [2]netip.Addr // the IPv4 and the IPv6 address that ICMP errors come from; of none, none come

	loser  loser
	choice *rand.Rand // of what is late and what comes twice

	free    int64 // when the rate has nothing more to send
	last    int64 // when the last frame in order is due
	held    held
	arrived uint64 // frames so far, as an order among those that are due at once
	buffers [][]byte

	counts counts
}

// newLine makes one whose choices follow from a seed. Different directions get different ones.
func newLine(seed uint64, from End) *line {
	source := func(purpose uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, uint64(from)<<8|purpose)) }
	return &line{loser: loser{random: source(0)}, choice: source(1)}
}

// arrive takes a frame that came at a time, and notes when it is due, if it ever is. It keeps a copy.
func (l *line) arrive(now int64, c *Conditions, f frame) {
	switch {
	case isLinkOwn(f.data):
		l.hold(now, f)
	case c.NoFragments && isFragment(f.data):
		l.counts[TooLarge].Add(1)
	case c.MTU > 0 && len(f.data)-frameHeader > c.MTU:
		l.tooLarge(now, c, f)
	default:
		l.admit(now, c, f)
	}
}

// admit takes a packet that is not too large.
func (l *line) admit(now int64, c *Conditions, f frame) {
	// Each kind has its choice for each packet, so that one changes nothing of the other.
	lost, late, twice := l.loser.loses(c.Loss), l.choice.Float64() < c.Reorder, l.choice.Float64() < c.Duplicate
	if lost {
		l.counts[Lost].Add(1)
		return
	}
	due := now
	if c.Rate > 0 {
		begin := max(now, l.free)
		if begin-now > c.Queue.Nanoseconds() {
			l.counts[Dropped].Add(1)
			return
		}
		l.free = begin + int64(float64(8*len(f.data))/c.Rate*float64(time.Second))
		due = l.free
	}
	due = max(due+c.Delay.Nanoseconds(), l.last)
	if late {
		l.counts[Reordered].Add(1)
		l.hold(due+c.Late.Nanoseconds(), f)
		return
	}
	l.last = due
	l.hold(due, f)
	if twice {
		l.counts[Duplicated].Add(1)
		l.hold(due, f)
	}
}

// hold notes a copy of a frame.
func (l *line) hold(due int64, f frame) {
	if len(l.held) >= maxHeld {
		l.counts[Overrun].Add(1)
		return
	}
	l.arrived++
	f.data = append(l.buffer(), f.data...)
	heap.Push(&l.held, heldFrame{frame: f, due: due, order: l.arrived})
}

func (l *line) buffer() []byte {
	n := len(l.buffers)
	if n == 0 {
		return make([]byte, 0, 2048)
	}
	b := l.buffers[n-1]
	l.buffers = l.buffers[:n-1]
	return b[:0]
}

// next returns when the next frame is due, or noTime.
func (l *line) next() int64 {
	if len(l.held) == 0 {
		return noTime
	}
	return l.held[0].due
}

// take returns the next frame, which done gives back.
func (l *line) take() frame { return heap.Pop(&l.held).(heldFrame).frame }

func (l *line) done(f frame) { l.buffers = append(l.buffers, f.data) }

// frame is an Ethernet frame, and what the kernel has left to do on it.
type frame struct {
	data []byte
	// sum is where the checksum is to be completed: from there to the end, and into which field. 0: it is complete.
	sumStart, sumOffset uint16
	back                bool // it goes to the end that sends: an ICMP error
}

// complete computes the checksum that is left to a network card.
func (f *frame) complete() {
	if f.sumStart == 0 {
		return
	}
	at := int(f.sumStart) + int(f.sumOffset)
	if at+2 <= len(f.data) && int(f.sumStart) < len(f.data) {
		// The field has the sum of the pseudo header already.
		sum := checksum(0, f.data[f.sumStart:])
		if sum == 0 {
			sum = 0xffff // which UDP means by 0 (RFC 768); to others it is the same
		}
		binary.BigEndian.PutUint16(f.data[at:], sum)
	}
	f.sumStart, f.sumOffset = 0, 0
}

// heldFrame is a frame under way.
type heldFrame struct {
	frame
	due   int64
	order uint64
}

// held are frames in the order in which they are due: a container/heap.
type held []heldFrame

func (h held) Len() int { return len(h) }
func (h held) Less(i, j int) bool {
	return h[i].due < h[j].due || h[i].due == h[j].due && h[i].order < h[j].order
}
func (h held) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *held) Push(x any)   { *h = append(*h, x.(heldFrame)) }
func (h *held) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = heldFrame{}
	*h = old[:len(old)-1]
	return last
}
