package tlslink

import "warren/tunnel"

// Status returns how the tunnel is now. It may be called from any goroutine.
func (l *Link) Status() tunnel.Status {
	s := l.report.Status()
	s.Local = l.cred.local
	s.Stats = tunnel.Stats{
		RxBytes: l.counters.rxBytes.Load(), RxPackets: l.counters.rxPackets.Load(),
		TxBytes: l.counters.txBytes.Load(), TxPackets: l.counters.txPackets.Load(),
		Drops: l.counters.drops.Load(),
	}
	return s
}

// fail notes and logs why the tunnel is not up. The same failure again is not news.
func (l *Link) fail(err error) {
	if l.report.SetError(err.Error()) {
		l.log.Warn("cannot connect", "err", err)
	}
}
