package engine

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestDeleteDuringFlood deletes a neighbor while its UPDATEs stream in. Nothing
// of them may be left, in the routes or in GoBGP's table, where it would hide
// or outlive the routes of others.
func TestDeleteDuringFlood(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1")
	for round := range 8 {
		p := rawSession(t, s, "b", 64513, "10.0.0.2", nil)
		go p.update(64513, manyPrefixes(0, 50000), nil)
		eventually(t, 40*time.Second, func() string {
			if st := statusOf(s, "b"); st.Accepted < 500*(round+1) {
				return fmt.Sprintf("%+v", st)
			}
			return ""
		})
		if err := s.DeleteNeighbor(t.Context(), "b"); err != nil {
			t.Fatal(err)
		}
		if n := len(s.Routes()); n != 0 {
			t.Fatalf("%d routes are left", n)
		}
		for p, r := range s.TakeChanges() {
			if r.Best() != "" {
				t.Fatalf("%s is still said to come from %s", p, r.Best())
			}
		}
		s.waitClosed(t.Context())
		if n := ribSize(t, s); n != 0 {
			t.Fatalf("%d routes are left in GoBGP", n)
		}
		p.conn.Close()
	}
	eventually(t, 40*time.Second, func() string {
		if n := len(s.Routes()); n != 0 {
			return fmt.Sprintf("%d routes came back", n)
		}
		return ""
	})
}

// TestDeleteDuringFloodUnheard does so while what GoBGP has told of the session is not taken yet, as on a machine that is too busy:
// the neighbor is not thought to be established, and GoBGP forgets it while it takes an UPDATE. The next session with the same
// peer announces what was left, which GoBGP would say nothing of.
func TestDeleteDuringFloodUnheard(t *testing.T) {
	if !amended {
		return // that is what a change of tools/amend is for
	}
	s := startSpeaker(t, 64512, "10.0.0.1")
	for round := range 8 {
		p := rawSession(t, s, "b", 64513, "10.0.0.2", nil)
		go p.update(64513, manyPrefixes(0, 50000), nil)
		eventually(t, 40*time.Second, func() string {
			if st := statusOf(s, "b"); st.Accepted < 500*(round+1) {
				return fmt.Sprintf("%+v", st)
			}
			return ""
		})
		s.mu.Lock()
		s.neighbors["b"].session.state = stateOpenConfirm
		s.mu.Unlock()
		if err := s.DeleteNeighbor(t.Context(), "b"); err != nil {
			t.Fatal(err)
		}
		s.waitClosed(t.Context())
		p.conn.Close()
		left := -1
		eventually(t, 40*time.Second, func() string { // what was being taken has been
			was := left
			if left = takers(); left > 0 || was != 0 {
				return fmt.Sprintf("%d goroutines of GoBGP take messages", left)
			}
			return ""
		})
		if n := ribSize(t, s); n != 0 {
			t.Fatalf("round %d: %d routes are left in GoBGP", round, n)
		}
	}
}

// takers counts the sessions that GoBGP reads.
func takers() int {
	b := make([]byte, 16<<20)
	return strings.Count(string(b[:runtime.Stack(b, true)]), "server.(*fsmHandler).recvMessageloop(")
}

