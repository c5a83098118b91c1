package auto

import (
	"fmt"
	"net/netip"
	"time"
)

// Transport is one of the two that carry the tunnel.
type Transport int

// The transports.
const (
	TLS Transport = iota
	WireGuard
)

func (t Transport) String() string {
	if t == TLS {
		return "tls"
	}
	return "wireguard"
}

// word is the transport in the words of a sentence.
func (t Transport) word() string {
	if t == TLS {
		return "TLS"
	}
	return "WireGuard"
}

func (t Transport) other() Transport { return 1 - t }

// Rules by which WireGuard is left for TLS while both work. Times are in ticks of [choice].
const (
	// lossyAt is what part of the packets may get lost over WireGuard. TCP in the tunnel makes such losses
	// itself where it finds the limit of a narrow line, some in a hundred for a moment; more than that all the
	// time is the path's. TLS with bbr makes them good. Fewer may be a reason too (bound.go).
	lossyAt = 0.02
	// lossiestAt is the same without bbr. With cubic a stream over TLS carries no more than over WireGuard at 1 and 5 %, and
	// a ping beside it takes ten times as long and more (docs/speed.md, Paths). What loses more than that is UDP that is held back.
	lossiestAt = 0.2
	// lossyOf is how many packets must have been sent for that to be believed, and lossyEach how many between two reports of
	// the peer for these to count: most of those must have lost so much, as an outage of a moment is no reason.
	lossyOf, lossyEach = 200, 20
	lossyTicks         = 10
	// slowTicks is for how long WireGuard's round trip must be more than twice that of TLS, and slowBy longer.
	slowTicks = 10
	// silentTicks is for how many ticks nothing may come by a transport while both are up.
	silentTicks = 3
	slowBy      = 20 * time.Millisecond
)

// Rules by which this end goes back to WireGuard: it must work for a while, at the end of which packets are sent
// by it alone to prove that.
const (
	firstPause  = 10 * time.Second // at least waitTicks
	waitTicks   = 10
	mostPause   = 10 * time.Minute // each time that it is left again soon, the pause is twice as long
	steadyAfter = 10 * time.Minute // it is not left again soon
	proofTicks  = 10
	// proofPackets are sent in that time. Of proofOf of them, at least, no more may get lost than half of what it is left for.
	proofPackets = 200
	proofOf      = 100
)

// facts are what is known at one moment.
type facts struct {
	up  [2]bool
	why [2]string // it is not, in words
	rtt [2]time.Duration
	// silent is one over which nothing has come for silentTicks, though it is up, while the peer sends something by
	// each of them every tick.
	silent [2]bool
	// bbr is that what this end sends over TLS is sent with a congestion control that does not take each loss for
	// congestion.
	bbr bool
	// reports says that the peer tells what it receives over WireGuard; hears, that it told last that it does
	// receive. Both mean nothing unless TLS is up.
	reports, hears bool
	// at is where WireGuard is; not valid: it is not up.
	at netip.Addr
	// astray is that WireGuard is at another address than TLS, at an end that looks for its peer: where the peer does not hear it,
	// maybe at another router. If both addresses are of one family it is another one, as a router rarely has two of that.
	astray, other bool
}

// works reports whether a transport can carry. One that is silent is not, unless the other is too: dead_after may be longer than
// BGP waits.
func (f *facts) works(t Transport) bool {
	o := t.other()
	return f.up[t] && (!f.silent[t] || !f.up[o] || f.silent[o])
}

// most is what part of the packets may get lost over WireGuard, for whatever traffic.
func (f *facts) most() float64 {
	if f.bbr {
		return lossyAt
	}
	return lossiestAt
}

// choice decides by which transport this end sends. It prefers WireGuard, unless that is dead, or TLS has been
// clearly better for a while. It has no clock. The zero choice is not ready, see newChoice. It is not safe for concurrent use.
type choice struct {
	tick time.Duration // how often the peer reports
	chosen
	began  bool      // one of them has been up, since neither was
	losses losses    // of what this end sends over WireGuard
	slow   time.Time // since when WireGuard's round trip is too long; zero: it is not

	elsewhere []place // where WireGuard was before it was at, the last one last
}

// chosen is what a choice goes on with after a restart.
type chosen struct {
	carries Transport
	since   time.Time // when it was chosen
	why     string    // likewise, in words
	well    time.Time // since when WireGuard works, or has to prove again that it does; zero: it does not

	at      netip.Addr // where WireGuard is, or was last; not valid: it was not up yet
	history            // with the peer there
}

// newChoice returns the choice of a tunnel that is down: WireGuard, as that is preferred.
func newChoice(now time.Time, tick time.Duration) *choice {
	return &choice{
		tick: tick, chosen: chosen{carries: WireGuard, since: now},
		losses: losses{keep: (boundTicks + 1) * tick, gap: silentTicks * tick, least: tick / 2},
	}
}

