package wireguard

import (
	"crypto/rand"
	"fmt"
	"net/netip"
	"time"

	"warren/tunnel"
	"warren/tunnel/wireguard/pathmtu"
	"warren/tunnel/wireguard/protocol"
)

// path finds out how large the link's packets may be (package pathmtu). All but the channels
// belongs to the goroutine of Link.Run.
type path struct {
	search *pathmtu.Search
	probes []sentProbe // of the round under way
	mtu    int         // of the interface
	asked  int         // what that is to be
	told   int         // the size that the log told of last
	hint   string      // that the status has
	route  int         // the MTU of the route to the peer that bounds the search; 0: none does

	confirmed time.Time // when the search last was

	answers chan []byte        // to probes of the peer, which are to be sent
	tokens  chan pathmtu.Token // of probes that the peer has answered
}

// sentProbe is a probe that waits for its answer.
type sentProbe struct {
	token pathmtu.Token
	size  int
}

func newPath(mtu int) *path {
	return &path{
		search: pathmtu.New(mtu), mtu: mtu, asked: mtu, told: mtu,
		answers: make(chan []byte, 8), tokens: make(chan pathmtu.Token, 8),
	}
}

// setEnds sets the addresses in the tunnel between which probes go.
func (l *Link) setEnds(local, peer netip.Addr) {
	l.flow.Ends.Store(&pathmtu.Ends{Local: local.WithZone(""), Peer: peer.WithZone("")})
}

// probed takes what is to be sent because of a probe of the peer, or the token of a probe that
// it has answered. It may be called from any goroutine. What is too much at once is lost.
func (l *Link) probed(answer []byte, token pathmtu.Token) {
	if answer != nil {
		select {
		case l.path.answers <- answer:
		default:
		}
	} else {
		select {
		case l.path.tokens <- token:
		default:
		}
	}
	l.notify()
}

// restartPath begins to look at a path that may be another.
func (l *Link) restartPath(now time.Time) {
	if l.flow.Ends.Load().IsValid() && l.mtu >= pathmtu.Base {
		l.path.search.Restart(now)
	}
}

// tryPath does what is due: it answers the peer's probes, takes the answers to this end's,
// and sends others.
func (l *Link) tryPath(now time.Time) {
	p := l.path
	for done := false; !done; {
		select {
		case packet := <-p.answers:
			if err := l.sendInside(now, packet); err != nil {
				l.log.Debug("cannot answer how large packets may be", "err", err)
			}
		case token := <-p.tokens:
			l.probeAnswered(now, token)
		default:
			done = true
		}
	}
	if !l.isUp() {
		return
	}
	l.fitRoute(now)
	if l.flow.Large.Load() {
		p.search.Busy()
	}
	if sizes := p.search.Tick(now); len(sizes) > 0 {
		p.probes = p.probes[:0]
		for _, size := range sizes {
			l.sendProbe(now, size)
		}
	}
	l.clamp()
}

func (l *Link) sendProbe(now time.Time, size int) {
	sent := sentProbe{size: size}
	rand.Read(sent.token[:])
	packet, err := l.flow.Ends.Load().Request(size, sent.token)
	if err == nil {
		l.path.probes = append(l.path.probes, sent)
		err = l.sendInside(now, packet)
	}
	if err != nil {
		l.log.Debug("cannot try how large packets may be", "bytes", size, "err", err)
	}
}

// sendInside sends a packet of this end's own through the tunnel, without padding.
func (l *Link) sendInside(now time.Time, packet []byte) error {
	sealer, err := l.peer.Sealer(now, 1)
	if err != nil {
		return err
	}
	return l.sendSealed(&sealer, packet)
}

// sendSealed seals the only packet of a reservation, and sends it.
func (l *Link) sendSealed(sealer *protocol.Sealer, packet []byte) error {
	buf := make([]byte, protocol.Overhead+len(packet))
	copy(buf[protocol.HeaderLen:], packet)
	msg := sealer.Add(buf, len(packet), len(packet))
	sealer.Seal()
	return l.flow.Transmit(l.flow.Single(msg), sealer.To)
}

// probeAnswered takes the token of a probe that the peer has answered.
func (l *Link) probeAnswered(now time.Time, token pathmtu.Token) {
	if l.timedBy(now, token) {
		return
	}
	for i, sent := range l.path.probes {
		if sent.token == token {
			l.path.probes[i] = sentProbe{}
			l.path.search.Answered(now, sent.size)
			return
		}
	}
}

