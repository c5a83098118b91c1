package wireguard

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"warren/tunnel"
	"warren/tunnel/tun"
	"warren/tunnel/wireguard/pathmtu"
	"warren/tunnel/wireguard/protocol"
)

// largePacket is more than what sessions of BGP and their like send while nothing happens.
const largePacket = 512

// path finds out how large the link's packets may be (package pathmtu). What is not said to
// be for any goroutine belongs to that of Link.Run.
type path struct {
	ends   atomic.Pointer[pathmtu.Ends] // for any goroutine
	search *pathmtu.Search
	probes []sentProbe // of the round under way
	mtu    int         // of the interface
	told   int         // the size that the log told of last

	confirmed time.Time // when the search last was

	large   atomic.Bool        // large packets were sent since; for any goroutine
	refused atomic.Int64       // Unix time in ns when a sender was told of a packet that is too large; likewise
	answers chan []byte        // to probes of the peer, which are to be sent
	tokens  chan pathmtu.Token // of probes that the peer has answered
}

// sentProbe is a probe that waits for its answer.
type sentProbe struct {
	token pathmtu.Token
	size  int
}

func newPath(c *LinkConfig, mtu int) *path {
	p := &path{
		search: pathmtu.New(mtu), mtu: mtu, told: mtu,
		answers: make(chan []byte, 8), tokens: make(chan pathmtu.Token, 8),
	}
	p.setEnds(c.LocalAddress, c.PeerAddress)
	return p
}

// setEnds sets the addresses in the tunnel between which probes go.
func (p *path) setEnds(local, peer netip.Addr) {
	p.ends.Store(&pathmtu.Ends{Local: local.WithZone(""), Peer: peer.WithZone("")})
}

// takeProbe looks at a packet that arrived and may be a probe or the answer to one, and
// reports whether it was. It may be called from any goroutine. What is too much at once is lost.
func (l *Link) takeProbe(packet []byte) bool {
	answer, token, answers := l.path.ends.Load().Take(packet)
	switch {
	case answers:
		select {
		case l.path.tokens <- token:
		default:
		}
	case answer != nil:
		select {
		case l.path.answers <- answer:
		default:
		}
	default:
		return false
	}
	l.notify()
	return true
}

// sendsLarge is told of each frame that is sealed, by its longest packet. It may be called from
// any goroutine.
func (l *Link) sendsLarge(longest int) {
	if longest > largePacket && !l.path.large.Load() {
		l.path.large.Store(true)
		l.notify()
	}
}

// tooLargeEvery is the least time between two ICMP errors of a link. A sender needs one.
const tooLargeEvery = 20 * time.Millisecond

// refuseLarge takes from a batch the frames that are too large for the path though not for the
// interface, which keeps the 1280 bytes that IPv6 demands of it, and tells their senders. Those
// that cannot be told, because they are of IPv6 or let routers fragment, go and get lost. It may
// be called from any goroutine.
func (l *Link) refuseLarge(b *batch, limit int) {
	if limit >= pathmtu.Base {
		return
	}
	kept := b.frames[:0]
	for i := range b.frames {
		s := &b.frames[i]
		var told []byte
		if s.Longest() > limit {
			told = pathmtu.TooLarge(s.Packet(), limit)
		}
		if told == nil {
			kept = append(kept, *s)
			continue
		}
		l.counters.Drops.Add(uint64(s.Count()))
		last, now := l.path.refused.Load(), time.Now().UnixNano()
		if now-last < int64(tooLargeEvery) || !l.path.refused.CompareAndSwap(last, now) {
			continue
		}
		if err := l.dev.Write(append(make([]byte, tun.HeaderLen), told...)); err != nil {
			l.log.Debug("an ICMP error was not delivered", "err", err)
		}
	}
	clear(b.frames[len(kept):])
	b.frames = kept
}

// restartPath begins to look at a path that may be another.
func (l *Link) restartPath(now time.Time) {
	if l.path.ends.Load().IsValid() && l.mtu >= pathmtu.Base {
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
	if !l.up.Load() {
		return
	}
	if p.large.Load() {
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
	packet, err := l.path.ends.Load().Request(size, sent.token)
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
	buf := make([]byte, protocol.Overhead+len(packet))
	copy(buf[protocol.HeaderLen:], packet)
	msg := sealer.Add(buf, len(packet), len(packet))
	sealer.Seal()
	return l.transmit(single(msg), sealer.To)
}

// probeAnswered takes the token of a probe that the peer has answered.
func (l *Link) probeAnswered(now time.Time, token pathmtu.Token) {
	for i, sent := range l.path.probes {
		if sent.token == token {
			l.path.probes[i] = sentProbe{}
			l.path.search.Answered(now, sent.size)
			return
		}
	}
}

// clamp has the link's packets as large as they may be: the interface's MTU is for all that
// the kernel sends and forwards, and what TCP may offer each other is clamped to it.
func (l *Link) clamp() {
	p := l.path
	if c := p.search.Confirmed(); c != p.confirmed {
		p.confirmed = c
		p.large.Store(false)
	}
	limit := p.search.Limit()
	if int(l.limit.Load()) != limit {
		l.limit.Store(int32(limit))
		l.setMTU(max(limit, pathmtu.Base))
		l.report.Change(func(t *tunnel.Status) { t.MTU, t.Hint = p.mtu, l.narrow(limit) })
	}
	if !p.search.Settled() || limit == p.told {
		return
	}
	if p.told = limit; limit < l.mtu {
		l.log.Warn("large packets vanish on the way to the peer, and no ICMP error says so: the tunnel's are clamped", "bytes", limit, "mtu", l.mtu)
	} else {
		l.log.Info("large packets reach the peer again: the tunnel's are not clamped any more", "mtu", l.mtu)
	}
}

func (l *Link) setMTU(mtu int) {
	if mtu == l.path.mtu {
		return
	}
	err := l.dev.SetMTU(mtu)
	if err == nil {
		l.path.mtu = mtu
	} else if !errors.Is(err, os.ErrClosed) && !errors.Is(err, unix.EBADFD) { // gone, which its reader will say
		l.log.Error("cannot set the interface's MTU", "err", err)
	}
}

// narrow is what the operator should know of a path on which packets of more than a limit
// vanish; "" is nothing.
func (l *Link) narrow(limit int) string {
	const cure = "let fragments, ICMP \"fragmentation needed\" and ICMPv6 \"packet too big\" through the firewalls on the path"
	switch {
	case limit >= l.mtu:
		return ""
	case limit >= pathmtu.Base:
		return fmt.Sprintf("large packets vanish on the way to the peer, and no ICMP error says so: the tunnel is clamped to packets of %d bytes; %s, or set mtu = %d",
			limit, cure, limit)
	}
	return fmt.Sprintf("large packets vanish on the way to the peer, and no ICMP error says so: TCP in the tunnel is clamped to packets of %d bytes, "+
		"and so is IPv4 by ICMP errors, but larger IPv6 packets of other protocols get lost, as IPv6 demands %d of an interface; %s", limit, pathmtu.Base, cure)
}
