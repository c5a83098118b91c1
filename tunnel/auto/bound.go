package auto

import (
	"math"
	"time"
)

// Rules by which WireGuard is left for TLS because of few losses, which bound what TCP in the tunnel carries: with a round trip of
// 20 ms a stream carries 50 Mbit/s where one packet in a thousand gets lost, and 7 where one in a hundred does, and over TLS with bbr,
// which does not take each loss for congestion, 615 and 334. With cubic it is 19 and 6 (docs/speed.md, Paths). So they are a
// reason with bbr alone; on a path with delay, as without one TCP repairs them fast enough; and for traffic that they bound: calls, and what is
// slow for another reason, are better off with packets that do not wait for one another. A narrow line makes TCP lose just as
// much, and there TLS carries no more. What the reason is only a trial shows: TLS keeps what it carries more of.
const (
	// delayAt is the round trip of a path with delay.
	delayAt = 2 * time.Millisecond
	// boundTicks is for how long WireGuard must have lost boundAt of the packets, in either half, and boundLost packets in all. TCP
	// with enough room loses less by itself: 1 packet in 40,000 at 100 Mbit/s and 27 ms.
	boundTicks = 20
	boundAt    = 0.0005
	boundLost  = 5
	// boundNear is what part of the rate that the losses allow one stream is sent at least, in packets of bulkSize bytes on average. Calls
	// have some hundred, and acknowledgments less.
	boundNear = 0.5
	bulkSize  = 600
	// trialTicks is for how long TLS is tried. In the second half it must carry gain times as much: cubic in the tunnel grows its window
	// by 0.4 packets times the cube of the seconds without a loss (RFC 9438), so that both streams above have doubled by then.
	trialTicks = 12
	gain       = 1.5
	firstRest  = time.Minute // after a trial in vain; twice as long each time, up to mostPause
	// wholePackets are sent, instead of proofPackets, to prove that nothing gets lost: of wholeOf no one may be.
	wholePackets = 4000
	wholeOf      = 2500
	// payload is how many bytes a packet of TCP carries in a tunnel with the usual MTU.
	payload = 1380
)

// allows returns what one TCP stream carries at most while this part of its packets gets lost, in bytes a second (Mathis et al., The
// Macroscopic Behavior of the TCP Congestion Avoidance Algorithm, 1997, with acknowledgments of each packet).
func allows(loss float64, rtt time.Duration) float64 {
	return 1.22 * payload / (rtt.Seconds() * math.Sqrt(loss))
}

// trial is TLS that carries because losses bound what WireGuard does.
type trial struct {
	before float64       // what was sent until then, in bytes a second; 0: TLS does not carry because of that
	loss   float64       // over WireGuard, likewise
	gains  bool          // it has been shown to carry more
	again  time.Time     // none is begun before
	rest   time.Duration // between the last one, in vain, and again
}

// stop has TLS carry for another reason, or not any more.
func (t *trial) stop() { t.before, t.gains = 0, false }

// counted is for how long the peer has told without a gap of the time in which this transport carries. The restart of one of the ends
// makes one.
func (c *choice) counted() time.Duration {
	if len(c.losses.reports) == 0 {
		return 0
	}
	last := c.losses.reports[len(c.losses.reports)-1].at
	return max(0, min(last.Sub(c.since), last.Sub(c.losses.since)))
}

// bound reports whether losses bound what is sent over WireGuard, which carries, and how much that is, in bytes a second.
func (c *choice) bound(now time.Time, f *facts) (loss, sent float64, is bool) {
	if !f.bbr || f.rtt[WireGuard] < delayAt || now.Before(c.trial.again) || c.counted() < boundTicks*c.tick {
		return 0, 0, false
	}
	loss, packets := c.losses.rate(now, boundTicks*c.tick)
	early, late := c.losses.halves(now, boundTicks*c.tick)
	if min(early, late) < boundAt || loss*float64(packets) < boundLost-0.5 {
		return 0, 0, false
	}
	sent, size := c.losses.load(now, boundTicks/2*c.tick) // which may have begun in the first half
	return loss, sent, size >= bulkSize && sent >= boundNear*allows(loss, f.rtt[WireGuard])
}

// tries reports whether TLS has still to show that it carries more.
func (c *choice) tries() bool { return c.trial.before > 0 && !c.trial.gains }

// judge ends a trial.
func (c *choice) judge(now time.Time) bool {
	t := &c.trial
	if c.counted() < trialTicks*c.tick { // from the beginning again after a gap: new connections carry little at first
		return false
	}
	if sent, _ := c.losses.load(now, trialTicks/2*c.tick); sent >= gain*t.before {
		t.gains, t.rest = true, 0
		return false
	}
	t.rest = min(max(2*t.rest, firstRest), mostPause)
	t.again = now.Add(t.rest)
	return c.move(now, WireGuard, preferred)
}

// wants reports whether so much is sent over TLS, which has been shown to carry more, that WireGuard's losses would bound it.
func (c *choice) wants(now time.Time, f *facts) bool {
	switch {
	case !c.trial.gains:
		return false
	case f.rtt[WireGuard] == 0 || c.counted() < boundTicks/2*c.tick: // after a restart, of either end: not known yet
		return true
	case !f.bbr || f.rtt[WireGuard] < delayAt:
		return false
	}
	sent, _ := c.losses.load(now, boundTicks*c.tick)
	return sent >= boundNear/2*allows(c.trial.loss, f.rtt[WireGuard])
}
