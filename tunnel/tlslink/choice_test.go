package tlslink

import (
	"encoding/binary"
	"fmt"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"warren/tunnel/tun"
)

// echo returns a frame with an ICMP packet of a type.
func echo(typ byte) []byte {
	f := packet(84)
	f[tun.HeaderLen+9], f[tun.HeaderLen+20] = unix.IPPROTO_ICMP, typ
	return f
}

// chosen is a link whose lanes are as a test says: nothing is sent, and what is handed over waits.
func chosen(t *testing.T) (*Link, *choice) {
	t.Helper()
	l, s := stillLink(t)
	l.maxLanes, s.spread = 2, true
	l.route()
	for q := range l.backlogs {
		l.backlogs[q].begin()
	}
	for n := range 2 {
		s.lanes[n].outlook.at = 1 << 62 // no look is due
	}
	c := newChoice(l, 1)
	c.spread.Store(true)
	l.choice.Store(c)
	return l, c
}

func (ln *lane) is(v view, cleared time.Duration) {
	v.known = true
	ln.outlook.view, ln.outlook.cleared = v, cleared
}

func (l *Link) waiting(queue int) int {
	if q := l.backlogs[queue].queue; q != nil {
		return q.Len()
	}
	return 0
}

// Which lane a packet takes that was read from queue 0, whose lane is 0.
func TestChoice(t *testing.T) {
	const never, always = 0, 1 << 62
	free, some, much := view{}, view{ahead: 3000}, view{ahead: 90_000}
	hole := view{ahead: 200, hole: true}
	small, large := packet(200), packet(2000)
	ping, syn, narrow := echo(8), packet(60), func(_ *Link, c *choice) { c.spread.Store(false) }
	syn[tun.HeaderLen+9], syn[tun.HeaderLen+33] = unix.IPPROTO_TCP, 2
	for name, c := range map[string]struct {
		frame   []byte
		zero    view // lane 0
		one     view
		cleared time.Duration // of both
		before  int           // the lane of the flow's packets before; -1: there were none
		change  func(l *Link, c *choice)
		want    int
	}{
		"nothing is ahead":                     {small, free, free, always, 0, nil, 0},
		"much is ahead":                        {small, much, free, always, 0, nil, 1},
		"of the first packet":                  {small, much, free, always, -1, nil, 1},
		"less is ahead there":                  {small, much, some, always, 0, nil, 1},
		"more is ahead there":                  {small, some, much, always, 0, nil, 0},
		"as much is ahead there":               {small, some, some, always, 0, nil, 0},
		"a hole":                               {small, hole, much, always, 0, nil, 1},
		"a hole there":                         {small, much, hole, always, 0, nil, 0},
		"a hole in both":                       {small, view{ahead: 90_000, hole: true}, hole, always, 0, nil, 1},
		"something is on its way":              {small, much, free, never, 0, nil, 0},
		"a large packet":                       {large, much, free, always, 0, nil, 0},
		"it stays there":                       {small, free, much, never, 1, nil, 1},
		"a large packet stays there":           {large, free, much, always, 1, nil, 1},
		"a connection begins":                  {syn, much, free, always, 0, nil, 1},
		"one begins, and streams share a lane": {syn, much, free, always, 0, narrow, 0},
		"small, and streams share a lane":      {small, much, free, always, 0, narrow, 1},
		"large, and streams share a lane":      {large, much, free, always, 1, narrow, 0},
		"large, and something is on its way":   {large, much, free, never, 1, narrow, 1},
		"it comes back":                        {small, free, much, always, 1, nil, 0},
		"a lane was replaced":                  {small, much, free, always, 0, func(_ *Link, c *choice) { c.steady.Store(false) }, 0},
		"one was replaced, it was there":       {small, free, much, always, 1, func(_ *Link, c *choice) { c.steady.Store(false) }, 1},
		"a lane is missing":                    {small, much, free, always, 0, func(l *Link, _ *choice) { l.session.lanes[1] = nil; l.route() }, 0},
		"a lane was lost":                      {small, much, free, always, 0, func(l *Link, _ *choice) { l.session.lanes[1].lost.Store(true); l.route() }, 0},
		"the kernel says nothing":              {small, much, free, always, 0, func(l *Link, _ *choice) { l.session.lanes[1].outlook.view.known = false }, 0},
		"an echo":                              {ping, much, free, never, 0, nil, 1},
		"the answer to one":                    {echo(0), much, free, never, 0, nil, 1},
		"an echo, nothing is ahead":            {ping, free, free, never, 0, nil, 0},
		"another ICMP packet":                  {echo(3), much, free, never, 0, nil, 0},
		"it is down":                           {small, much, free, always, 0, func(l *Link, _ *choice) { l.routes[0].Store(nil) }, 0},
		"the tables know nothing of then":      {small, much, free, 5, -1, func(_ *Link, c *choice) { c.since = 6 }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			l, ch := chosen(t)
			if c.before >= 0 {
				l.session.lanes[c.before^1].is(much, always)
				l.session.lanes[c.before].is(free, always)
				if c.before == 1 && !l.goesElsewhere(0, small) {
					t.Fatal("the packet before has not gone by the other lane")
				} else if c.before == 0 {
					l.goesElsewhere(0, small)
				}
				at := &ch.tables[0][flowOf(small)%places]
				at.last = 100
			}
			l.session.lanes[0].is(c.zero, c.cleared)
			l.session.lanes[1].is(c.one, c.cleared)
			if c.change != nil {
				c.change(l, ch)
			}
			before := l.waiting(l.laneQueue(1))
			went := l.goesElsewhere(0, c.frame)
			if went != (c.want == 1) || l.waiting(l.laneQueue(1))-before != c.want || l.waiting(0) != 0 {
				t.Errorf("elsewhere: %v, %d wait there, want lane %d", went, l.waiting(l.laneQueue(1))-before, c.want)
			}
		})
	}
}

