package wireguard

import (
	"time"

	"warren/tunnel"
)

// Status returns how the tunnel is now. It may be called from any goroutine. The round
// trip is that of the last handshake, which is two minutes old at the most while there
// are packets, or where echoes are sent, their smoothed one.
func (l *Link) Status() tunnel.Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.status
	s.Transport, s.Interface, s.MTU = "wireguard", l.dev.Name(), l.mtu
	s.Local, s.Peer = tunnel.Identity(l.peer.LocalPublicKey()), tunnel.Identity(l.cfg.PublicKey)
	if s.State == tunnel.StateUp {
		s.Lanes = 1
	} else if err := l.out.problem(); err != nil && s.State != tunnel.StateDown {
		s.LastError = err.Error()
	}
	s.Stats = tunnel.Stats{
		RxBytes: l.counters.rxBytes.Load(), RxPackets: l.counters.rxPackets.Load(),
		TxBytes: l.counters.txBytes.Load(), TxPackets: l.counters.txPackets.Load(),
		Drops: l.counters.drops.Load(),
	}
	return s
}

// restState is what a running link is while it has no session.
func (l *Link) restState() tunnel.State {
	if len(l.cfg.Remotes) == 0 {
		return tunnel.StateWaiting
	}
	return tunnel.StateConnecting
}

func (l *Link) setState(s tunnel.State) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.status.State, l.status.Since = s, time.Now()
}

// setError notes why the tunnel is not up, and reports whether that is news.
func (l *Link) setError(err error) (news bool) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	news = l.status.LastError != text
	l.status.LastError = text
	return news
}

// fail notes and logs why the tunnel is not up. The same failure again is not news.
func (l *Link) fail(err error) {
	if l.setError(err) {
		l.log.Warn("cannot connect", "err", err)
	}
}

// smoothRTT takes the round trip of an echo, or 0 for none.
func (l *Link) smoothRTT(rtt time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case rtt == 0 || l.status.State != tunnel.StateUp:
	case l.status.RTT == 0:
		l.status.RTT = rtt
	default:
		l.status.RTT += (rtt - l.status.RTT) / 8 // as TCP smooths it (RFC 6298)
	}
}
