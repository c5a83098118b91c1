package wireguard

import (
	"fmt"
	"net/netip"
	"time"

	"warren/tunnel/internal/ping"
)

// pinger is what prober needs of [ping.Pinger].
type pinger interface {
	Send() error
	Answers() <-chan ping.Answer
	Close()
}

func openPinger(ifname string, peer netip.Addr) (pinger, error) {
	return ping.Open(ifname, netip.Addr{}, peer)
}

// prober asks a silent peer for signs of life when liveness.Machine says so. Any sign is good: the
// reply to an echo is a packet of the tunnel like others. It has a socket only while an echo
// waits for its reply. It belongs to the goroutine of Link.Run.
type prober struct {
	ifname string
	peer   netip.Addr
	probes bool // the link does ask
	open   func(ifname string, peer netip.Addr) (pinger, error)

	ping     pinger    // nil: no socket
	asked    time.Time // when the last echo was sent, or should have been
	problem  error     // why it was not
	answered bool      // the peer does answer echoes
}

func newProber(c *LinkConfig) prober {
	return prober{ifname: c.Device.Name(), peer: c.PeerAddress.WithZone(""), probes: c.Probe, open: openPinger}
}

// setPeer has echoes be sent to an address from now on.
func (p *prober) setPeer(peer netip.Addr) {
	if peer = peer.WithZone(""); peer != p.peer {
		p.close()
		p.peer = peer
	}
}

// heard is told when the peer last was, and closes the socket if an echo has done its work.
func (p *prober) heard(at time.Time) {
	if at.After(p.asked) {
		p.close()
	}
}

// ask sends an echo.
func (p *prober) ask(now time.Time) {
	p.asked = now
	if p.ping == nil {
		if p.ping, p.problem = p.open(p.ifname, p.peer); p.problem != nil {
			p.ping = nil // not a nil of another type
			return
		}
	}
	if err := p.ping.Send(); err != nil {
		p.problem = fmt.Errorf("cannot ping %s: %w", p.peer, err)
	}
}

// answers is where replies come from; nil, which never delivers, without a socket.
func (p *prober) answers() <-chan ping.Answer {
	if p.ping == nil {
		return nil
	}
	return p.ping.Answers()
}

// answer takes what came of an echo.
func (p *prober) answer(a ping.Answer) {
	p.close()
	if a.Err != nil {
		p.problem = fmt.Errorf("cannot ping %s: %w", p.peer, a.Err)
		return
	}
	p.answered = true
}

// echoed takes what came of an echo.
func (l *Link) echoed(a ping.Answer) {
	l.probe.answer(a)
	if a.Err == nil {
		l.report.Measured(a.RTT)
	}
}

func (p *prober) close() {
	if p.ping != nil {
		p.ping.Close()
		p.ping = nil
	}
}

// explain says what the operator may do about a peer that was silent.
func (p *prober) explain() string {
	switch {
	case !p.probes || p.answered:
		return ""
	case p.problem != nil:
		return fmt.Sprintf("; %v", p.problem)
	}
	return fmt.Sprintf(`; pings to %s inside the tunnel were not answered: if the peer never answers them, allow ICMP echo there, or set probe = "none" here`, p.peer)
}
