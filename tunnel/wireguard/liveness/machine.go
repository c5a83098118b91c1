package liveness

import "time"

// settleEvery is how often is looked whether what waited has been read.
const settleEvery = time.Millisecond

// Config is what does not change.
type Config struct {
	Keepalive time.Duration // of both ends; 0: none is sent
	DeadAfter time.Duration // at least twice Keepalive; 0: silence is no reason to go down
	Probe     bool          // a late peer is asked with echoes; needs DeadAfter
}

// Facts are what is known of the peer at one moment.
type Facts struct {
	Heard       time.Time // the last sign of life; zero: none yet
	Session     bool      // packets can be sealed
	Alive       bool      // more came in the session than what completed its handshake
	Unconfirmed bool      // the peer has not used this end's latest answer to a handshake
	Renew       time.Time // when this end renews the session
	Expire      time.Time // when the session ends
	Trying      bool      // a handshake is under way or about to begin, or is for the peer alone to begin
	Begun       time.Time // when this end began a handshake last; zero: never
	Lost        bool      // nothing gets to the peer, or it has not been heard since something can again
	AllSilent   bool      // there are other tunnels to the peer, that have not heard it since either
	MayBegin    bool      // this end begins handshakes by itself, and knows where the peer is

	// Read is that everything which was waiting in the sockets has been read and opened before
	// Heard was looked at. See [Verdict.Settle].
	Read bool
}

// Reason is why a tunnel is down.
type Reason int

// Reasons to go down.
const (
	None    Reason = iota // it was down before, or is up
	Silent                // nothing came for DeadAfter
	Left                  // the peer has said that it leaves
	NotBack               // the peer was being restarted, and has not come back
	Expired               // the session ended without another
)

// Verdict is what to do now.
type Verdict struct {
	Up        bool
	Why       Reason // if the tunnel goes down with this step
	Handshake bool   // ask for a handshake
	Probe     bool   // send an echo
	Quiet     bool   // send no keepalives
	Trusted   bool   // the peer has said something, and was not trusted until now

	// Settle asks the caller to find out what waits in the sockets, and to step again with new
	// facts, with Read when that has been read and opened. Nothing else is decided until then.
	Settle bool
}

// Machine is not safe for concurrent use. Times must not run backwards.
type Machine struct {
	cfg      Config
	up       bool
	wasAlive bool      // the peer was, since the tunnel came up
	asked    time.Time // when an echo was asked for last
	settling bool      // Settle is asked for
	noticed  time.Time // when the silence was; zero: there is none
	spared   time.Time // when the peer was last waited for longer, as all its tunnels were silent
	awaited  time.Time // until when a silence does not count, as the peer has said why; zero: it has not
	left     time.Time // when the peer said that it leaves; zero: it has not, or was heard since
	distrust distrust
}

// New returns the machine of a tunnel that is down.
func New(c Config) *Machine { return &Machine{cfg: c} }

// Up reports whether the tunnel is up.
func (m *Machine) Up() bool { return m.up }

// Distrusts reports whether the peer has completed handshakes and said nothing else, and is
// waited for.
func (m *Machine) Distrusts() bool { return m.distrust.holds() }

// Trusts reports whether the peer has said more than handshakes since it was silent last.
func (m *Machine) Trusts() bool { return m.distrust.times == 0 }

// Down is for who takes the tunnel down for a reason of its own.
func (m *Machine) Down() {
	m.up, m.settling, m.spared, m.awaited = false, false, time.Time{}, time.Time{}
}

// Leaves has the peer be dead unless it is heard again, as it has said at a time that it leaves for another router. What it had
// sent before may come a bit later.
func (m *Machine) Leaves(at time.Time) { m.left = at }

// Await has the peer's silence not count until a time, as it is being restarted and has said so. Zero ends that. It reports
// whether that is new.
func (m *Machine) Await(until time.Time) bool {
	was := m.awaited
	if m.up {
		m.awaited = until
	}
	return was.IsZero() && !m.awaited.IsZero()
}

// Came is after Down, for who goes on with a peer that is there.
func (m *Machine) Came() { m.up, m.wasAlive = true, false }

// Elsewhere is for who has another place to try than that of a peer which said nothing but
// handshakes. What is found there need not wait. If it is as silent, the wait is longer.
func (m *Machine) Elsewhere() { m.distrust.until = time.Time{} }

