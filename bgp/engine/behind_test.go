package engine

import (
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"warren/bgp"
)

// fewBehind has mostBehind small while a test runs. It is called before the speaker is started.
func fewBehind(t *testing.T, most int) {
	was := mostBehind
	mostBehind = most
	t.Cleanup(func() { mostBehind = was })
}

// slowReader is a peer in an established session that is to be sent all routes and reads nothing until it is told to.
// Neither its host nor the speaker's has much room for what it has not read, whatever they have for others.
func slowReader(t *testing.T, s *Speaker, name string, asn uint32, id string) *rawPeer {
	t.Helper()
	local, peer := addRaw(t, s, name, asn, func(n *Neighbor) { n.Export = Policy{Any: true} })
	waitState(t, s, name, stateActive)
	p := dialNarrow(t, peer, local)
	p.establish(asn, id)
	waitState(t, s, name, stateEstablished)
	c := connOf(s, name)
	if err := c.tcp.Load().SetWriteBuffer(16 << 10); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, func() string { // GoBGP does so when it begins to send, of which it does not tell
		if c.queued.Load() == nil {
			return "what waits for the peer is not counted"
		}
		return ""
	})
	p.conn.SetReadDeadline(time.Time{})
	p.keepAlive()
	return p
}

func connOf(s *Speaker, name string) *peerConn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.neighbors[name].session.conn
}

// dribble has p read 1 KB a second.
func (p *rawPeer) dribble() {
	go func() {
		for range time.Tick(time.Second) {
			if _, err := io.CopyN(io.Discard, p.conn, 1<<10); err != nil {
				return
			}
		}
	}()
}

// flap announces prefixes with long AS paths, others in each round, or withdraws them all.
func (p *rawPeer) flap(asn uint32, all []netip.Prefix, round int) {
	p.t.Helper()
	if round%4 == 3 {
		p.update(asn, nil, all)
		return
	}
	path := slices.Repeat([]uint32{asn, uint32(100_000 + round)}, 50)
	for some := range slices.Chunk(all, 20) {
		path[len(path)-1]++
		p.updatePath(path, some, nil)
	}
}

// TestSlowReaderOfAFlappingPeer: the changes of one peer's routes do not wait in memory for another that reads next to
// nothing, however long both go on. The latter's session ends with what an operator has to know, and others notice nothing.
func TestSlowReaderOfAFlappingPeer(t *testing.T) {
	if !amended {
		return // that is what a change of tools/amend is for
	}
	fewBehind(t, 5000)
	calm(t, 1e9, 1) // so that the peer whose routes come and go is not paced
	s := startSpeaker(t, 64512, "10.0.0.1")
	a := rawSession(t, s, "a", 64513, "10.0.0.2", nil)
	b := slowReader(t, s, "b", 64514, "10.0.0.3")
	rawSession(t, s, "c", 64515, "10.0.0.4", func(n *Neighbor) { n.Export = Policy{Any: true} })
	b.dribble()
	since := statusOf(s, "c").Since
	all := manyPrefixes(0, 1000)
	round := 0
	eventually(t, time.Minute, func() string {
		for range 3 {
			a.flap(64513, all, round)
			round++
		}
		st := statusOf(s, "b")
		if !strings.Contains(st.LastError, "changes of routes waited for the peer") || !strings.Contains(st.LastError, "the next try is at") {
			return fmt.Sprintf("after %d rounds: %+v", round, st)
		}
		return ""
	})
	if st := statusOf(s, "c"); st.State != stateEstablished || !st.Since.Equal(since) {
		t.Errorf("another peer: %+v", st)
	}
	if c := s.Explain(bgp.Question{Of: netip.MustParsePrefix("10.99.0.0/16")}).Candidates; len(c) != 0 {
		t.Errorf("what the peer never announced: %+v", c)
	}
}

// TestSlowReaderOfALargeTable: a slow peer is told of a table that has come all at once, however long that takes.
func TestSlowReaderOfALargeTable(t *testing.T) {
	if !amended {
		return
	}
	fewBehind(t, 1000)
	s := startSpeaker(t, 64512, "10.0.0.1")
	a := rawSession(t, s, "a", 64513, "10.0.0.2", nil)
	b := slowReader(t, s, "b", 64514, "10.0.0.3")
	const n = 10_000
	all := manyPrefixes(0, n)
	a.flap(64513, all, 0)
	waitRIB(t, s, n)
	waitQueued(t, s, "b", 1001)
	left := make(map[netip.Prefix]bool, n)
	for _, p := range all {
		left[p] = true
	}
	for len(left) > 0 {
		m := b.read()
		if m == nil {
			t.Fatalf("the session ends, with %d prefixes to come: %+v", len(left), statusOf(s, "b"))
		}
		if u, ok := m.Body.(*gobgp.BGPUpdate); ok {
			for _, x := range u.NLRI {
				delete(left, netip.MustParsePrefix(x.NLRI.String()))
			}
		}
	}
}

// waitQueued waits until so much waits for a peer.
func waitQueued(t *testing.T, s *Speaker, name string, atLeast int) {
	t.Helper()
	c := connOf(s, name)
	eventually(t, time.Minute, func() string {
		if n := c.waits(); n < atLeast {
			return fmt.Sprintf("%d changes wait", n)
		}
		return ""
	})
}

// TestBehind is what counts as too many changes that wait.
func TestBehind(t *testing.T) {
	fewBehind(t, 100)
	type look struct {
		queued, table int
		is            bool
	}
	for name, looks := range map[string][]look{
		"few prefixes":           {{100, 0, false}, {101, 0, true}},
		"a table comes":          {{0, 0, false}, {1000, 1000, false}, {1101, 1000, true}},
		"a table goes":           {{0, 1000, false}, {1000, 0, false}, {1100, 0, false}, {1101, 0, true}},
		"a table comes and goes": {{0, 0, false}, {1000, 1000, false}, {1050, 0, false}, {2000, 0, true}},
		// GoBGP hears late of a peer that is gone.
		"a table goes late":        {{0, 1000, false}, {0, 0, false}, {0, 0, false}, {1000, 0, false}, {1101, 0, true}},
		"what was once is no more": append(append([]look{{0, 1000, false}}, slices.Repeat([]look{{0, 0, false}}, looksToForget+1)...), look{101, 0, true}),
	} {
		t.Run(name, func(t *testing.T) {
			c := &peerConn{}
			for i, l := range looks {
				c.CountQueue(func() int { return l.queued })
				if queued, is := c.isBehind(1, l.table); is != l.is || queued != l.queued {
					t.Errorf("look %d: %d are queued, too many: %v", i, queued, is)
				}
			}
		})
	}
}
