package engine

import (
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"warren/bgp/judge"
)

// connected returns the two ends of a TCP connection.
func connected(t *testing.T) (here *net.TCPConn, peer net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if peer, err = net.Dial("tcp", listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { peer.Close() })
	accepted, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { accepted.Close() })
	return accepted.(*net.TCPConn), peer
}

// establishedConn is a connection in a session with a hold time of testHold.
func establishedConn(t *testing.T, tcp *net.TCPConn, see func(observation)) *peerConn {
	t.Helper()
	c := &peerConn{wake: make(chan struct{}, 1), judge: judge.New(judge.Config{LocalASN: 64512, PeerASN: 64513}), see: see}
	c.tcp.Store(tcp)
	open := openMessage(t, 64513, "10.0.0.2")
	open.Body.(*gobgp.BGPOpen).HoldTime = uint16(testHold / time.Second)
	for _, m := range []*gobgp.BGPMessage{open, gobgp.NewBGPKeepAliveMessage()} {
		b, err := m.Serialize()
		if err != nil {
			t.Fatal(err)
		}
		if m.Header.Type == gobgp.BGP_MSG_OPEN {
			c.judge.ToPeer(nil, b)
		}
		if _, err := c.judge.FromPeer(nil, b); err != nil {
			t.Fatal(err)
		}
	}
	if is := c.judge.HoldTime(); is != testHold || !c.judge.Established() {
		t.Fatalf("hold time %v, established: %v", is, c.judge.Established())
	}
	return c
}

const testHold = 9 * time.Second

// TestCheckAlive has what a look at an established session makes of it.
func TestCheckAlive(t *testing.T) {
	const hold = testHold
	expired := (&judge.Notification{Code: gobgp.BGP_ERROR_HOLD_TIMER_EXPIRED}).Bytes()
	for name, c := range map[string]struct {
		heard, spoke time.Duration // so long ago
		unread       bool          // the peer's bytes wait in the socket
		untaken      bool          // or judged, for GoBGP
		sends        []byte        // what the peer gets
	}{
		"both talk":                         {heard: hold / 3, spoke: hold / 3},
		"the peer is silent":                {heard: hold + 1, sends: expired},
		"nobody has read what it sent":      {heard: hold + 1, unread: true},
		"GoBGP has not read what it sent":   {heard: hold + 1, untaken: true},
		"this end is silent":                {heard: hold / 3, spoke: hold/3 + time.Second + 1, sends: keepaliveMessage},
		"this end is busy, and the peer so": {heard: hold + 1, spoke: hold, unread: true, sends: keepaliveMessage},
	} {
		t.Run(name, func(t *testing.T) {
			here, peer := connected(t)
			var seen observation
			p := establishedConn(t, here, func(o observation) { seen = o })
			now := time.Now()
			p.heard = now.Add(-c.heard)
			p.spoke.Store(int64(now.Sub(start) - c.spoke))
			if c.untaken {
				p.out = []byte{1}
			}
			if c.unread {
				if _, err := peer.Write(keepaliveMessage); err != nil {
					t.Fatal(err)
				}
				eventually(t, time.Minute, func() string {
					if n, _, _, err := waiting(here); err != nil || n != len(keepaliveMessage) {
						return "it has not arrived"
					}
					return ""
				})
			}
			if do := p.checkAlive(now, 0); do != nil {
				do()
			}
			if ended := p.ended != nil; ended != (string(c.sends) == string(expired)) {
				t.Errorf("ended: %v", ended)
			} else if ended && (seen.refused == nil || seen.refused.Text != "nothing was heard from the peer for 9 s (hold timer expired)") {
				t.Errorf("seen: %+v", seen)
			}
			if !p.heard.Equal(now) && (c.unread || c.untaken) {
				t.Error("what has come in does not count")
			}
			here.CloseWrite()
			peer.SetReadDeadline(now.Add(time.Minute))
			if got, err := io.ReadAll(peer); err != nil || string(got) != string(c.sends) {
				t.Errorf("the peer reads %x, %v", got, err)
			}
		})
	}
}