// step decides again, and reports whether another transport carries from now on.
func (c *choice) step(now time.Time, f *facts) (moved bool) {
	hears := f.hears || !f.reports
	c.follow(now, f.at)
	switch {
	case !f.works(WireGuard) || f.up[TLS] && !hears:
		c.well = time.Time{}
		c.losses.reset()
		c.trial.stop()
	case c.well.IsZero():
		c.well = now
	}
	c.watchSlow(now, f)
	switch {
	case !f.up[TLS] && !f.up[WireGuard]:
		c.began = false
		return false
	case !f.works(WireGuard):
		return c.move(now, TLS, notUp(WireGuard, f))
	case !f.up[TLS], !f.works(TLS) && hears: // silent for a moment is better than a direction that is dead
		return c.move(now, WireGuard, notUp(TLS, f))
	case !hears && f.other:
		return c.leaveOther(now)
	case !hears:
		return c.move(now, TLS, "the peer receives nothing over WireGuard")
	case c.carries == WireGuard:
		return c.leave(now, f)
	}
	return c.goBack(now, f)
}

func notUp(t Transport, f *facts) string {
	if f.up[t] {
		return "nothing comes over " + t.word()
	}
	if f.why[t] == "" {
		return t.word() + " is not up yet"
	}
	return t.word() + " is down: " + f.why[t]
}

// move has a transport carry.
func (c *choice) move(now time.Time, to Transport, why string) bool {
	began := c.began
	c.began = true
	if to == c.carries {
		if !began || to == WireGuard {
			c.why = why
		}
		return false
	}
	if to == TLS {
		switch carried := now.Sub(c.since); {
		case !began: // WireGuard was not left
		case c.pause == 0 || carried >= steadyAfter:
			c.pause = c.shortest()
		default:
			c.pause = min(2*c.pause, max(mostPause, waitTicks*c.tick))
		}
		if !c.well.IsZero() {
			c.well = now
		}
	}
	c.carries, c.since, c.why = to, now, why
	c.trial.stop()
	return true
}

// leaveOther goes to TLS while WireGuard is at another router. That says nothing of WireGuard: it is not longer in coming back.
func (c *choice) leaveOther(now time.Time) bool {
	pause := c.pause
	moved := c.move(now, TLS, "WireGuard is at another router than TLS")
	if pause > 0 {
		c.pause = pause
	}
	return moved
}

// leave goes from WireGuard to TLS if that is better. Both work.
func (c *choice) leave(now time.Time, f *facts) bool {
	if rate, lossy := c.losses.lasting(now, lossyTicks*c.tick, f.most()); lossy {
		return c.move(now, TLS, fmt.Sprintf("%.1f %% of the packets that are sent over WireGuard get lost", 100*rate))
	}
	if !c.slow.IsZero() && now.Sub(c.slow) >= slowTicks*c.tick {
		return c.move(now, TLS, fmt.Sprintf("the round trip over WireGuard is %v, and over TLS %v",
			f.rtt[WireGuard].Round(time.Millisecond/10), f.rtt[TLS].Round(time.Millisecond/10)))
	}
	if loss, sent, is := c.bound(now, f); is {
		moved := c.move(now, TLS, fmt.Sprintf("%.2g %% of the packets that are sent over WireGuard get lost, which bounds what TCP carries", 100*loss))
		c.trial.before, c.trial.loss = sent, loss
		return moved
	}
	return c.move(now, WireGuard, preferred)
}

// preferred is why WireGuard carries while both work: its packets do not wait for one another.
const preferred = "WireGuard is preferred, and works"

// goBack goes from TLS to WireGuard if that has been well for long enough. Both work.
func (c *choice) goBack(now time.Time, f *facts) bool {
	if c.tries() && f.reports {
		return c.judge(now)
	}
	if now.Before(c.well.Add(c.wait(now, f))) {
		return false
	}
	if c.pause > 0 && f.reports {
		most, enough := f.most()/2, uint64(proofOf)
		switch {
		case c.wants(now, f):
			most, enough = 0, wholeOf
		case c.trial.gains:
			most = f.most() // it was not left for losing more
		}
		rate, packets := c.losses.rate(now, proofTicks*c.tick)
		switch {
		case rate > most && packets >= proofOf || !c.slow.IsZero():
			c.well, c.pause = now, min(2*c.pause, max(mostPause, waitTicks*c.tick))
			return false
		case packets < enough:
			return false // they are being sent
		}
	}
	return c.move(now, WireGuard, preferred)
}

// wait is for how long WireGuard must have worked before it carries again. What has gone to TLS for what that carries more
// of comes back soon when there is no such traffic any more.
func (c *choice) wait(now time.Time, f *facts) time.Duration {
	if c.trial.gains && !c.wants(now, f) {
		return min(c.pause, c.shortest())
	}
	return c.pause
}

// shortest is the pause after WireGuard was left once.
func (c *choice) shortest() time.Duration { return max(firstPause, waitTicks*c.tick) }

// proves returns how many packets are to be sent over WireGuard in proofTicks only to prove that they arrive; 0: none.
func (c *choice) proves(now time.Time, f *facts) int {
	switch {
	case c.carries != TLS || !f.up[WireGuard] || !f.up[TLS] || !f.reports || c.well.IsZero() || c.pause == 0 || c.tries():
		return 0
	case now.Before(c.well.Add(c.wait(now, f) - proofTicks*c.tick)):
		return 0
	case c.wants(now, f):
		return wholePackets
	}
	return proofPackets
}

// watchSlow notes since when WireGuard takes clearly longer than TLS.
func (c *choice) watchSlow(now time.Time, f *facts) {
	tls, wg := f.rtt[TLS], f.rtt[WireGuard]
	switch {
	case !f.up[TLS] || !f.up[WireGuard] || tls == 0 || wg <= 2*tls+slowBy:
		c.slow = time.Time{}
	case c.slow.IsZero():
		c.slow = now
	}
}
