package auto

import (
	"encoding/json"
	"net/netip"
	"testing"
	"time"
)

// restart has the program of this end be replaced: what it has counted is gone.
func (p *player) restart() {
	p.t.Helper()
	text, err := json.Marshal(p.c.handOver(p.now))
	if err != nil {
		p.t.Fatal(err)
	}
	var h Handover
	if err := json.Unmarshal(text, &h); err != nil {
		p.t.Fatal(err)
	}
	p.c = newChoice(p.now, time.Second)
	p.c.takeUp(p.now, &h)
	p.sent, p.got, p.bytes = 0, 0, 0
	rtt, bbr, tls := p.f.rtt, p.f.bbr, p.tls
	p.f.rtt, p.f.bbr, p.tls = [2]time.Duration{}, false, 0 // which TLS has to tell when it is connected again
	p.step()
	p.pass(1)
	p.f.bbr, p.tls = bbr, tls
	p.pass(tripsKept)
	p.f.rtt = rtt
}

// bounded is a choice whose losses bound what WireGuard carries, at the moment in which TLS is tried.
func bounded(t *testing.T, tls float64) *player {
	p := both(t)
	p.f.rtt, p.loss = [2]time.Duration{20 * ms, 20 * ms}, 0.005
	p.carry(10, 1400, tls)
	for p.c.carries == WireGuard {
		p.pass(1)
	}
	p.want(TLS, "bounds")
	return p
}

// TLS that has been shown to carry more goes on, however often this end is restarted.
func TestTrialIsWonOnce(t *testing.T) {
	p := bounded(t, 300)
	p.pass(2 * trialTicks)
	for range 3 {
		p.restart()
		p.pass(600)
		p.want(TLS, "bounds")
	}
	if len(p.moves) != 1 {
		t.Errorf("moves %v", p.moves)
	}
	p.restart()
	p.carry(1, 200, 1) // such traffic is over
	p.pass(2*boundTicks + proofTicks)
	p.want(WireGuard, preferred)
}

// A trial goes on over a restart, and is judged by what TLS carries afterwards.
func TestRestartInTrial(t *testing.T) {
	for _, c := range []struct {
		tls   float64
		gains bool
	}{{300, true}, {10, false}} {
		for at := range trialTicks {
			p := bounded(t, c.tls)
			p.pass(at)
			p.restart()
			p.want(TLS, "bounds")
			p.pass(2 * trialTicks)
			if c.gains {
				p.want(TLS, "bounds")
			} else {
				p.want(WireGuard, preferred)
			}
			if p.c.trial.gains != c.gains || !c.gains && p.c.trial.rest != firstRest {
				t.Errorf("restarted after %d s: %+v", at, p.c.trial)
			}
		}
	}
}

// The end of the other program in the middle of a trial makes TLS carry nothing for a moment, and counts from zero again.
func TestPeerRestartsInTrial(t *testing.T) {
	for at := range trialTicks {
		p := bounded(t, 300)
		p.pass(at)
		tls := p.tls
		p.mute, p.tls = true, 0
		p.pass(4)
		p.mute, p.tls, p.sent, p.got = false, tls, 0, 0
		p.pass(2 * trialTicks)
		p.want(TLS, "bounds")
		if !p.c.trial.gains {
			t.Errorf("restarted after %d s: %+v", at, p.c.trial)
		}
	}
}

// After a trial in vain none is begun for a while, which a restart does not begin again nor end.
func TestRestBetweenTrials(t *testing.T) {
	p := bounded(t, 10)
	p.pass(trialTicks + 1)
	p.want(WireGuard, preferred)
	again := p.now.Add(firstRest)
	p.carry(10, 1400, 300) // the next one will not be in vain
	p.pass(4)
	p.restart()
	for p.now.Before(again.Add(-2 * time.Second)) {
		p.pass(1)
		p.want(WireGuard, preferred)
	}
	p.pass(4)
	p.want(TLS, "bounds")
}

// WireGuard that was left is waited for no longer because of a restart, and has still to prove itself.
func TestWaitGoesOn(t *testing.T) {
	p := both(t)
	for p.c.pause < mostPause {
		p.loss = 0
		if p.c.carries == WireGuard {
			p.loss = 0.05
		}
		p.pass(1)
	}
	p.want(TLS, "get lost")
	p.loss = 0
	p.pass(int(mostPause/time.Second) - 100)
	p.want(TLS, "get lost")
	since := p.c.since
	p.restart()
	if !p.c.since.Equal(since) {
		t.Errorf("TLS carries since %v, want %v", p.c.since, since)
	}
	p.pass(60)
	p.want(TLS, "get lost")
	p.pass(60)
	p.want(WireGuard, preferred)
}

// What is known of one address is not taken for that of another after a restart: UDP may pass in the other family alone.
func TestComesBackElsewhere(t *testing.T) {
	for _, c := range []struct {
		at    netip.Addr
		waits bool
	}{{six, true}, {four, false}} {
		p := both(t)
		p.f.at = six
		for p.c.pause < mostPause {
			p.loss = 0
			if p.c.carries == WireGuard {
				p.loss = 0.05
			}
			p.pass(1)
		}
		p.loss = 0
		p.up(WireGuard, false, "silence")
		p.f.at = netip.Addr{}
		p.restart()
		p.f.at = c.at
		p.up(WireGuard, true, "")
		if p.pass(2 * waitTicks); (p.c.carries == TLS) != c.waits {
			t.Errorf("at %v WireGuard carries after %v: %v", c.at, p.c.pause, p.c.carries)
		}
	}
}

// A program that is older leaves no more than what carries, why, and the pause.
func TestTakesUpWhatIsOlder(t *testing.T) {
	p := both(t)
	now := p.now
	p.c = newChoice(now, time.Second)
	p.c.takeUp(now, &Handover{Carries: TLS, Why: "lossy", Pause: time.Minute})
	if c := p.c; !c.since.Equal(now) || !c.well.IsZero() || c.trial != (trial{}) {
		t.Errorf("%+v", c)
	}
	p.pass(30)
	p.want(TLS, "lossy")
	p.pass(40)
	p.want(WireGuard, preferred)
}
