package wireguard

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"warren/tunnel"
	"warren/tunnel/wireguard/flow"
)

// stall has a tunnel that is up go down, as nothing passes any more from and to its usual port, and returns what became of it.
func stall(t *testing.T, c LinkConfig) *stage {
	t.Helper()
	s := newStage(t, c, time.Second)
	s.pass(10 * time.Second)
	s.stalls = true
	s.expect()
	return s
}

// open returns the ports that are open besides the usual one.
func (s *stage) open() (ports []uint16) {
	for _, x := range s.spares {
		if !x.closed {
			ports = append(ports, x.port())
		}
	}
	return ports
}

// A firewall on the way stops passing the packets from the usual port. After two rounds in vain another one is tried
// too, and carries the tunnel, through a renewal of its session, until it goes down next.
func TestStalledFlowIsLeft(t *testing.T) {
	s := stall(t, dialing)
	s.at(13 * time.Second)
	s.pass(9 * time.Second)
	if len(s.spares) > 0 {
		t.Error("another port was tried within two rounds")
	}
	s.at(30 * time.Second)
	s.expect("13s down", "2") // seconds up
	if ports := s.open(); len(ports) != 1 || s.l.out.usedPort() != ports[0] || s.peer.Status(s.now).Endpoint.Port() != ports[0] {
		t.Fatalf("ports %v are open, %d is used, the peer sends to %v", ports, s.l.out.usedPort(), s.peer.Status(s.now).Endpoint)
	}
	s.pass(10 * time.Minute)
	s.expect()
	// That flow stalls too, and the usual one does not any more.
	before := s.spares[0]
	s.cut = true
	s.pass(5 * time.Second)
	if s.l.isUp() || !before.closed || s.l.out.usedPort() != 0 {
		t.Errorf("%+v is left when the tunnel is down", before)
	}
	s.cut, s.stalls, s.events = false, false, nil
	s.pass(10 * time.Second)
	if !s.l.isUp() || s.peer.Status(s.now).Endpoint != nearAddr || len(s.open()) > 0 {
		t.Errorf("events %q, the peer sends to %v, ports %v are open", s.events, s.peer.Status(s.now).Endpoint, s.open())
	}
}

// What the peer answers to the usual port gets lost, and nothing else: the handshake by the other port must not be the same
// message, which the peer would take for a copy.
func TestStalledAnswersAreLeft(t *testing.T) {
	s := newStage(t, dialing, time.Second)
	s.pass(10 * time.Second)
	s.stallsBack = true
	s.expect()
	s.at(40 * time.Second)
	if ports := s.open(); len(ports) != 1 || s.l.out.usedPort() != ports[0] || !s.l.isUp() {
		t.Fatalf("ports %v are open, %d is used; %q", ports, s.l.out.usedPort(), s.events)
	}
}

// While the peer is gone another port is tried for as long, and closed when the peer is back at the usual one.
func TestSparePortIsClosed(t *testing.T) {
	s := newStage(t, dialing, time.Second)
	s.cut = true
	s.pass(10 * time.Minute)
	if len(s.spares) != 1 || len(s.open()) != 1 {
		t.Fatalf("%d ports were tried, %d are open", len(s.spares), len(s.open()))
	}
	s.spares[0].isOld = true // as its interface was made again
	s.pass(30 * time.Second)
	if len(s.spares) != 2 || len(s.open()) != 1 {
		t.Fatalf("%d ports were tried, %d are open, as the first was of no use", len(s.spares), len(s.open()))
	}
	for (s.l.tries.lost.count-spareAfter)%spareEach != 1 { // the next round is by the usual port
		s.pass(time.Second)
	}
	s.cut = false
	s.pass(10 * time.Second)
	if !s.l.isUp() || len(s.open()) > 0 || s.l.out.usedPort() != 0 {
		t.Errorf("ports %v are open, %d is used; %+v", s.open(), s.l.out.usedPort(), s.l.Status())
	}
}

// Where nothing can be sent, where an answer of the peer's shows that the way is open, and where the peer is to begin, no other
// port is tried.
func TestSparePortIsNotTried(t *testing.T) {
	waiting := dialing
	waiting.Remotes = nil
	for name, c := range map[string]struct {
		cfg  LinkConfig
		wait func(*stage)
	}{
		"the peer begins":     {waiting, func(s *stage) { s.stalls = true }},
		"cannot be sent":      {dialing, func(s *stage) { s.cut, s.l.out.main = true, deafSender{} }},
		"an answer is no use": {dialing, func(s *stage) { s.far.PresharedKey[0]++; s.restart() }},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, c.cfg, time.Second)
			c.wait(s)
			s.pass(3 * time.Minute)
			if len(s.spares) > 0 || s.l.isUp() {
				t.Errorf("%d other ports were tried; %+v", len(s.spares), s.l.Status())
			}
		})
	}
}

// A port that cannot be opened is no worse than before.
func TestSparePortCannotBeOpened(t *testing.T) {
	s := stall(t, dialing)
	s.noPort = errors.New("too many open files")
	s.pass(time.Minute)
	s.stalls = false
	s.pass(10 * time.Second)
	s.expect("13s down", "")
	if st := s.l.Status(); st.State != tunnel.StateUp {
		t.Errorf("%+v", st)
	}
}

// deafSender is an underlay that is not there.
type deafSender struct{}

func (deafSender) problem() error { return nil }

func (deafSender) Send(*flow.Burst, netip.AddrPort, netip.Addr) error { return unix.ENETUNREACH }