// TestPeerThatReadsNothing ends a session in which nothing is acknowledged for long, though the peer is heard.
func TestPeerThatReadsNothing(t *testing.T) {
	here, peer := connected(t)
	var seen observation
	p := establishedConn(t, here, func(o observation) { seen = o })
	closeWindow(t, here)
	now := time.Now()
	look := func(at time.Time) func() {
		p.heard = at
		return p.checkAlive(at, 0)
	}
	if do := look(now); do != nil {
		t.Fatal("the session ends at once")
	}
	// What the peer takes counts.
	if _, err := io.CopyN(io.Discard, peer, 1<<20); err != nil {
		t.Fatal(err)
	}
	acked := p.acked
	eventually(t, time.Minute, func() string {
		if _, _, now, err := waiting(here); err != nil || now < acked+sendHoldRead {
			return fmt.Sprintf("%d bytes are acknowledged, %v", now, err)
		}
		return ""
	})
	now = now.Add(sendHoldTime + 1)
	if do := look(now); do != nil {
		t.Fatal("the session ends though the peer has read something")
	}
	settle(t, here)
	if do := look(now); do != nil {
		t.Fatal("the session ends before its time")
	}
	var do func()
	eventually(t, time.Minute, func() string { // its kernel may take something yet on a busy machine, which counts as well
		now = now.Add(sendHoldTime + 1)
		if do = look(now); do == nil {
			return "the session goes on"
		}
		return ""
	})
	do()
	if p.ended == nil || seen.refused == nil || seen.refused.Text != sendHoldExpiredText {
		t.Errorf("ended: %v, seen: %+v", p.ended, seen)
	}
}

// TestPeerThatReadsNextToNothing has one that takes a little, again and again, with a hold time of zero, which it
// has chosen.
func TestPeerThatReadsNextToNothing(t *testing.T) {
	here, peer := connected(t)
	peer.(*net.TCPConn).SetReadBuffer(4 << 10)
	var seen observation
	p := establishedConn(t, here, func(o observation) { seen = o })
	open := openMessage(t, 64513, "10.0.0.2")
	open.Body.(*gobgp.BGPOpen).HoldTime = 0
	p.judge = judge.New(judge.Config{LocalASN: 64512, PeerASN: 64513})
	for _, m := range []*gobgp.BGPMessage{open, gobgp.NewBGPKeepAliveMessage()} {
		b, err := m.Serialize()
		if err != nil {
			t.Fatal(err)
		}
		if m.Header.Type == gobgp.BGP_MSG_OPEN {
			p.judge.ToPeer(nil, b)
		}
		if _, err := p.judge.FromPeer(nil, b); err != nil {
			t.Fatal(err)
		}
	}
	if hold := p.judge.HoldTime(); hold != 0 || !p.judge.Established() {
		t.Fatalf("hold time %v, established: %v", hold, p.judge.Established())
	}
	p.heard = time.Now().Add(-time.Hour) // which is no matter
	closeWindow(t, here)
	now := time.Now()
	if do := p.checkAlive(now, 0); do != nil {
		t.Fatal("the session ends at once")
	}
	began := p.acked
	for range 8 {
		if _, err := io.CopyN(io.Discard, peer, 1<<10); err != nil {
			t.Fatal(err)
		}
		now = now.Add(sendHoldTime / 9)
		if do := p.checkAlive(now, 0); do != nil {
			t.Fatal("the session ends before its time")
		}
		if p.acked != began {
			t.Fatalf("%d bytes count", p.acked-began)
		}
	}
	do := p.checkAlive(now.Add(sendHoldTime/9+time.Second), 0)
	if do == nil {
		t.Fatal("the session goes on")
	}
	do()
	if p.ended == nil || seen.refused == nil || seen.refused.Text != sendHoldExpiredText {
		t.Errorf("ended: %v, seen: %+v", p.ended, seen)
	}
}

// closeWindow writes until neither the peer's kernel nor this end's takes any more. It looks at what the kernels do, and not at
// a time in which that has to be done.
func closeWindow(t *testing.T, here *net.TCPConn) {
	t.Helper()
	raw, err := here.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1<<20)
	took := 0 // by this end's kernel, since the peer's was quiet
	write := func() (err error) {
		if e := raw.Control(func(fd uintptr) {
			var n int
			if n, err = unix.Write(int(fd), b); err == nil {
				took += n
			}
		}); e != nil {
			t.Fatal(e)
		}
		return err
	}
	eventually(t, time.Minute, func() string {
		took = 0
		for err = nil; err == nil; {
			err = write()
		}
		if !errors.Is(err, unix.EAGAIN) {
			t.Fatal(err)
		}
		settle(t, here)
		if took > 0 {
			return "the peer's window is not closed"
		}
		return ""
	})
}

// settle waits until the peer's window is closed: what the kernel sends by itself, into buffers that grow, is over.
func settle(t *testing.T, here *net.TCPConn) {
	t.Helper()
	var acked uint64
	quiet := 0
	eventually(t, time.Minute, func() string {
		_, _, now, err := waiting(here)
		if err != nil {
			t.Fatal(err)
		}
		if quiet++; now != acked {
			acked, quiet = now, 0
		}
		if quiet < 20 {
			return "the peer's buffer fills"
		}
		return ""
	})
}
