package tlslink

import (
	"net/netip"
	"strings"

	"warren/tunnel"
)

// Status returns how the tunnel is now. It may be called from any goroutine.
func (l *Link) Status() tunnel.Status {
	s := l.report.Status()
	if s.State != tunnel.StateUp {
		s.Local = l.e.identity(l.credentials()[0])
	}
	s.Stats = l.counters.Stats()
	if ln := l.routes[0].Load(); ln != nil {
		if s.Congestion = ln.wire.congestion(); isAuto(*l.congestion.Load()) {
			s.CongestionErr = ln.wire.congestionErr()
		}
	}
	if s.State == tunnel.StateUp {
		s.Hint = strings.Join(l.hints(s.Remote.Addr()), "; ")
	}
	return s
}

// hints are what the operator should know of a tunnel that is up with a peer at an address.
func (l *Link) hints(at netip.Addr) (hints []string) {
	if l.dialedIt.Load() { // the other end has segments of its own
		if hint := l.segments.hint(at); hint != "" {
			hints = append(hints, hint)
		}
	}
	if hint := l.overdue.Load(); hint != nil && *hint != "" {
		hints = append(hints, *hint)
	}
	return hints
}

// fail notes and logs why the tunnel is not up. The same failure again is not news.
func (l *Link) fail(err error) {
	if l.report.SetError(err.Error()) {
		l.log.Warn("cannot connect", "err", err)
	}
}
