package wireguard

import (
	"warren/tunnel"
)

// Status returns how the tunnel is now. It may be called from any goroutine. The round
// trip is that of the last handshake, which is two minutes old at the most while there
// are packets, or where echoes are sent, their smoothed one.
func (l *Link) Status() tunnel.Status {
	s := l.report.Status()
	p := l.peer.Status(l.e.cfg.Now())
	s.Local, s.Peer = tunnel.Identity(p.Local), tunnel.Identity(p.Remote)
	s.Key, s.KeyPlace = p.Key, p.KeyPlace
	if !p.Shook.IsZero() {
		s.Handshake = l.e.cfg.Date(p.Shook)
	}
	if s.State == tunnel.StateUp {
		s.Lanes = 1
	} else if err := l.out.problem(); err != nil && s.State != tunnel.StateDown {
		s.LastError = err.Error()
	}
	if s.State != tunnel.StateUp {
		s.Hint = ""
	}
	s.Stats = l.flow.Counters.Stats()
	return s
}

// fail notes and logs why the tunnel is not up. The same failure again is not news.
func (l *Link) fail(err error) {
	if l.report.SetError(err.Error()) {
		l.log.Warn("cannot connect", "err", err)
	}
}
