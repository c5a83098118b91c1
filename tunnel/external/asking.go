package external

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"warren/tunnel"
	"warren/tunnel/internal/ping"
)

// probe asks the peer, opening the sockets first that are needed and not there.
func (l *Link) probe(local netip.Addr) {
	before := l.isAsking()
	if err := l.openPings(local); err != nil {
		l.silent.Stop()
		l.down(tunnel.StateWaiting, err.Error())
		return
	}
	if !before && !l.report.IsUp() { // it is if only the socket had to be made anew
		l.report.SetState(time.Now(), tunnel.StateConnecting)
		l.silent.Reset(l.cfg.DeadAfter)
	}
	// An echo that cannot be sent is one without a reply, and if that lasts
	// the tunnel goes down.
	switch err := l.echo(); {
	case err == nil || l.report.IsUp():
	case errors.Is(err, unix.EDESTADDRREQ): // of WireGuard (drivers/net/wireguard/device.c, wg_xmit)
		l.note(fmt.Sprintf("interface %s does not know where its far end is: it waits for the peer to come", l.cfg.Interface))
	default:
		l.note(fmt.Sprintf("cannot ping %s: %v", l.cfg.PeerAddress, err))
	}
}

// peers are the addresses of the peer, as the sockets in pings go to. The second may be invalid.
func (l *Link) peers() [2]netip.Addr { return [2]netip.Addr{l.cfg.PeerAddress, l.cfg.Beside} }

// asks reports whether the peer is to be asked at one of its addresses: at that by which it lives, and at both while
// it does not.
func (l *Link) asks(i int) bool { return l.peers()[i].IsValid() && (!l.report.IsUp() || i == l.alive) }

func (l *Link) isAsking() bool { return l.pings[0] != nil || l.pings[1] != nil }

// openPings opens the sockets that are needed. One of two is enough.
func (l *Link) openPings(local netip.Addr) (first error) {
	opened := false
	for i, from := range [2]netip.Addr{local, l.localBeside} {
		if !l.asks(i) {
			continue
		}
		if l.pings[i] == nil {
			p, err := l.newPing(l.cfg.Interface, inZone(from, l.index), inZone(l.peers()[i], l.index))
			if err != nil {
				if first == nil {
					first = err
				}
				continue
			}
			l.pings[i] = p
		}
		opened = true
	}
	if opened {
		return nil
	}
	return first
}

// answers is where replies from one of the peer's addresses come from; nil, which never delivers, without a
// socket.
func (l *Link) answers(i int) <-chan ping.Answer {
	if l.pings[i] == nil {
		return nil
	}
	return l.pings[i].Answers()
}

// echo asks the peer. It fails if no echo could be sent.
func (l *Link) echo() (first error) {
	if l.asked.IsZero() {
		l.asked = l.cfg.Now()
	}
	sent := false
	for i, p := range l.pings {
		if p == nil || !l.asks(i) {
			continue
		}
		if err := p.Send(); err == nil {
			sent = true
		} else if first == nil {
			first = err
		}
	}
	if sent {
		return nil
	}
	return first
}

// askedText names the addresses at which the peer is asked.
func (l *Link) askedText() string {
	var at []string
	for i, a := range l.peers() {
		if l.asks(i) {
			at = append(at, a.String())
		}
	}
	return strings.Join(at, " and ")
}

func (l *Link) stopPings() {
	l.silent.Stop()
	for i, p := range l.pings {
		if p != nil {
			p.Close()
			l.pings[i] = nil
		}
	}
}
