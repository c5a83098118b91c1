package engine

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"
)

// calm has little be free while a test runs, so that a peer whose routes come and go is paced soon. It is called before the speaker is started.
func calm(t *testing.T, changes int, pace float64) {
	wereFree, was := freeChanges, leastPace
	freeChanges, leastPace = changes, pace
	t.Cleanup(func() { freeChanges, leastPace = wereFree, was })
}

// TestChurn is what a peer may change.
func TestChurn(t *testing.T) {
	calm(t, 1000, 100)
	type step struct {
		after             time.Duration
		accepted, changes int
		left              int
		wait              time.Duration
	}
	for name, steps := range map[string][]step{
		"nothing":                       {{0, 0, 0, 1000, 0}},
		"a table comes":                 {{0, 50_000, 0, 51_000, 0}},
		"it changes as a whole":         {{0, 500, 0, 1500, 0}, {0, 500, 500, 1000, 0}},
		"again and again":               {{0, 500, 1500, 0, 0}, {0, 500, 100, 0, time.Second}, {0, 0, 500, 0, 6 * time.Second}, {4 * time.Second, 0, 0, 0, 2 * time.Second}},
		"time passes":                   {{0, 500, 1500, 0, 0}, {time.Second, 500, 0, 100, 0}, {time.Hour, 500, 0, 1500, 0}},
		"a large table changes faster":  {{0, 300_000, 301_000, 0, 0}, {0, 300_000, 10_000, 0, time.Second}},
		"a table that was there counts": {{0, 2000, 0, 3000, 0}, {0, 0, 2000, 1000, 0}},
		"time does not run back":        {{0, 0, 500, 500, 0}, {-time.Hour, 0, 0, 500, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			var c churn
			now := time.Now()
			for i, s := range steps {
				now = now.Add(s.after)
				c.note(now, s.accepted, s.changes)
				if left, wait := c.left(now); left != s.left || wait.Round(time.Millisecond) != s.wait {
					t.Errorf("step %d: %d left, %v to wait; want %d, %v", i, left, wait, s.left, s.wait)
				}
			}
		})
	}
}

// TestFlappingPeerIsPaced: a peer whose routes come and go as fast as it can send does not have the session of one end that reads
// slowly. It is read more slowly itself, its own session stays, and so does what it has said last.
func TestFlappingPeerIsPaced(t *testing.T) {
	if !amended {
		return
	}
	const most = 1000 // changes that may wait: more than come for the first time, are free, and are let through in a minute
	fewBehind(t, most)
	calm(t, 100, 5)
	s := startSpeaker(t, 64512, "10.0.0.1")
	a := rawSession(t, s, "a", 64513, "10.0.0.2", nil)
	slowReader(t, s, "b", 64514, "10.0.0.3")
	since := statusOf(s, "b").Since
	all := manyPrefixes(0, 200)
	go a.conn.Write(a.flaps(64513, all, 100)) // which waits, and ends with the connection
	c, slow := connOf(s, "a"), connOf(s, "b")
	eventually(t, time.Minute, func() string {
		if _, wait := c.churn.left(time.Now()); wait == 0 {
			return "it is not paced"
		}
		return ""
	})
	var looks atomic.Int32
	count := *slow.queued.Load()
	counted := func() int { looks.Add(1); return count() }
	slow.queued.Store(&counted)
	eventually(t, time.Minute, func() string { // all that was sent could have been read meanwhile
		if n := looks.Load(); n < 12 && statusOf(s, "b").State == stateEstablished {
			return fmt.Sprintf("%d looks at what waits for the slow one", n)
		}
		return ""
	})
	if st := statusOf(s, "b"); st.State != stateEstablished || !st.Since.Equal(since) {
		t.Fatalf("the slow one: %+v", st)
	}
	if n := slow.waits(); n > most+len(all) {
		t.Errorf("%d changes wait for it", n)
	}
	if st := statusOf(s, "a"); st.State != stateEstablished {
		t.Errorf("the one that flaps: %+v", st)
	}
}

// flaps is what flap sends in so many rounds.
func (p *rawPeer) flaps(asn uint32, all []netip.Prefix, rounds int) []byte {
	p.t.Helper()
	var to recorder
	q := &rawPeer{t: p.t, conn: &to, addr: p.addr}
	for i := range rounds {
		q.flap(asn, all, i)
	}
	return to.Bytes()
}

// recorder is a connection of which what is written is kept.
type recorder struct {
	net.Conn
	bytes.Buffer
}

func (r *recorder) Read(b []byte) (int, error)  { return r.Buffer.Read(b) }
func (r *recorder) Write(b []byte) (int, error) { return r.Buffer.Write(b) }

// TestSessionsThatComeAndGoArePaced: a session that ends takes all its routes, which are changes as well.
func TestSessionsThatComeAndGoArePaced(t *testing.T) {
	calm(t, freeChanges, 0.001) // or a busy machine's second would make up for all
	s := startSpeaker(t, 64512, "10.0.0.1")
	a := rawSession(t, s, "a", 64513, "10.0.0.2", nil)
	a.update(64513, manyPrefixes(0, 1000), nil)
	waitRIB(t, s, 1000)
	c := connOf(s, "a").churn
	if left, _ := c.left(time.Now()); left != freeChanges+1000 {
		t.Errorf("%d left; what is announced first is free", left)
	}
	a.conn.Close()
	waitRIB(t, s, 0)
	waitState(t, s, "a", stateActive)
	if left, _ := c.left(time.Now()); left >= freeChanges+1000 {
		t.Errorf("%d left; all was withdrawn", left)
	}
}

// TestPacedPeerHasASession: a peer that has changed too much comes back. It would end a session for whose handshake it has to wait.
func TestPacedPeerHasASession(t *testing.T) {
	calm(t, 0, 0.001)
	s := startSpeaker(t, 64512, "10.0.0.1")
	local, peer := addRaw(t, s, "a", 64513, nil)
	waitState(t, s, "a", stateActive)
	s.mu.Lock()
	s.neighbors["a"].hold.churn.note(time.Now(), 0, 1000)
	s.mu.Unlock()
	p := dialRaw(t, peer, local)
	p.establish(64513, "10.0.0.2")
	waitState(t, s, "a", stateEstablished)
	if _, wait := connOf(s, "a").churn.left(time.Now()); wait == 0 {
		t.Error("it is not paced")
	}
}

// TestChurnOutlivesTheTunnel: a peer whose tunnel goes down and up has its routes gone and announced again, and is paced for that.
func TestChurnOutlivesTheTunnel(t *testing.T) {
	calm(t, 0, 0.001)
	s := startSpeaker(t, 64512, "10.0.0.1")
	a := rawSession(t, s, "a", 64513, "10.0.0.2", nil)
	a.update(64513, manyPrefixes(0, 1000), nil)
	waitRIB(t, s, 1000)
	if err := s.DeleteNeighbor(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	waitRIB(t, s, 0)
	addRaw(t, s, "a", 64513, nil)
	s.mu.Lock()
	over := s.neighbors["a"].hold.churn.isOver(time.Now())
	s.mu.Unlock()
	if over {
		t.Error("that all was withdrawn is forgotten")
	}
	// With a peer that is gone what time has made up for is forgotten.
	s.mu.Lock()
	s.holds["a"].churn.spent = 0
	s.mu.Unlock()
	if err := s.DeleteNeighbor(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, func() string {
		s.edit(func(map[string]*Neighbor, *Wanted) {})
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.holds["a"] != nil {
			return "it is kept"
		}
		return ""
	})
}
