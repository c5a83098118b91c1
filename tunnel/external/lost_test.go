package external

import (
	"net/netip"
	"testing"
	"time"

	"warren/tunnel"
	"warren/tunnel/internal/ping"
)

// A tunnel whose way is lost does not wait for the time of silence, and is up again with the first answer after it was found.
func TestLostWayIsDownAtOnce(t *testing.T) {
	play(t, Config{Ping: true}, func(s *stage) {
		s.sight, s.answers = working(7), true
		s.wait(100 * time.Millisecond)
		s.expect(t, "10ms up")
		s.link.SetLost("interface wan0 is down")
		s.wait(0)
		s.expect(t, "100ms down: interface wan0 is down")
		s.status(t, tunnel.StateConnecting, "interface wan0 is down")

		// An answer that was under way is not one of now, and neither is silence the reason.
		late := func() { s.pings[0].replies <- ping.Answer{RTT: time.Second} }
		s.answers = false
		go late()
		s.wait(10 * time.Second)
		s.expect(t)
		s.status(t, tunnel.StateConnecting, "interface wan0 is down")

		s.answers = true
		s.link.SetLost("")
		s.wait(10 * time.Millisecond)
		s.expect(t, "10.11s up")
		s.status(t, tunnel.StateUp, "")
	})
}

// A way that was found again may lead nowhere, which is said.
func TestFoundWayThatLeadsNowhere(t *testing.T) {
	play(t, Config{Ping: true}, func(s *stage) {
		s.sight = working(7)
		s.wait(500 * time.Millisecond)
		s.link.SetLost("no route")
		s.wait(10 * time.Second)
		s.status(t, tunnel.StateConnecting, "no route")
		s.link.SetLost("")
		s.wait(3 * time.Second)
		s.status(t, tunnel.StateConnecting, "no reply to pings from 10.8.0.2 for 3s")
	})
}

// What is wrong with the interface is said before what is wrong with the way.
func TestLostWayOfAnInterfaceThatIsNotThere(t *testing.T) {
	play(t, Config{Ping: true}, func(s *stage) {
		s.wait(0)
		s.link.SetLost("no route")
		s.wait(time.Second)
		s.status(t, tunnel.StateWaiting, "interface tun0 does not exist (yet)")
	})
}

// Speaks tells by which of two addresses the peer lives.
func TestSpeaks(t *testing.T) {
	beside := netip.MustParseAddr("fd00::2")
	c := Config{
		Ping: true, Beside: beside, Addresses: prefixes("10.8.0.1/24 fd00::1/64"),
	}
	play(t, c, func(s *stage) {
		s.sight, s.answers, s.answersAt = working(7), true, netip.MustParseAddr("fd00::1")
		s.wait(500 * time.Millisecond)
		if local, peer := s.link.Speaks(); local != s.answersAt || peer != beside {
			t.Errorf("%v and %v", local, peer)
		}
	})
}