// Step decides.
func (m *Machine) Step(now time.Time, f Facts) (v Verdict) {
	if f.Heard.After(m.left) {
		m.left = time.Time{}
	}
	if f.Alive {
		m.wasAlive = true
		v.Trusted = !m.Trusts()
		m.distrust = distrust{}
	}
	m.spare(now, &f)
	m.settling = m.up && f.Session && !f.Read && !f.Lost && (m.isSilent(now, &f) || m.doubts(now, &f))
	if !m.up || !m.isSilent(now, &f) {
		m.noticed = time.Time{}
	} else if m.noticed.IsZero() {
		m.noticed = now
	}
	if m.settling {
		v.Up, v.Settle = true, true
		return v
	}
	if m.wasLate(now, &f) {
		v.Up, v.Handshake = true, !f.Trying && m.doubts(now, &f)
		if m.cfg.Probe && m.asked.Before(m.noticed) {
			m.asked, v.Probe = now, true
		}
		return v
	}
	m.decide(now, &f, &v)
	v.Up = m.up
	v.Quiet = !m.up && m.isQuiet(now, &f)
	if m.up && m.isDue(now, m.probeAt(f.Heard)) {
		m.asked, v.Probe = now, true
	}
	return v
}

// wasLate reports whether a silence is not to count yet, as it was noticed so late that this process, and perhaps the kernel
// before it, had no processor: what the peer has sent may not even be in the socket. After a sleep, which is longer, there
// is nothing to wait for.
func (m *Machine) wasLate(now time.Time, f *Facts) bool {
	if m.noticed.IsZero() || f.Lost {
		return false
	}
	late := m.noticed.Sub(m.deadAt(f))
	return late > m.cfg.Keepalive/2 && late < m.cfg.DeadAfter && now.Before(m.graceEnd())
}

// graceEnd is until when a silence that was noticed late does not count.
func (m *Machine) graceEnd() time.Time { return m.noticed.Add(min(m.cfg.Keepalive, m.cfg.DeadAfter/4)) }

func (m *Machine) decide(now time.Time, f *Facts, v *Verdict) {
	silent := f.Lost || m.isSilent(now, f)
	switch {
	case f.Session && !silent && !m.distrust.holds() && (m.up || !f.Unconfirmed):
		if !m.up {
			m.up, m.wasAlive = true, f.Alive
		}
		v.Handshake = !f.Trying && (m.isDue(now, f.Renew) || m.doubts(now, f))
	case m.up && silent:
		if !m.wasAlive && !f.Lost {
			m.distrust.more(now, m.cfg.DeadAfter)
		}
		v.Why, v.Handshake = m.whySilent(f), true
		m.Down()
	case m.up:
		m.Down()
		v.Why, v.Handshake = Expired, true
	case m.distrust.holds() && m.isDue(now, m.distrust.until):
		m.distrust.until = time.Time{}
		v.Handshake = true
	case !m.distrust.holds() && f.MayBegin && !f.Trying:
		v.Handshake = true // the protocol gives up after a while; a tunnel does not
	}
}

func (m *Machine) whySilent(f *Facts) Reason {
	switch {
	case f.Lost:
	case !m.left.IsZero():
		return Left
	case !m.awaited.IsZero():
		return NotBack
	}
	return Silent
}

// Deadline returns when Step has to be called next; zero is not before something happens. The
// facts are those after what the last Step asked for.
func (m *Machine) Deadline(now time.Time, f Facts) time.Time {
	switch {
	case m.settling:
		return now.Add(settleEvery)
	case !m.up:
		return m.distrust.until
	}
	dead := m.mayBeDeadAt(now, &f)
	if m.wasLate(now, &f) {
		dead = m.graceEnd()
	}
	first := earliest(f.Expire, dead, m.probeAt(f.Heard))
	if !f.Trying {
		first = earliest(first, f.Renew, m.doubtAt(f.Heard))
	}
	return first
}

// earliest returns the first of some times; zero is never.
func earliest(times ...time.Time) (first time.Time) {
	for _, t := range times {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}

func latest(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

func (m *Machine) isDue(now, at time.Time) bool { return !at.IsZero() && !now.Before(at) }