// fitRoute has no packets made that this machine itself would cut. Fragments remain where IPv6's least size in the tunnel demands them,
// and where the operator wants them: a tunnel is given more than DefaultMTU for its packets to be whole inside.
func (l *Link) fitRoute(now time.Time) {
	p, w := l.path, &l.ways
	if w.route == nil || l.mtu > DefaultMTU || l.mtu < pathmtu.Base {
		return
	}
	mtu := int(w.route.bytes.Load())
	if mtu == 0 {
		return
	}
	outer := ipv6HeaderLen
	if w.remote.Addr().Is4() {
		outer = ipv4HeaderLen
	}
	p.route = mtu
	room := mtu - outer - udpHeaderLen - protocol.Overhead
	p.search.SetLargest(now, max(pathmtu.Base, min(l.mtu, room)))
}

// Lengths of the headers that each of the tunnel's packets gets on the underlay, in bytes.
const (
	ipv4HeaderLen = 20
	ipv6HeaderLen = 40
	udpHeaderLen  = 8
)

// clamp has the link's packets as large as they may be: the interface's MTU is for all that
// the kernel sends and forwards, and what TCP may offer each other is clamped to it.
func (l *Link) clamp() {
	p := l.path
	if c := p.search.Confirmed(); c != p.confirmed {
		p.confirmed = c
		l.flow.Large.Store(false)
	}
	limit := p.search.Limit()
	if int(l.flow.Limit.Load()) != limit {
		l.flow.Limit.Store(int32(limit))
		if d, ok := l.dev.(limited); ok {
			d.SetLimit(limit)
		}
		l.setMTU(max(limit, pathmtu.Base))
	}
	if hint := l.narrow(limit); hint != p.hint {
		p.hint = hint
		l.report.Change(func(t *tunnel.Status) { t.Hint = hint })
	}
	if !p.search.Settled() || limit == p.told {
		return
	}
	switch p.told = limit; {
	case limit < l.mtu && limit == p.search.Largest():
		l.log.Info("the tunnel's packets are as large as the underlay's route takes whole", "bytes", limit, "mtu", l.mtu, "route_mtu", p.route)
	case limit < l.mtu:
		l.log.Warn("large packets vanish on the way to the peer, and no ICMP error says so: the tunnel's are clamped", "bytes", limit, "mtu", l.mtu)
	default:
		l.log.Info("large packets reach the peer again: the tunnel's are not clamped any more", "mtu", l.mtu)
	}
}

func (l *Link) setMTU(mtu int) {
	p := l.path
	if mtu == p.asked {
		return
	}
	p.asked = mtu
	l.changes.add(func() error { return l.dev.SetMTU(mtu) }, func(err error) {
		switch {
		case err == nil:
			p.mtu = mtu
			l.report.Change(func(t *tunnel.Status) { t.MTU = mtu })
		case isGone(err):
		default:
			l.log.Error("cannot set the interface's MTU", "err", err)
			if p.asked == mtu {
				p.asked = p.mtu
			}
		}
	})
}

// narrow is what the operator should know of a path on which packets of more than a limit
// vanish; "" is nothing.
func (l *Link) narrow(limit int) string {
	const cure = "let fragments, ICMP \"fragmentation needed\" and ICMPv6 \"packet too big\" through the firewalls on the path"
	switch {
	case limit >= l.mtu:
		return ""
	case limit == l.path.search.Largest():
		return fmt.Sprintf("the underlay's route to the peer has an MTU of %d bytes: the tunnel's packets have %d at most, as larger ones would be cut in two; give the underlay's interface or route a larger MTU, or set mtu = %d",
			l.path.route, limit, limit)
	case limit >= pathmtu.Base:
		return fmt.Sprintf("large packets vanish on the way to the peer, and no ICMP error says so: the tunnel is clamped to packets of %d bytes; %s, or set mtu = %d",
			limit, cure, limit)
	}
	return fmt.Sprintf("large packets vanish on the way to the peer, and no ICMP error says so: TCP in the tunnel is clamped to packets of %d bytes, "+
		"and so is IPv4 by ICMP errors, but larger IPv6 packets of other protocols get lost, as IPv6 demands %d of an interface; %s", limit, pathmtu.Base, cure)
}
