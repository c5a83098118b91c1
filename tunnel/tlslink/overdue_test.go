package tlslink

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// Records are counted whatever pieces they come in.
func TestRecordCount(t *testing.T) {
	var stream []byte
	const records = 200
	for range records {
		n := rand.N(300)
		stream = binary.BigEndian.AppendUint16(append(stream, 23, 3, 3), uint16(n))
		stream = append(stream, make([]byte, n)...)
	}
	for _, most := range []int{1, 4, 100, len(stream)} {
		var c recordCount
		for rest := stream; len(rest) > 0; {
			n := min(1+rand.N(most), len(rest))
			c.note(rest[:n])
			rest = rest[n:]
		}
		if got := c.n.Load(); got != records {
			t.Errorf("%d records in pieces of up to %d, want %d", got, most, records)
		}
	}
}

// Where connections cannot be replaced the session ends before its keys have protected too much, at the end that finds it, and
// both are told why. It begins again as soon as there is a way.
func TestKeysEnd(t *testing.T) {
	for name, who := range map[string]int{"dialing end": 0, "listening end": 1} {
		t.Run(name, func(t *testing.T) {
			a, b := secretPair(t)
			ends := [2]*end{a, b}
			ends[who].endpoint.renewal.records, ends[who].endpoint.renewal.limit = 100, 300
			b.start(secretTrust(0))
			via := newProxy(t, b.addr())
			a.start(secretTrust(0), via.addr())
			a.waitEvents(1)
			b.waitEvents(1)
			via.refuse.Store(true)
			old := ends[who].link.routes[0].Load()
			for old.records() < 300 {
				a.dev.queues[0] <- packet(1000)
				time.Sleep(time.Millisecond) // so that a look comes soon beside it
			}
			why, told := ends[who].waitEvents(2)[1], ends[1-who].waitEvents(2)[1]
			if why.Up || why.Reason != errExhausted.Error() || told.Up || !strings.Contains(told.Reason, "the keys of the connection") {
				t.Fatalf("%+v; the peer: %+v", why, told)
			}
			via.refuse.Store(false)
			a.waitEvents(3)
			b.waitEvents(3)
			if n := ends[who].link.routes[0].Load().records(); n >= 300 {
				t.Errorf("%d records with the new keys", n)
			}
		})
	}
}

// A further lane ends by itself.
func TestKeysOfAFurtherLaneEnd(t *testing.T) {
	l, s := stillLink(t)
	for _, ln := range s.lanes[:2] {
		here, _ := tcpPair(t)
		ln.wire = newWire(here)
	}
	s.lanes[1].sent.Store(l.renewal.limit - 1)
	if l.endExhausted() || s.lanes[1].lost.Load() {
		t.Fatal("too early")
	}
	s.lanes[1].wire.arrived.n.Store(l.renewal.limit)
	if l.endExhausted() || !s.lanes[1].lost.Load() || s.lanes[0].lost.Load() || l.session != s {
		t.Fatal("the lane goes on, or the session does not")
	}
	if limit := float64(l.renewal.limit); limit > 23_726_566*0.75 { // 2^24.5, RFC 8446, section 5.5
		t.Errorf("the limit is %v", limit)
	}
}

// Status says that connections cannot be replaced, why, and what to do, and stops when they can.
func TestStatusSaysThatKeysAreOverdue(t *testing.T) {
	for name, c := range map[string]struct {
		age     time.Duration
		records uint64
		dialer  bool
		flags   byte
		err     error
		want    []string // of the text; none: there is none
	}{
		"in time":               {age: 68 * time.Minute, dialer: true, flags: flagRenews, err: errors.New("no answer")},
		"nothing was tried yet": {age: 3 * time.Hour, dialer: true, flags: flagRenews},
		"dialing end": {age: 69 * time.Minute, dialer: true, flags: flagRenews, err: errors.New("no answer"),
			want: []string{"are 1h9m0s old", "no answer; do firewalls let new connections to 127.0.0.1:1 through?", "after 16 million TLS records"}},
		"by records":     {records: 2 << 22, dialer: true, flags: flagRenews, err: errors.New("no answer"), want: []string{"are 0s old"}},
		"listening end":  {age: 2 * time.Hour, flags: flagRenews, want: []string{"this router's port"}},
		"an older peer":  {age: 2 * time.Hour, dialer: true, want: []string{"install a later one there"}},
		"an older peer,": {age: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			l, s := stillLink(t)
			now := s.lanes[0].began.Add(c.age)
			s.dialer, s.peer.flags, s.unrenewed = c.dialer, c.flags, c.err
			s.lanes[0].sent.Store(c.records)
			l.report.Up(s.began, s.remote)
			l.noteOverdue(now)
			hint := l.Status().Hint
			if len(c.want) == 0 && hint != "" {
				t.Errorf("%q", hint)
			}
			for _, want := range c.want {
				if !strings.Contains(hint, want) {
					t.Errorf("%q, want %q in it", hint, want)
				}
			}
			s.lanes[0], s.lanes[1] = newLane(s, 0, nil, newWire(nil)), nil
			if l.noteOverdue(s.lanes[0].began); l.Status().Hint != "" {
				t.Errorf("replaced: %q", l.Status().Hint)
			}
		})
	}
}
