package flow

import (
	"time"

	"warren/tunnel/internal/ecn"
)

// Marking says what the outer packets of a tunnel have as their traffic class: DSCP in its upper six
// bits (RFC 2474), ECN in the lower two (RFC 3168). Its zero value sends all with 0, which says
// nothing of the packets inside.
//
// What arrives is not bound to it: marks of congestion always go on to the packets inside, and the DSCP
// of outer packets never does.
type Marking struct {
	// ECN has outer packets say of congestion what the packet inside says (RFC 6040, section 4.1,
	// normal mode), so that the path can mark them instead of dropping them. Without it they are
	// Not-ECT (compatibility mode). It is for peers that pass marks on.
	ECN bool
	// CopyDSCP has them have the DSCP of the packet inside, which the whole path then can see.
	// Without it they have DSCP, 0 to 63.
	CopyDSCP bool
	DSCP     uint8
}

// class returns the traffic class of outer packets by that of the packet inside.
func (m Marking) class(inner uint8) uint8 {
	class := m.DSCP << 2
	if m.CopyDSCP {
		class = inner &^ ecn.Mask
	}
	if m.ECN {
		class |= inner & ecn.Mask
	}
	return class
}

// SetMarking marks outer packets so from now on. It may be called from any goroutine.
func (t *Tunnel) SetMarking(m Marking) { t.marking.Store(&m) }

// Marking returns what SetMarking was called with last.
func (t *Tunnel) Marking() Marking {
	if m := t.marking.Load(); m != nil {
		return *m
	}
	return Marking{}
}

// Single is a burst of one message of the tunnel's that holds no packet of anybody else.
func (t *Tunnel) Single(msg []byte) *Burst {
	b := Single(msg)
	b.class = t.Marking().class(0)
	return b
}

// decapsulate has a packet that arrived say what its outer packet says of congestion, and reports
// whether it is to be delivered.
func (t *Tunnel) decapsulate(packet []byte, outer ecn.Codepoint) bool {
	switch ecn.Decapsulate(packet, outer) {
	case ecn.Marked:
		t.Counters.RxMarked.Add(1)
	case ecn.Refused:
		t.Counters.Drops.Add(1)
		t.wronglyMarked()
		return false
	}
	return true
}

// wronglyMarkedEvery is the least time between two lines of the log about it.
const wronglyMarkedEvery = time.Minute

// wronglyMarked tells of packets that are dropped for a mark of congestion which their flows do
// not take. What comes to it is the peer's, but anybody on the path can have set the mark.
func (t *Tunnel) wronglyMarked() {
	last, now := t.complained.Load(), t.Flow.Now().UnixNano()
	if last != 0 && now-last < int64(wronglyMarkedEvery) || !t.complained.CompareAndSwap(last, now) {
		return
	}
	t.Logger.Warn("packets were dropped, as RFC 6040 has it: they came with a mark of congestion (CE), and are of flows that take none; " +
		"if this goes on, something on the path sets ECN bits that it should leave alone")
}
