package liveness

import "time"

// leaveAfter is how long a peer that leaves may still be heard.
const leaveAfter = 50 * time.Millisecond

// allSilentFor is for how much longer than DeadAfter a peer is waited for that fell silent in all its tunnels at the same time. Most
// often its process did not run, and there is no other tunnel to go to.
const allSilentFor = 200 * time.Millisecond

// deadAt is when a peer is dead; zero is never.
func (m *Machine) deadAt(f *Facts) time.Time {
	if !m.left.IsZero() {
		return m.left.Add(leaveAfter)
	}
	if m.cfg.DeadAfter == 0 {
		return time.Time{}
	}
	dead := f.Heard.Add(m.cfg.DeadAfter)
	switch {
	case m.spares(f):
		dead = dead.Add(allSilentFor)
	case m.spared.After(f.Heard):
		dead = latest(dead, m.spared.Add(m.cfg.Keepalive+m.cfg.Keepalive/4))
	}
	return m.later(dead)
}

// spares reports whether a peer is waited for longer because all its tunnels are silent. One that is down stays so.
func (m *Machine) spares(f *Facts) bool {
	return m.up && f.AllSilent && m.left.IsZero() && m.cfg.DeadAfter > 0
}

// spare takes note of a peer that is waited for. When another of its tunnels hears it, this one has the time of a keepalive to do so too.
func (m *Machine) spare(now time.Time, f *Facts) {
	if m.spares(f) && m.isDue(now, f.Heard.Add(m.cfg.DeadAfter)) {
		m.spared = now
	}
}

// mayBeDeadAt is when a peer is to be looked at that may be dead then. One that is waited for is often, as other tunnels may hear it.
func (m *Machine) mayBeDeadAt(now time.Time, f *Facts) time.Time {
	dead := m.deadAt(f)
	if !m.spares(f) {
		return dead
	}
	return earliest(dead, latest(now.Add(settleEvery), m.later(f.Heard.Add(m.cfg.DeadAfter))))
}

// later is a time, or until when a silence does not count.
func (m *Machine) later(t time.Time) time.Time {
	if t.Before(m.awaited) {
		return m.awaited
	}
	return t
}

func (m *Machine) isSilent(now time.Time, f *Facts) bool {
	return m.isDue(now, m.deadAt(f))
}

// doubtAt is when a silent peer is asked for a new session: one that was restarted has lost the
// one there is, and can say nothing in it. Zero is never.
func (m *Machine) doubtAt(heard time.Time) time.Time {
	if m.cfg.DeadAfter == 0 {
		return time.Time{}
	}
	return m.later(heard.Add(2 * m.cfg.Keepalive))
}

// doubts reports whether a handshake is to be begun because of that.
func (m *Machine) doubts(now time.Time, f *Facts) bool {
	return !f.Trying && m.isDue(now, m.doubtAt(f.Heard))
}

// Doubts reports whether nothing was heard for so long that a handshake is to be begun, or was.
func (m *Machine) Doubts(now time.Time, f Facts) bool { return m.isDue(now, m.doubtAt(f.Heard)) }

// probeAt is when the next echo is sent to a peer that was heard last at a time; zero is never.
// A Warren's keepalives come each keepalive, and a quarter more is for those that are a bit
// late. An echo without a reply is followed by others.
func (m *Machine) probeAt(heard time.Time) time.Time {
	if !m.cfg.Probe {
		return time.Time{}
	}
	first := heard.Add(m.cfg.Keepalive + m.cfg.Keepalive/4)
	if next := m.asked.Add(m.cfg.Keepalive); next.After(first) {
		return next
	}
	return first
}

// isQuiet reports whether keepalives are suppressed so that a peer on a one-way path notices too:
// it hears this end and is not heard. Once it has had the time, and a handshake was begun whose
// answer this end cannot use, by which the peer knows that it is not heard, they go on.
func (m *Machine) isQuiet(now time.Time, f *Facts) bool {
	silence := now.Sub(f.Heard)
	return m.isSilent(now, f) && (silence < 2*m.cfg.DeadAfter+m.cfg.Keepalive || !f.Begun.After(f.Heard))
}

// maxDistrust bounds how long a peer that says nothing is left alone.
const maxDistrust = time.Minute

// distrust keeps a tunnel from coming up again and again with a peer that completes handshakes
// and then says nothing: each time, it must wait twice as long before a handshake alone is
// believed.
type distrust struct {
	times int       // that the tunnel went down like that, in a row
	until time.Time // zero: not, or no longer
}

func (d *distrust) holds() bool { return !d.until.IsZero() }

func (d *distrust) more(now time.Time, deadAfter time.Duration) {
	d.times++
	d.until = now.Add(min(deadAfter<<min(d.times, 16), maxDistrust))
}
