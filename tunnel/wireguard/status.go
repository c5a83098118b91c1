package wireguard

import (
	"time"

	"warren/tunnel"
)

// Status returns how the tunnel is now. It may be called from any goroutine.
// The round trip is not measured.
func (l *Link) Status() tunnel.Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.status
	s.Transport, s.Interface, s.MTU = "wireguard", l.dev.Name(), l.mtu
	s.Local, s.Peer = tunnel.Identity(l.peer.LocalPublicKey()), tunnel.Identity(l.cfg.PublicKey)
	if s.State == tunnel.StateUp {
		s.Lanes = 1
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

// fail notes why the tunnel is not up. The same failure again is not news.
func (l *Link) fail(err error) {
	l.mu.Lock()
	news := l.status.LastError != err.Error()
	l.status.LastError = err.Error()
	l.mu.Unlock()
	if news {
		l.log.Warn("cannot connect", "err", err)
	}
}
