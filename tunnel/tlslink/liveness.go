package tlslink

import (
	"fmt"
	"time"
)

// provenWithin is how long a way to the peer that may be of no use is given, before the peer must
// have answered, or acknowledged more than before.
const provenWithin = 2 * time.Second

// liveness decides whether the peer of a session is there. It asks nobody: it is told the time
// and what is known of the connections. Not safe for concurrent use.
//
// A peer is dead when nothing came for deadAfter. What counts is what the kernel has received,
// read or not: a process that is too busy to read does not take that for silence. So does data
// that is there and can't be read, as a segment before it was lost. What waits to be read may
// fill the window, and then nothing more can come: as long as it waits there is more time. The kernel's counters stop
// while the machine sleeps; who wakes up has no signs for that reason.
//
// A way that is another now must be proved: something must be answered that was sent since.
type liveness struct {
	keepalive, deadAfter time.Duration

	early uint32 // of all signs, at the last look

	// The proof that is waited for; the zero doubt is none.
	doubt    string        // about the way
	asked    time.Duration // when
	deadline time.Duration
	acked    uint64 // at the beginning of the time that runs
}

// sign is what the kernel knows of one of a session's connections.
type sign struct {
	silence time.Duration // since data came last that can be read, or could before it was
	early   uint32        // segments that came before what is missing, all so far
	unread  int           // bytes that came and wait for this process
}

// unreadFor is for how long a peer may be silent beyond dead_after at least while something of it waits to be read.
const unreadFor = 500 * time.Millisecond

// evidence is what is known when liveness looks.
type evidence struct {
	now      time.Duration // by the clock of pings
	silence  time.Duration // since anything was read, by a clock that goes on while the machine sleeps
	signs    []sign        // may be none
	answered time.Duration // when the ping was sent that the peer has answered last
	acked    uint64        // bytes that the peer has acknowledged on lane 0, if the kernel says
}

// look returns after what time it has to look again, or why the session is over.
func (v *liveness) look(e evidence) (again time.Duration, err error) {
	silence, early, unread := e.silence, uint32(0), false
	for _, s := range e.signs {
		silence = min(silence, s.silence)
		early += s.early
		unread = unread || s.unread > 0
	}
	// The last look is at most deadAfter ago. So is what came since, but not when exactly. There are fewer when a connection is gone.
	came := int32(early-v.early) > 0
	v.early = early
	again = v.deadAfter - silence
	if again <= 0 && came {
		again = v.keepalive
	}
	if again <= 0 && unread {
		again = min(v.keepalive, again+max(v.deadAfter, unreadFor))
	}
	if again <= 0 {
		return 0, fmt.Errorf("no sign of life from the peer for %v", v.deadAfter)
	}
	left, err := v.prove(e)
	if left > 0 {
		again = min(again, left)
	}
	return again, err
}

// question has the way proved, of which doubt says in words what is known. A ping is to be sent
// afterwards, and a look to be taken.
func (v *liveness) question(e evidence, doubt string) {
	v.doubt, v.asked, v.deadline, v.acked = doubt, e.now, e.now+provenWithin, e.acked
}

// prove returns how long the proof may still take, or 0 if none is waited for.
func (v *liveness) prove(e evidence) (left time.Duration, err error) {
	if v.doubt == "" {
		return 0, nil
	}
	if e.answered >= v.asked {
		v.doubt = ""
		return 0, nil
	}
	if left = v.deadline - e.now; left > 0 {
		return left, nil
	}
	// A ping may be stuck behind data on a slow path. What was acknowledged at first may have
	// been on its way before; what is acknowledged later is a proof as well.
	switch {
	case e.acked == v.acked:
		return 0, &lostWay{fmt.Sprintf("%s, and the peer has not answered since", v.doubt)}
	case v.deadline-v.asked > provenWithin:
		v.doubt = ""
		return 0, nil
	}
	v.acked, v.deadline = e.acked, e.now+provenWithin
	return provenWithin, nil
}

// lostWay is why a session ends that has no way to the peer any more. The peer may be there, and
// be reached by another.
type lostWay struct{ why string }

func (e *lostWay) Error() string { return e.why }
