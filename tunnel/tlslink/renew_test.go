package tlslink

import (
	"encoding/binary"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"warren/tunnel/tun"
)

// mostOnTheWay bounds the packets that a test has on their way where none may be lost: where an end stands still for a moment they all wait,
// and a queue holds [fq.MaxPackets].
const mostOnTheWay = 500

// stream is numbered packets on both queues of one end to the other, of which none may
// be missing or out of order.
type stream struct {
	sent [2]chan uint32 // how many, once it has stopped
	got  [2]atomic.Uint32
	bad  []string
}

// startStream sends until stop is closed.
func startStream(from, to *end, stop <-chan struct{}) *stream {
	st := &stream{}
	to.dev.update(func() {
		to.dev.keep = false
		to.dev.onWrite = func(f []byte) {
			q, i := f[tun.HeaderLen+28], binary.BigEndian.Uint32(f[tun.HeaderLen+32:])
			if got := st.got[q].Load(); i != got && len(st.bad) < 10 {
				st.bad = append(st.bad, fmt.Sprintf("queue %d: packet %d, want %d", q, i, got))
			}
			st.got[q].Store(i + 1)
		}
	})
	for q := range 2 {
		st.sent[q] = make(chan uint32, 1)
		go func() {
			for i := uint32(0); ; i++ {
				f := marked(packet(1000, byte(q)))
				binary.BigEndian.PutUint32(f[tun.HeaderLen+32:], i)
				if i%8 == 7 { // not so much that all waits for the processors
					time.Sleep(time.Millisecond)
				}
				for to := from.dev.queues[q]; ; {
					feed := to
					if int(i)-int(st.got[q].Load()) > mostOnTheWay {
						feed = nil
					}
					select {
					case feed <- f:
					case <-time.After(time.Millisecond):
						continue
					case <-stop:
						st.sent[q] <- i
						return
					}
					break
				}
			}
		}()
	}
	return st
}

// openLanes has a tunnel get a lane for each queue, with packets that are over afterwards. A queue that gets another lane may overtake
// itself, so whoever counts on its order does not leave it to the machine when that is.
func openLanes(t *testing.T, a, b *end) {
	t.Helper()
	b.dev.update(func() { b.dev.keep = false })
	left := func() uint64 { s := a.link.Status().Stats; return s.TxPackets + s.Drops } // the interface
	busy := make(chan struct{})
	var floods sync.WaitGroup
	var fed atomic.Uint64
	fed.Add(left())
	for q := range 2 {
		floods.Go(func() { fed.Add(uint64(flood(a, q, busy))) })
	}
	poll(t, func() bool { return a.link.Status().Lanes == 2 && b.link.Status().Lanes == 2 }, func() string { return "not two lanes" })
	close(busy)
	floods.Wait()
	poll(t, func() bool {
		all, sent := left() == fed.Load(), a.link.Status().Stats.TxPackets
		s := b.link.Status().Stats
		return all && s.RxPackets+s.Drops >= sent
	}, func() string {
		return fmt.Sprintf("packets are still on their way: %d, %+v, %+v", fed.Load(), a.link.Status().Stats, b.link.Status().Stats)
	})
	b.dev.update(func() { b.dev.keep = true })
}

// check waits until all that was sent has arrived, in order.
func (st *stream) check(t *testing.T, to *end) {
	t.Helper()
	for q := range 2 {
		want := <-st.sent[q]
		poll(t, func() bool { return st.got[q].Load() >= want }, func() string {
			return fmt.Sprintf("queue %d: %d packets arrived, want %d; %v", q, st.got[q].Load(), want, st.bad)
		})
	}
	to.dev.update(func() {
		for _, bad := range st.bad {
			t.Error(bad)
		}
	})
}

// replacements waits until the lanes of both queues of an end were replaced so often.
func replacements(t *testing.T, e *end, n int) {
	t.Helper()
	var last [2]*lane
	var seen [2]int
	poll(t, func() bool {
		for q := range 2 {
			if ln := e.link.routes[q].Load(); ln != nil && ln != last[q] && (last[q] == nil || last[q].number == ln.number) {
				last[q] = ln
				seen[q]++
			} else if ln != nil {
				last[q] = ln
			}
		}
		return seen[0] > n && seen[1] > n
	}, func() string { return fmt.Sprintf("the lanes were replaced %v times, want %d", seen, n) })
}

// All lanes, lane 0 included, are replaced again and again, whichever end finds them old
// and why, and no packet is lost or overtaken for that.
func TestLanesAreReplaced(t *testing.T) {
	never := renewal{age: time.Hour, records: 1 << 40, limit: 1 << 40}
	often := renewal{age: 150 * time.Millisecond, records: 1 << 40, limit: 1 << 40}
	for name, tc := range map[string]struct {
		dialing, listening renewal
		times              int
	}{
		"by age, dialing end":       {often, never, 10},
		"by age, listening end":     {never, often, 3},
		"by records, dialing end":   {renewal{age: time.Hour, records: 100, limit: 1 << 40}, never, 3},
		"by age, both ends at once": {often, often, 3},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := secretPair(t)
			a.endpoint.renewal, b.endpoint.renewal = tc.dialing, tc.listening
			b.start(secretTrust(0))
			a.start(secretTrust(0), b.addr())
			a.waitEvents(1)
			b.waitEvents(1)
			if tc.dialing == never { // it obeys at most every 256th of that
				a.link.renewal.age = 256 * 50 * time.Millisecond
			}
			if tc.dialing.records == 100 {
				a.link.renewal.age = 64 * 100 * time.Millisecond
			}
			openLanes(t, a, b)
			drops := a.link.Status().Stats.Drops // of what was too much
			stop := make(chan struct{})
			there, back := startStream(a, b, stop), startStream(b, a, stop)
			replacements(t, a, tc.times)
			replacements(t, b, 1)
			close(stop)
			there.check(t, b)
			back.check(t, a)
			if len(a.seen()) != 1 || len(b.seen()) != 1 {
				t.Fatalf("the session ended: %+v %+v", a.seen(), b.seen())
			}
			for _, e := range []*end{a, b} {
				if st := e.link.Status(); st.Stats.Drops > drops || st.Lanes != 2 {
					t.Errorf("%s: %+v", e.cfg.Name, st)
				}
			}
		})
	}
}

