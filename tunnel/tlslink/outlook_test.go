package tlslink

import (
	"encoding/binary"
	"testing"
	"time"

	"warren/tunnel/internal/fq"
)

// What a backlog says has passed: everything that came before that is written.
func TestPassed(t *testing.T) {
	l, _ := stillLink(t)
	b := &l.backlogs[0]
	l.choice.Store(newChoice(l, 0))
	now := monotonic
	push := func() (before, after time.Duration) {
		before = now()
		b.push(1, &fq.Packet{Data: make([]byte, 1000, 2<<10)})
		return before, now()
	}
	between := func(what string, low, high time.Duration) {
		t.Helper()
		if p := b.passed(); p < low || p > high {
			t.Errorf("%s: %v, want %v to %v", what, p, low, high)
		}
	}
	began := now()
	between("nobody sends", began, now()+time.Hour)
	began = now()
	b.begin()
	between("what is read now is being sent", began, now())
	b.wrote(now())
	_, after := push()
	before, _ := push()
	between("it is written, and two packets wait", 0, after)
	var buf buffer
	limits := fq.Limits{Target: time.Hour, Interval: time.Hour}
	b.take(&buf, 1000, limits)
	between("one of them is being sent", 0, after)
	b.wrote(now())
	between("it is written", before, now())
	b.take(&buf, 1000, limits)
	b.wrote(now())
	written := now()
	if batch := b.take(&buf, 1000, limits); batch.packets != 0 {
		t.Fatal("a third packet")
	}
	b.end()
	between("nothing waits any more", written, now()+time.Hour)
}

// An answer to a mark says what has arrived; those that nobody waits for say nothing, whatever they carry.
func TestMarks(t *testing.T) {
	_, s := stillLink(t)
	ln := s.lanes[1]
	s.marked[1].Store(ln)
	payload := func(id uint64) []byte { return binary.BigEndian.AppendUint64(nil, id) }
	ln.outlook.mark = marker{id: markBit | 5<<8 | 1, made: 1, passed: 77}
	for _, id := range []uint64{markBit | 4<<8 | 1, markBit | 5<<8, markBit | 5<<8 | 3, markBit | 5<<8 | 255, 1<<64 - 1} {
		if !s.answeredMark(payload(id)) {
			t.Errorf("%x is no mark", id)
		}
		if _, cleared := ln.look(0); cleared != 0 {
			t.Fatalf("%x: cleared %v", id, cleared)
		}
	}
	if s.answeredMark(pingFrame()[headerLen:]) {
		t.Error("the answer to a ping is one to a mark")
	}
	for range 2 {
		s.answeredMark(payload(markBit | 5<<8 | 1))
		if _, cleared := ln.look(0); cleared != 77 {
			t.Fatalf("cleared %v, want 77", cleared)
		}
		ln.outlook.mark.passed = 99 // which is not answered
	}
}

// What a lane that is stuck counts for, with what is ahead of it, is an int of 32 bits as well.
var _ int32 = stuckHole + aHole

// Marks go out while flows choose lanes only, and the far end answers them.
func TestMarksAreAnswered(t *testing.T) {
	a, b := secretPair(t)
	b.start(secretTrust(0))
	a.start(secretTrust(0), b.addr())
	a.waitEvents(1)
	b.waitEvents(1)
	ln := a.link.routes[0].Load()
	exchangePackets(t, a, b)
	if _, cleared := ln.look(monotonic()); cleared != 0 {
		t.Fatal("a mark without a choice")
	}
	began := monotonic()
	a.link.choice.Store(newChoice(a.link, began))
	exchangePackets(t, a, b)
	poll(t, func() bool {
		_, cleared := ln.look(monotonic())
		return cleared > began
	}, func() string { return "no answer" })
}
