//go:build privileged

package flow

import (
	"net"
	"net/netip"
	"os/exec"
	"testing"
	"time"

	"warren/internal/netns"
)

// TestOwnMessagesDoNotWait has a line so slow that a peer's data fills the socket. What is sent to others without data,
// as a keepalive, is sent by a goroutine that decides whether peers are alive.
func TestOwnMessagesDoNotWait(t *testing.T) {
	netns.Test(t)
	for _, args := range [][]string{
		{"ip", "link", "set", "lo", "up"},
		{"ip", "link", "add", "d0", "type", "veth", "peer", "name", "d1"},
		{"ip", "link", "set", "d1", "up"},
		{"ip", "link", "set", "d0", "up"},
		{"ip", "addr", "add", "192.0.2.1/24", "dev", "d0"},
		{"ip", "neigh", "add", "192.0.2.2", "lladdr", "02:00:00:00:00:02", "dev", "d0"},
		{"tc", "qdisc", "add", "dev", "d0", "root", "tbf", "rate", "64bit", "burst", "70kb", "limit", "1gb"},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v: %s", args, err, out)
		}
	}
	c, err := net.ListenPacket("udp4", "192.0.2.1:0")
	if err != nil {
		t.Fatal(err)
	}
	raw, err := c.(*net.UDPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := Prepare("udp4", raw); err != nil {
		t.Fatal(err)
	}
	s := NewSocket(c.(*net.UDPConn))
	to := netip.MustParseAddrPort("192.0.2.2:51820")
	sent, ended := make(chan error), make(chan struct{})
	go func() {
		defer close(ended)
		for data := (&Burst{parts: [][]byte{make([]byte, 1400)}, size: 1400, count: 1, bytes: 1400}); ; {
			if err := s.Send(data, to, netip.Addr{}); err != nil {
				return // the socket is closed
			}
			sent <- nil
		}
	}()
	for full := false; !full; {
		select {
		case <-sent:
		case <-time.After(5 * time.Second): // some of 2 MiB are sent in microseconds
			full = true
		}
	}
	own := make(chan error)
	go func() { own <- s.Send(Single(make([]byte, 32)), to, netip.Addr{}) }()
	select {
	case err := <-own:
		if err != nil {
			t.Error(err)
		}
	case <-sent:
		t.Fatal("the socket was not full")
	case <-time.After(40 * time.Second):
		t.Error("it waits for the line")
	}
	if n := s.late.Load(); n != 1 {
		t.Errorf("%d messages wait by themselves", n)
	}
	s.Close()
	<-ended
	for end := time.Now().Add(time.Minute); s.late.Load() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("what waits does not end with the socket")
		}
	}
}
