package liveness

import (
	"testing"
	"time"
)

// A peer that is silent in all its tunnels is waited for a bit longer, until another of them hears it.
func TestPeerSilentInAllTunnels(t *testing.T) {
	for _, c := range []Config{fast, slow} {
		p := newPlay(t, c)
		p.f.AllSilent = true
		p.pass(c.DeadAfter + allSilentFor - 1)
		if len(p.downs) > 0 {
			t.Errorf("%+v: down at %v", c, p.downs)
		}
		p.pass(1)
		if len(p.downs) != 1 {
			t.Errorf("%+v: not down after %v", c, p.at())
		}
		if p.pass(time.Second); p.m.Deadline(p.now, p.f).Sub(p.now) == settleEvery {
			t.Errorf("%+v: still looked at again and again", c)
		}

		p = newPlay(t, c)
		p.f.AllSilent = true
		p.pass(c.DeadAfter + allSilentFor/4)
		p.f.AllSilent = false
		if p.pass(c.Keepalive); len(p.downs) > 0 {
			t.Errorf("%+v: down at %v, as soon as another tunnel hears the peer", c, p.downs)
		}
		if p.pass(settleEvery + c.Keepalive); len(p.downs) != 1 {
			t.Errorf("%+v: not down though another tunnel hears the peer", c)
		}

		p = newPlay(t, c)
		p.f.AllSilent = true
		p.pass(c.DeadAfter + allSilentFor/2)
		p.arrive()
		p.f.AllSilent = false
		p.step()
		if p.pass(c.DeadAfter - 1); len(p.downs) > 0 {
			t.Errorf("%+v: down at %v though it was heard", c, p.downs)
		}
	}
}