// TestDeleteDeadPeer deletes a neighbor that no longer reads what it is sent.
func TestDeleteDeadPeer(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1")
	local, peer := addRaw(t, s, "b", 64513, nil)
	waitState(t, s, "b", "active")
	p := dialRaw(t, peer, local)
	p.establish(64513, "10.0.0.2")
	waitState(t, s, "b", "established")
	p.update(64513, prefixes("10.2.0.0/16"), nil)
	waitRoutes(t, s, "b", "10.2.0.0/16")
	if err := s.SetAnnounced(t.Context(), manyPrefixes(0, 20000)); err != nil { // p does not read
		t.Fatal(err)
	}
	if err := s.DeleteNeighbor(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	if len(s.Routes()) != 0 {
		t.Errorf("DeleteNeighbor left %s", describe(s.Routes()))
	}
	if err := s.AddNeighbor(t.Context(), Neighbor{Name: "b", LocalAddr: local, PeerAddr: peer, ASN: 64513}); err != nil {
		t.Fatal(err)
	}
	waitState(t, s, "b", "active")
}

// TestSessionLossDropsRoutes breaks the connection.
func TestSessionLossDropsRoutes(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1")
	p := rawSession(t, s, "b", 64513, "10.0.0.2", nil)
	p.update(64513, prefixes("10.2.0.0/16"), nil)
	waitRoutes(t, s, "b", "10.2.0.0/16")
	p.conn.Close()
	waitRoutes(t, s, "")
	eventually(t, 40*time.Second, func() string {
		if st := statusOf(s, "b"); st.LastError != "the peer closed the connection without saying why" || st.Received != 0 {
			return fmt.Sprintf("%+v", st)
		}
		return ""
	})
}

// TestBestPathMovesOn has two neighbors announce the same prefix.
func TestBestPathMovesOn(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1")
	b := rawSession(t, s, "b", 64513, "10.0.0.2", func(n *Neighbor) { n.MaxPrefixes = 1 })
	c := rawSession(t, s, "c", 64514, "10.0.0.3", nil)
	b.update(64513, prefixes("10.9.0.0/16"), nil)
	waitRoutes(t, s, "b", "10.9.0.0/16")
	c.update(64514, prefixes("10.8.0.0/16"), nil)
	waitRoutes2(t, s, "10.9.0.0/16 b", "10.8.0.0/16 c")
	b.update(64513, prefixes("10.8.0.0/16"), nil) // past its limit
	c.update(64514, prefixes("10.9.0.0/16"), nil)
	eventually(t, 40*time.Second, func() string {
		if st := statusOf(s, "b"); st.Refused != 1 {
			return fmt.Sprintf("%+v", st)
		}
		return ""
	})
	waitRoutes2(t, s, "10.9.0.0/16 b", "10.8.0.0/16 c")
	if err := s.DeleteNeighbor(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	waitRoutes2(t, s, "10.9.0.0/16 c", "10.8.0.0/16 c")
}

func waitRoutes2(t *testing.T, s *Speaker, want ...string) {
	t.Helper()
	eventually(t, 40*time.Second, func() string {
		routes := s.Routes()
		for _, w := range want {
			prefix, from, _ := strings.Cut(w, " ")
			if routes[prefixes(prefix)[0]].Best() != from {
				return describe(routes)
			}
		}
		return ""
	})
}

func TestNeighborMistakes(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1")
	local, peer := addRaw(t, s, "b", 64513, nil)
	good := Neighbor{Name: "c", LocalAddr: local, PeerAddr: peer.Next(), ASN: 64513}
	for _, tt := range []struct {
		edit func(*Neighbor)
		says string
	}{
		{func(n *Neighbor) { n.Name = "b" }, "exists already"},
		{func(n *Neighbor) { n.PeerAddr = peer }, "also that of peer b"},
		{func(n *Neighbor) { n.PeerAddr = local }, "both ends' address"},
		{func(n *Neighbor) { n.PeerAddr = prefixes("fe80::1/128")[0].Addr() }, "needs an interface"},
		{func(n *Neighbor) { n.Interface, n.PeerAddr = "tun9", prefixes("fe80::1/128")[0].Addr() }, "one family"},
		{func(n *Neighbor) { n.ASN = 0 }, "asn 0"},
		{func(n *Neighbor) { n.MaxPrefixes = -1 }, "max_prefixes"},
		{func(n *Neighbor) { n.MaxPrefixes, n.HardMaxPrefixes = 9, 8 }, "hard_max_prefixes 8"},
		{func(n *Neighbor) { n.Import.Prefixes = []Filter{filter("10.0.0.0/8", 24, 20)} }, "ge is greater than le"},
	} {
		n := good
		tt.edit(&n)
		if err := s.AddNeighbor(t.Context(), n); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%+v: %v", n, err)
		}
	}
	if err := s.DeleteNeighbor(t.Context(), "x"); !errors.Is(err, errUnknown) {
		t.Errorf("delete: %v", err)
	}
	if err := s.SetPolicy(t.Context(), "x", Policy{}, Policy{}, 0, 0); !errors.Is(err, errUnknown) {
		t.Errorf("set policy: %v", err)
	}
	if err := s.AddNeighbor(t.Context(), good); err != nil {
		t.Error(err)
	}
}
