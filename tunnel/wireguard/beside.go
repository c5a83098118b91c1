package wireguard

import (
	"crypto/rand"
	"time"

	"warren/tunnel"
	"warren/tunnel/wireguard/pathmtu"
)

// This file is for a tunnel that another transport carries too, of which the better is chosen.

// timed is a probe whose round trip is measured. It belongs to the goroutine of Link.Run.
type timed struct {
	token pathmtu.Token
	sent  time.Time // zero: none waits for its answer
}

// Received returns what has come from the peer. It may be called from any goroutine.
func (l *Link) Received() tunnel.Received {
	s := l.peer.Status(l.e.cfg.Now())
	return tunnel.Received{Up: l.isUp(), Sent: s.Sent, Got: s.Got}
}

// SendKeepalive sends an empty packet now, whatever was sent before. It may be called from any goroutine.
func (l *Link) SendKeepalive() error { return l.sendInside(l.e.cfg.Now(), nil) }

// Measure has the round trip measured once, while the tunnel is up, with a short packet in it that another
// Warren answers by this transport, and the kernel behind another device by the way that its routes say. It may
// be called from any goroutine, and does not block.
func (l *Link) Measure() {
	l.measure.Store(true)
	l.notify()
}

// tryMeasure sends the probe that Measure asks for.
func (l *Link) tryMeasure(now time.Time) {
	if !l.measure.Swap(false) || !l.isUp() {
		return
	}
	m := timed{sent: now}
	rand.Read(m.token[:])
	packet, err := l.flow.Ends.Load().Request(pathmtu.Small, m.token)
	if err == nil {
		err = l.sendInside(now, packet)
	}
	if err != nil {
		l.log.Debug("cannot measure the round trip", "err", err)
		return
	}
	l.timed = m
}

// timedBy takes the token of an answer, and reports whether it is the one that is waited for.
func (l *Link) timedBy(now time.Time, token pathmtu.Token) bool {
	m := l.timed
	if m.sent.IsZero() || m.token != token {
		return false
	}
	l.timed = timed{}
	l.report.Measured(now.Sub(m.sent))
	l.roundTrip.Store(int64(now.Sub(m.sent)))
	return true
}

// RoundTrip returns what [Link.Measure] measured last, not smoothed; 0: nothing yet. It may be called from any goroutine.
func (l *Link) RoundTrip() time.Duration { return time.Duration(l.roundTrip.Load()) }