// A flow that has just sent something stays where it is, even if nothing of that seems to be on its way.
func TestFlowOfManyPacketsStays(t *testing.T) {
	l, c := chosen(t)
	l.session.lanes[0].is(view{ahead: 1}, 1<<62)
	l.session.lanes[1].is(view{}, 1<<62)
	c.tables[0][flowOf(packet(99))%places].last = monotonic() + time.Hour
	if l.goesElsewhere(0, packet(99)) {
		t.Error("it goes by another lane")
	}
}

// Flows that choose their lanes stay in order, beside streams that fill one lane and then the other.
func TestFlowsThatChooseStayInOrder(t *testing.T) {
	a, b := secretPair(t)
	a.cfg.Congestion = "reno" // queues that wait for each other get lanes of their own
	b.start(secretTrust(0))
	a.start(secretTrust(0), b.addr())
	a.waitEvents(1)
	b.waitEvents(1)
	poll(t, func() bool {
		a.link.waits[0].sum.Add(int64(time.Hour)) // again, as a look may find that more lanes would not help, or a dial may fail
		return a.link.Status().Lanes == 2 && b.link.Status().Lanes == 2
	}, func() string { return "not two lanes" })
	c := newChoice(a.link, monotonic())
	c.spread.Store(true)
	a.link.choice.Store(c)
	got := newSequences()
	b.dev.update(func() { b.dev.keep, b.dev.onWrite = false, got.note })

	stop := make(chan struct{})
	var senders sync.WaitGroup
	send := func(queue int, f []byte) bool {
		select {
		case a.dev.queues[queue] <- f:
			return true
		case <-stop:
			return false
		}
	}
	senders.Go(func() {
		for i := uint32(0); ; i++ {
			if queue := int(i/64) % 2; !send(queue, numbered(60000, byte(1+queue), i)) {
				return
			}
		}
	})
	const sparse = 6
	var sent [sparse]uint32
	for n := range sparse {
		senders.Go(func() {
			for pause := time.Duration(0); send(n%2, numbered(100, byte(10+n), sent[n])); sent[n]++ {
				pause = (pause + 3*time.Millisecond) % (40 * time.Millisecond) // some packets close to each other, some not
				time.Sleep(pause)
			}
		})
	}
	used := func(n int) bool {
		q := &a.link.backlogs[a.link.laneQueue(n)]
		q.mu.Lock()
		defer q.mu.Unlock()
		return q.queue != nil
	}
	for range 20 {
		for n := range 2 {
			poll(t, func() bool { return used(n) }, func() string { return fmt.Sprintf("no flow chooses lane %d", n) })
			before := got.count()
			poll(t, func() bool { return got.count() > before+20 }, func() string { return "nothing arrives" })
		}
	}
	close(stop)
	senders.Wait()
	for n := range sparse {
		poll(t, func() bool { return got.next(byte(10+n)) == sent[n] },
			func() string { return fmt.Sprintf("flow %d: %d of %d packets", n, got.next(byte(10+n)), sent[n]) })
	}
	if err := got.wrong(); err != nil {
		t.Error(err)
	}
}

// sequences are the numbers of the packets that have arrived, of each flow.
type sequences struct {
	mu       sync.Mutex
	expected map[byte]uint32
	packets  int
	err      error
}

func newSequences() *sequences { return &sequences{expected: map[byte]uint32{}} }

func (s *sequences) note(f []byte) {
	flow, n := f[tun.HeaderLen+28], binary.BigEndian.Uint32(f[tun.HeaderLen+32:])
	s.mu.Lock()
	defer s.mu.Unlock()
	if n < s.expected[flow] && s.err == nil {
		s.err = fmt.Errorf("flow %d: packet %d after %d", flow, n, s.expected[flow]-1)
	}
	s.expected[flow] = n + 1
	s.packets++
}

func (s *sequences) next(flow byte) uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.expected[flow]
}

func (s *sequences) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.packets
}

func (s *sequences) wrong() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}
