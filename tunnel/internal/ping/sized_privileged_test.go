//go:build privileged

package ping

import (
	"errors"
	"net"
	"net/netip"
	"os/exec"
	"testing"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"

	"warren/internal/netns"
)

// A message of the caller's is answered by the kernel in one piece, by IPv4 and IPv6, and what the interface does not take is an error.
func TestSocket(t *testing.T) {
	netns.Test(t)
	if out, err := exec.Command("ip", "link", "set", "lo", "mtu", "1500", "up").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, c := range []struct {
		at      string
		headers int
		typ     icmp.Type
	}{{"127.0.0.1", 20, ipv4.ICMPTypeEcho}, {"::1", 40, ipv6.ICMPTypeEchoRequest}} {
		at := netip.MustParseAddr(c.at)
		s, err := OpenSocket("lo", at, at)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		message := func(size int) []byte {
			m := icmp.Message{Type: c.typ, Body: &icmp.Echo{ID: 1, Seq: 2, Data: make([]byte, size-c.headers-8)}}
			b, err := m.Marshal(icmp.IPv6PseudoHeader(at.AsSlice(), at.AsSlice()))
			if c.headers == 20 {
				b, err = m.Marshal(nil)
			}
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		if err := s.Send(message(1500)); err != nil {
			t.Fatalf("%v: %v", at, err)
		}
		buf := make([]byte, 2000)
		if n, err := s.Receive(buf); err != nil || n != 1500-c.headers {
			t.Errorf("%v: %d bytes, %v", at, n, err)
		}
		if err := s.Send(message(1501)); !errors.Is(err, unix.EMSGSIZE) {
			t.Errorf("%v: more than the interface takes: %v", at, err)
		}
		s.Close()
		if _, err := s.Receive(buf); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%v: %v after the end", at, err)
		}
	}
}