// An idle tunnel has its one lane replaced as well.
func TestIdleLaneIsReplaced(t *testing.T) {
	a, b := secretPair(t)
	b.endpoint.renewal.age = 200 * time.Millisecond
	a.endpoint.renewal.age = 256 * 100 * time.Millisecond
	b.start(secretTrust(0))
	a.start(secretTrust(0), b.addr())
	a.waitEvents(1)
	replacements(t, a, 3)
	exchangePackets(t, a, b)
	if len(a.seen()) != 1 || len(b.seen()) != 1 || a.link.Status().Lanes != 1 {
		t.Fatalf("%+v %+v", a.seen(), b.seen())
	}
}

// With an end that cannot replace lanes the tunnel stays as it is.
func TestOlderEndsKeepTheirLanes(t *testing.T) {
	for name, able := range map[string][2]byte{
		"older listening end": {flagWidens | flagRenews, flagWidens},
		"older dialing end":   {flagWidens, flagWidens | flagRenews},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := secretPair(t)
			for i, e := range []*end{a, b} {
				e.endpoint.able = able[i]
				if able[i]&flagRenews != 0 {
					e.endpoint.renewal.age = 100 * time.Millisecond
				}
			}
			b.start(secretTrust(0))
			a.start(secretTrust(0), b.addr())
			a.waitEvents(1)
			b.waitEvents(1)
			first := a.link.routes[0].Load()
			for range 10 {
				exchangePackets(t, a, b)
				before := a.link.Status().RTT
				poll(t, func() bool { return a.link.Status().RTT != before }, func() string { return "no further tick" })
			}
			if len(a.seen()) != 1 || len(b.seen()) != 1 || a.link.routes[0].Load() != first {
				t.Fatalf("%+v %+v", a.seen(), b.seen())
			}
		})
	}
}

// A lane that cannot be replaced goes on.
func TestLaneStaysWithoutReplacement(t *testing.T) {
	a, b := secretPair(t)
	a.endpoint.renewal.age = 300 * time.Millisecond
	b.start(secretTrust(0))
	via := newProxy(t, b.addr())
	via.most.Store(1)
	a.start(secretTrust(0), via.addr())
	a.waitEvents(1)
	b.waitEvents(1)
	first := a.link.routes[0].Load()
	poll(t, func() bool { return time.Since(first.began) > 3*a.endpoint.renewal.age }, func() string { return "it is not old" })
	exchangePackets(t, a, b)
	if len(a.seen()) != 1 || len(b.seen()) != 1 || a.link.routes[0].Load() != first {
		t.Fatalf("%+v %+v", a.seen(), b.seen())
	}
	poll(t, func() bool { return strings.Contains(a.link.Status().Hint, "the keys of this tunnel are") }, func() string { return "status says nothing" })
}

// A peer that has begun to replace a lane and says nothing then leaves all as it was.
func TestHalfReplacedLaneStays(t *testing.T) {
	a, b := secretPair(t)
	b.start(secretTrust(0))
	a.start(secretTrust(0), b.addr())
	a.waitEvents(1)
	b.waitEvents(1)
	mine := a.link.hello(a.link.routes[0].Load().s.id, 0)
	mine.flags |= flagReplaces
	for range 3 {
		conn, w, err := a.link.connect(t.Context(), b.endpoint.Listening()[0])
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		if _, err := a.link.exchange(t.Context(), conn, w, &mine, handshakeTimeout); err != nil {
			t.Fatal(err)
		}
	}
	exchangePackets(t, a, b)
	if len(a.seen()) != 1 || len(b.seen()) != 1 {
		t.Fatalf("%+v %+v", a.seen(), b.seen())
	}
}

// A thousand tunnels that came up together are not replaced together.
func TestReplacementsAreSpread(t *testing.T) {
	now, buckets := time.Now(), map[time.Duration]int{}
	for range 1000 {
		at := defaultRenewal.plan(now).Sub(now)
		if at > time.Hour || at < 30*time.Minute {
			t.Fatalf("replaced after %v", at)
		}
		buckets[at/(10*time.Second)]++
	}
	for at, n := range buckets {
		if n > 60 {
			t.Fatalf("%d of 1000 in the ten seconds after %v", n, at*10*time.Second)
		}
	}
}

func TestRecordsAreCounted(t *testing.T) {
	a, b := secretPair(t)
	b.start(secretTrust(0))
	a.start(secretTrust(0), b.addr())
	a.waitEvents(1)
	b.waitEvents(1)
	sent, got := a.link.routes[0].Load(), b.link.routes[0].Load()
	before := sent.sent.Load()
	for range 20 {
		a.dev.queues[0] <- marked(packet(60000))
	}
	b.waitWritten(20)
	if n := sent.sent.Load() - before; n < 20*4 {
		t.Fatalf("%d records sent, want at least 80", n)
	}
	// A record counts when it has been dealt with, which is after its packet was written.
	poll(t, func() bool { return got.wire.arrived.n.Load() >= 20*4 }, func() string {
		return fmt.Sprintf("%d records received, want at least 80", got.wire.arrived.n.Load())
	})
}
