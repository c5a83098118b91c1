package external

import "warren/tunnel"

// SetLost says that nothing that is sent reaches the far end, and why in words for the operator: the tunnel is down at once, and
// an answer that was under way does not bring it up. With "" something may reach it again, and the peer is asked at once.
// It may be called from any goroutine, and does not block. What is not told is found out by the pings.
func (l *Link) SetLost(why string) {
	l.mu.Lock()
	l.lost = why
	l.mu.Unlock()
	select {
	case l.ways <- struct{}{}:
	default: // the last word is read when it is dealt with
	}
}

func (l *Link) whyLost() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost
}

// wayChanged takes what SetLost was told last.
func (l *Link) wayChanged() {
	why := l.whyLost()
	if why == "" {
		if l.cfg.Ping && l.isAsking() && !l.report.IsUp() {
			l.silent.Reset(l.cfg.DeadAfter)
		}
		l.glance()
		return
	}
	if l.report.IsUp() || l.isAsking() { // else the interface is what is wrong
		l.silent.Stop()
		l.down(tunnel.StateConnecting, why)
	}
}
