package external

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"warren/tunnel"
	"warren/tunnel/internal/ping"
)

// besides is a link to a peer with two addresses, of which the second is an IPv4 one.
func besides() Config {
	return Config{Ping: true, Own: true, Addresses: prefixes("10.8.0.1/24 192.0.2.1/31"), Beside: netip.MustParseAddr("192.0.2.0")}
}

// A peer that may lack IPv6 is asked at both of its addresses until it has answered at one, and at that one from then on.
func TestPeerIsAskedAtBothAddresses(t *testing.T) {
	for name, at := range map[string]string{"the first": "10.8.0.1", "the second": "192.0.2.1"} {
		t.Run(name, func(t *testing.T) {
			play(t, besides(), func(s *stage) {
				s.answersAt = netip.MustParseAddr(at)
				s.sight, s.answers = working(7), true
				s.wait(500 * time.Millisecond)
				s.expect(t, "10ms up")
				before := s.sentFrom()
				s.wait(10 * time.Second)
				s.expect(t)
				for from, sent := range s.sentFrom() {
					if more := sent - before[from]; from == at && more != 10 || from != at && more != 0 {
						t.Errorf("%d echoes from %s while it answers at that of %s", more, from, at)
					}
				}
				// It has lost the one, and got the other.
				other := map[string]string{"10.8.0.1": "192.0.2.1", "192.0.2.1": "10.8.0.1"}[at]
				s.answersAt = netip.MustParseAddr(other)
				s.wait(5 * time.Second)
				if len(s.events) != 2 || !strings.Contains(s.events[0], "down: no reply to pings") || !strings.HasSuffix(s.events[1], "up") {
					t.Errorf("events %q", s.events)
				}
			})
		})
	}
}

// Of two addresses that answer the first one counts, however late it does.
func TestFirstAddressGoesBeforeTheOther(t *testing.T) {
	play(t, besides(), func(s *stage) {
		s.answersAt = netip.MustParseAddr("192.0.2.1")
		s.sight, s.answers = working(7), true
		s.wait(20 * time.Millisecond)
		s.pings[0].replies <- ping.Answer{RTT: 20 * time.Millisecond}
		s.answersAt = netip.MustParseAddr("10.8.0.1")
		s.wait(10 * time.Second)
		s.expect(t, "10ms up")
	})
}

// A socket for one of the addresses is enough; the other one is opened when that is possible.
func TestOneAddressIsEnough(t *testing.T) {
	play(t, besides(), func(s *stage) {
		s.unopened = map[string]error{"10.8.0.1": errors.New("no IPv6")}
		s.sight = working(7)
		s.wait(1500 * time.Millisecond)
		s.status(t, tunnel.StateConnecting, "")
		s.unopened = nil
		s.wait(time.Second)
		s.answersAt, s.answers = netip.MustParseAddr("10.8.0.1"), true
		s.wait(time.Second)
		s.expect(t, "3.01s up")
		s.answers = false
		s.unopened = map[string]error{"10.8.0.1": errors.New("no IPv6"), "192.0.2.1": errors.New("nor IPv4")}
		s.sight.Index = 8
		s.wait(2 * time.Second)
		s.status(t, tunnel.StateWaiting, "no IPv6")
	})
}

// What the daemon makes itself is not the operator's to put right.
func TestOwnInterfaceAsksNothingOfTheOperator(t *testing.T) {
	play(t, besides(), func(s *stage) {
		s.sight = working(7)
		s.wait(4 * time.Second)
		s.status(t, tunnel.StateConnecting, "no reply to pings from 10.8.0.2 and 192.0.2.0 for 3s")
		if says := s.now().LastError; strings.Contains(says, "probe") {
			t.Errorf("%q", says)
		}
		s.sight.Up = false
		s.wait(time.Second)
		s.status(t, tunnel.StateWaiting, "interface tun0 is down: it is set up again")
	})
}

// Addresses that the interface loses, as it does when it is set down, are added again.
func TestLostAddressesAreAddedAgain(t *testing.T) {
	play(t, besides(), func(s *stage) {
		s.sight, s.answers = working(7), true
		s.sight.Addresses = nil
		s.wait(500 * time.Millisecond)
		s.sight.Addresses, s.sight.Up = nil, false
		s.wait(time.Second)
		s.sight.Up = true
		s.wait(time.Second)
		s.expect(t, "10ms up", "1s down: interface tun0 is down: it is set up again", "2.01s up")
		if len(s.added) != 2 || s.added[1] != "7 [10.8.0.1/24 192.0.2.1/31]" {
			t.Errorf("added %q", s.added)
		}
	})
}

func TestBesideNeedsAnAddress(t *testing.T) {
	c := Config{Name: "b", Interface: "tun0", PeerAddress: netip.MustParseAddr("fd00::2"), Beside: netip.MustParseAddr("192.0.2.0"), Keepalive: time.Second,
		Addresses: prefixes("fd00::1/64"), Look: func(string) (Sight, error) { return Sight{}, nil },
		AddAddresses: func(int, []netip.Prefix) error { return nil }}
	if _, err := New(c); err == nil {
		t.Error("accepted without an address of this end's")
	}
	c.Addresses = prefixes("fd00::1/64 192.0.2.1/31")
	if _, err := New(c); err != nil {
		t.Error(err)
	}
}
