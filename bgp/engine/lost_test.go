package engine

import (
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"warren/bgp/judge"
)

// TestWriteBehindNotification writes on when the session has ended, as GoBGP does in the middle of a table: the peer
// reads the NOTIFICATION, and nothing behind it.
func TestWriteBehindNotification(t *testing.T) {
	cease := &judge.Notification{Code: gobgp.BGP_ERROR_CEASE}
	for name, end := range map[string]struct {
		by   func(*peerConn) error
		want error
	}{
		"the judge's": {by: func(c *peerConn) error { c.refuse(cease, observation{}); return nil }},
		"GoBGP's": {want: net.ErrClosed, by: func(c *peerConn) error {
			if _, err := c.Write(cease.Bytes()); err != nil {
				return err
			}
			return c.Close()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			here, peer := connected(t)
			c := &peerConn{
				wake: make(chan struct{}, 1), over: make(chan struct{}), open: []byte{}, judge: judge.New(judge.Config{}),
				see: func(observation) {}, gone: func(*peerConn) {},
			}
			c.tcp.Store(here)
			if _, err := peer.Write(keepaliveMessage); err != nil { // which nobody reads
				t.Fatal(err)
			}
			if err := end.by(c); err != nil {
				t.Fatal(err)
			}
			if n, err := c.Write(keepaliveMessage); !errors.Is(err, end.want) || err == nil && n != len(keepaliveMessage) {
				t.Errorf("the next Write: %d, %v", n, err)
			}
			peer.SetReadDeadline(time.Now().Add(time.Minute))
			if got, err := io.ReadAll(peer); err != nil || string(got) != string(cease.Bytes()) {
				t.Errorf("the peer reads %x, %v", got, err)
			}
			c.Close()
		})
	}
}

// TestLastWordIsRead has a peer send a NOTIFICATION and reset the connection, of which a write learns first: what the peer has said
// is read nevertheless, or it would be taken for one that restarts.
func TestLastWordIsRead(t *testing.T) {
	here, peer := connected(t)
	c := establishedConn(t, here, func(observation) {})
	c.open, c.churn, c.paced = []byte{1}, &churn{}, func() {}
	c.lost = func(*peerConn) bool { return false }
	cease := (&judge.Notification{Code: gobgp.BGP_ERROR_CEASE, Subcode: gobgp.BGP_ERROR_SUB_ADMINISTRATIVE_SHUTDOWN}).Bytes()
	if _, err := peer.Write(cease); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(peer.(*net.TCPConn).SetLinger(0), peer.Close()); err != nil { // with a reset
		t.Fatal(err)
	}
	eventually(t, time.Minute, func() string {
		if info, err := tcpInfo(here); err != nil || info.State != unix.BPF_TCP_CLOSE {
			return fmt.Sprintf("%+v, %v", info, err)
		}
		return ""
	})
	for range 2 { // the first one learns of the reset, the second one of a connection that is over
		if _, err := c.Write(keepaliveMessage); err != nil {
			t.Fatal(err)
		}
	}
	got := make([]byte, 100)
	if n, err := c.Read(got); err != nil || string(got[:n]) != string(cease) {
		t.Errorf("read are %x, %v", got[:n], err)
	}
	if n, err := c.Read(got); err == nil {
		t.Errorf("and %x", got[:n])
	}
}

// TestQueuesAreEmptied takes a neighbor away for which much is queued.
func TestQueuesAreEmptied(t *testing.T) {
	if !amended {
		return // that is what a change of tools/amend is for
	}
	s := startSpeaker(t, 64512, "10.0.0.1")
	before := queues()
	local, peer := addRaw(t, s, "b", 64513, func(n *Neighbor) { n.Export = Policy{Own: true} })
	waitState(t, s, "b", stateActive)
	p := dialNarrow(t, peer, local)
	p.establish(64513, "10.0.0.2")
	p.keepAlive() // and reads nothing more
	waitState(t, s, "b", stateEstablished)
	s.mu.Lock()
	c := s.neighbors["b"].session.conn
	s.mu.Unlock()
	// So that this end's kernel takes little of it either.
	if err := c.tcp.Load().SetWriteBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	if err := s.SetAnnounced(t.Context(), manyPrefixes(0, 20_000)); err != nil {
		t.Fatal(err)
	}
	// What is written does not get any more: the peer's window is closed.
	was, since := 0, time.Now()
	eventually(t, time.Minute, func() string {
		_, unsent, _, err := waiting(c.tcp.Load())
		if err != nil {
			t.Fatal(err)
		}
		if unsent != was || unsent == 0 {
			was, since = unsent, time.Now()
		}
		if time.Since(since) < time.Second {
			return fmt.Sprintf("%d bytes are under way", unsent)
		}
		return ""
	})
	s.edit(func(all map[string]*Neighbor, _ *Wanted) { delete(all, "b") })
	s.Part(t.Context())
	eventually(t, time.Minute, func() string {
		if now := queues(); now > before {
			return fmt.Sprintf("%d queues, and %d before", now, before)
		}
		return ""
	})
}

// queues counts GoBGP's queues without end.
func queues() int {
	b := make([]byte, 16<<20)
	return strings.Count(string(b[:runtime.Stack(b, true)]), "channels.(*InfiniteChannel).infiniteBuffer(")
}
