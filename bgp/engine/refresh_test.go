package engine

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// refreshOf is a ROUTE-REFRESH.
func refreshOf(f family) []byte {
	return message(gobgp.BGP_MSG_ROUTE_REFRESH, 23, []byte{0, byte(f + 1), 0, 1})
}

// handedOn counts the ROUTE-REFRESHes of a family that wait for GoBGP, and takes them.
func handedOn(c *peerConn, f family) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := bytes.Count(c.out, refreshOf(f))
	c.out = nil
	return n
}

func endOfRIBOf(t *testing.T, f family) []byte {
	t.Helper()
	b, err := gobgp.NewEndOfRib(f.gobgp()).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestRefreshAgain: while GoBGP is putting a table together no other ROUTE-REFRESH of the family is handed on, and
// one follows, not at once.
func TestRefreshAgain(t *testing.T) {
	for name, marks := range map[string]bool{"with markers": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			here, _ := connected(t)
			c := establishedConn(t, here, func(observation) {})
			c.open = []byte{1} // it was written
			c.endOfRIB = func(*peerConn, family, bool) bool { return false }
			for _, f := range families4and6 {
				c.feed(bytes.Repeat(refreshOf(f), 1000))
				if n := handedOn(c, f); n != 1 {
					t.Fatalf("%v: %d are handed on", f, n)
				}
			}
			began := time.Now()
			look := func(after time.Duration, v4, v6 int) {
				t.Helper()
				c.refreshAgain(began.Add(after))
				c.mu.Lock()
				n4, n6 := bytes.Count(c.out, refreshOf(ipv4)), bytes.Count(c.out, refreshOf(ipv6))
				c.out = nil
				c.mu.Unlock()
				if n4 != v4 || n6 != v6 {
					t.Errorf("after %v: %d and %d are handed on, not %d and %d", after, n4, n6, v4, v6)
				}
			}
			look(refreshPause+time.Second, 0, 0)
			if marks {
				if _, err := c.Write(endOfRIBOf(t, ipv4)); err != nil {
					t.Fatal(err)
				}
				eventually(t, time.Minute, func() string { // an acknowledgment may be delayed
					if _, unsent, _, err := waiting(here); err != nil || unsent > 0 {
						return fmt.Sprintf("%d bytes are under way, %v", unsent, err)
					}
					return ""
				})
				look(0, 0, 0)
				look(refreshPause+time.Second, 1, 0)
				look(refreshPatience+time.Second, 0, 1)
			} else {
				look(refreshPatience+time.Second, 1, 1)
			}
			c.feed(refreshOf(ipv4))
			look(3*refreshPatience, 1, 0)
			look(5*refreshPatience, 0, 0)
			c.feed(refreshOf(ipv4))
			if n := handedOn(c, ipv4); n != 1 {
				t.Errorf("one that comes later is not handed on: %d", n)
			}
		})
	}
}

// TestRefreshUnread: a peer that reads nothing has no second table queued for it, however long it asks.
func TestRefreshUnread(t *testing.T) {
	here, _ := connected(t)
	c := establishedConn(t, here, func(observation) {})
	closeWindow(t, here)
	c.feed(bytes.Repeat(refreshOf(ipv4), 1000))
	if n := handedOn(c, ipv4); n != 1 {
		t.Fatalf("%d are handed on", n)
	}
	c.refreshAgain(time.Now().Add(time.Hour))
	if n := handedOn(c, ipv4); n != 0 {
		t.Errorf("%d more are handed on", n)
	}
}

// TestRefreshOfGone: what was asked on a connection that was lost is not asked on the next, which gets everything
// in any case, and a session that has ended is asked nothing.
func TestRefreshOfGone(t *testing.T) {
	here, _ := connected(t)
	c := establishedConn(t, here, func(observation) {})
	c.feed(bytes.Repeat(refreshOf(ipv4), 2))
	next, _ := connected(t)
	c.tcp.Store(nil)
	if !c.attach(next, establishedConn(t, next, nil).judge) {
		t.Fatal("the session does not go on")
	}
	handedOn(c, ipv4)
	c.refreshAgain(time.Now().Add(time.Hour))
	if n := handedOn(c, ipv4); n != 0 {
		t.Errorf("%d are handed on", n)
	}
	c.feed(bytes.Repeat(refreshOf(ipv4), 2))
	c.giveUp()
	handedOn(c, ipv4)
	c.refreshAgain(time.Now().Add(time.Hour))
	if n := handedOn(c, ipv4); n != 0 {
		t.Errorf("%d are handed on after the end", n)
	}
}

// TestRefreshIsAnswered: a peer that asks many times gets all routes at once, and once more after it asked last.
func TestRefreshIsAnswered(t *testing.T) {
	for name, others := range map[string][]gobgp.ParameterCapabilityInterface{
		"with graceful restart": caps(graceful(false, true, 60), extendedNextHop), "without": caps(extendedNextHop),
	} {
		t.Run(name, func(t *testing.T) {
			s := startSpeaker(t, 64512, "10.0.0.1")
			originate(t, s, "10.1.0.0/16")
			w := watchSession(t, s, "b", openMessage(t, 64513, "10.0.0.2", others...), nil)
			w.wantUpdate(t, "10.1.0.0/16")
			w.write(bytes.Repeat(refreshOf(ipv4), 1000))
			for range 2 {
				w.wantUpdate(t, "10.1.0.0/16")
			}
			if st := statusOf(s, "b"); st.State != stateEstablished || st.Malformed.Discarded != 0 {
				t.Errorf("%+v", st)
			}
		})
	}
}

// TestRefreshBesideADump: of the two markers of a family that follow while GoBGP is about to send all routes by itself
// and because the peer has asked, the first is not taken for the end of the former.
func TestRefreshBesideADump(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1")
	watchSession(t, s, "b", openMessage(t, 64513, "10.0.0.2", caps(graceful(false, true, 60), extendedNextHop)...), nil)
	s.mu.Lock()
	n := s.neighbors["b"]
	c := n.session.conn
	s.mu.Unlock()
	eventually(t, time.Minute, func() string {
		s.mu.Lock()
		defer s.mu.Unlock()
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.marked != [2]bool{true, true} || n.session.dumping != [2]bool{} || !s.exportedLocked(n) {
			return "the beginning of the session is not over"
		}
		return ""
	})
	s.mu.Lock()
	n.session.dumping[ipv4] = true
	s.mu.Unlock()
	c.mu.Lock()
	c.marked, c.refreshes[ipv4] = [2]bool{}, refresh{since: time.Now()}
	c.mu.Unlock()
	for i, last := range []bool{false, true} {
		if _, err := c.Write(endOfRIBOf(t, ipv4)); err != nil {
			t.Fatal(err)
		}
		s.mu.Lock()
		dumping := n.session.dumping[ipv4]
		s.mu.Unlock()
		c.mu.Lock()
		marked, asked := c.marked[ipv4], c.refreshes[ipv4].marked
		c.mu.Unlock()
		if dumping == last || marked != last || !asked {
			t.Errorf("marker %d: all is yet to be sent: %v, the peer has the marker: %v, the refresh is answered: %v", i, dumping, marked, asked)
		}
	}
}
