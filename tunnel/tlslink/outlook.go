package tlslink

import (
	"encoding/binary"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// view is what a packet finds that is sent on a lane now.
type view struct {
	known bool // the kernel says it

	ahead int    // bytes that are not acknowledged, or not even sent
	hole  bool   // what comes now waits at the far end for something that got lost
	stuck bool   // and that takes longer than it takes to send it once more
	acked uint64 // bytes, since the connection began
	lost  int    // segments that were sent again, and not in vain, likewise; each may be counted for a round trip before that is known

	shortest, roundTrip time.Duration
}

// What a hole counts for in bytes: more than may be on the way. It is known a round trip after the loss, and filled another half later. If
// what was sent again gets lost too, that may take a retransmission timeout, 0.2 s at least.
const (
	aHole     = 1 << 29
	stuckHole = 2 * aHole // with what is ahead it is an int of 32 bits too
)

// wait compares lanes: they take the same path, and so what is ahead takes as long on each.
func (v *view) wait() int {
	switch {
	case v.stuck:
		return v.ahead + stuckHole
	case v.hole:
		return v.ahead + aHole
	}
	return v.ahead
}

// outlook is what is known of the way to the far end on a lane. It may be used from any goroutine.
//
// What has arrived is found out by marks: a ping is sent on the lane, and when the far end answers it, it has taken all that was sent
// before, whatever its kernel or something in between has acknowledged earlier.
type outlook struct {
	mu   sync.Mutex
	at   time.Duration // of the last look; 0: there was none
	view view
	hole time.Duration // when the hole was seen first that there is, at the latest

	cleared time.Duration // all that was handed over to the lane before this time has arrived
	mark    marker
}

// marker is a ping that is to be answered.
type marker struct {
	id     uint64        // 0: there is none
	made   time.Duration // when
	passed time.Duration // all that was handed over before this time was sent before it
}

const (
	// outlookFor is how long a view holds.
	outlookFor = time.Millisecond

	markEvery = 20 * time.Millisecond // at most, and while something is sent
	markFor   = time.Second           // then its answer is not waited for any more

	// markBit tells what a ping is for: others carry a time, which has no such bit. The lane's number is in the lowest bits.
	markBit = 1 << 63
)

// look returns what is known of the lane now, and cleared.
func (ln *lane) look(now time.Duration) (v view, cleared time.Duration) {
	o := &ln.outlook
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.at == 0 || now-o.at >= outlookFor {
		o.at = now
		o.see(now, ln.wire.view())
	}
	return o.view, o.cleared
}

// see takes what the kernel says.
func (o *outlook) see(now time.Duration, v view) {
	if !v.hole || !o.view.hole || v.acked != o.view.acked {
		o.hole = now
	}
	v.stuck = v.hole && now-o.hole > v.roundTrip*3/2
	o.view = v
}

// mark sends one if it is time. It follows a write of packets that did not wait, or did in a backlog, and is for who has the lock.
func (ln *lane) mark(b *backlog) error {
	if b.link.choice.Load() == nil {
		return nil
	}
	now := monotonic()
	b.wrote(now)
	o := &ln.outlook
	o.mu.Lock()
	if since := now - o.mark.made; o.mark.made > 0 && (since < markEvery || o.mark.id != 0 && since < markFor) {
		o.mu.Unlock()
		return nil
	}
	o.mark = marker{id: markBit | uint64(now)<<8 | uint64(ln.number), made: now, passed: ln.passed(now)}
	id := o.mark.id
	o.mu.Unlock()
	ln.s.marked[ln.number].Store(ln)
	return ln.write(encode(framePing, binary.BigEndian.AppendUint64(nil, id)))
}

// passed returns a time: what was handed over to the lane before it is written.
func (ln *lane) passed(now time.Duration) time.Duration {
	l, passed := ln.s.link, now
	for q := range l.routes {
		if l.routes[q].Load() == ln {
			passed = min(passed, l.backlogs[q].passed())
		}
	}
	return passed
}

// answeredMark takes the answer to a ping, and reports whether it was a mark.
func (s *session) answeredMark(payload []byte) bool {
	id := binary.BigEndian.Uint64(payload)
	if id&markBit == 0 {
		return false
	}
	if n := id & 0xff; n < MaxLanes {
		if ln := s.marked[n].Load(); ln != nil {
			ln.outlook.answered(id)
		}
	}
	return true
}

func (o *outlook) answered(id uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.mark.id == id {
		o.cleared, o.mark.id = max(o.cleared, o.mark.passed), 0
	}
}

// view asks the kernel.
func (w *wire) view() (v view) {
	if w.raw == nil {
		return v
	}
	_ = w.raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			return
		}
		ahead, err := unix.IoctlGetInt(int(fd), unix.SIOCOUTQ)
		if err != nil {
			return
		}
		v = view{
			known: true, ahead: ahead, hole: info.Sacked > 0 || info.Lost > 0 || info.Retrans > 0,
			acked: info.Bytes_acked, lost: int(info.Total_retrans) - int(info.Dsack_dups),
			shortest: time.Duration(info.Min_rtt) * time.Microsecond, roundTrip: time.Duration(info.Rtt) * time.Microsecond,
		}
	})
	return v
}
