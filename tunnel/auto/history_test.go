package auto

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"
)

var (
	six  = netip.MustParseAddr("2001:db8::1")
	four = netip.MustParseAddr("192.0.2.1")
)

// goTo has WireGuard go down, and come up at another address.
func (p *player) goTo(at netip.Addr) {
	p.up(WireGuard, false, "silence")
	p.f.at = at
	p.up(WireGuard, true, "")
}

// An address at which WireGuard does badly holds up no other one of the peer's, as that in the other family, and is remembered.
func TestAddressesHaveHistories(t *testing.T) {
	p := both(t)
	p.f.at = six
	for range 3600 {
		p.loss = 0
		if p.c.carries == WireGuard {
			p.loss = 0.05
		}
		p.pass(1)
	}
	if p.c.pause < 4*time.Minute {
		t.Fatalf("the pause is %v", p.c.pause)
	}
	p.loss = 0
	p.goTo(four)
	p.pass(8)
	p.want(TLS, "") // it has to prove itself there too
	p.pass(5)
	p.want(WireGuard, preferred)
	p.goTo(six)
	p.pass(60)
	p.want(TLS, "silence")
	p.pass(int(mostPause / time.Second))
	p.want(WireGuard, preferred)
}

// What was never left carries at once, wherever the peer is.
func TestMovesWithoutAFault(t *testing.T) {
	p := both(t)
	for i := range uint32(100) {
		var at [4]byte
		binary.BigEndian.PutUint32(at[:], i+1)
		p.f.at = netip.AddrFrom4(at)
		p.pass(5)
		p.want(WireGuard, preferred)
	}
	if n := len(p.c.elsewhere); n > mostPlaces {
		t.Errorf("%d places are remembered", n)
	}
}

// A family in which the peer hears nothing, again and again, is left for longer each time, though TLS is connected in the other one.
func TestDeafFamilyIsLeftLonger(t *testing.T) {
	p := both(t)
	p.f.at, p.f.astray = six, true
	var pauses []int
	for range 5 {
		p.f.hears = false
		p.step()
		p.want(TLS, "the peer receives nothing over WireGuard")
		p.f.hears = true
		n := 0
		for p.step(); p.c.carries == TLS && n < 3600; n++ {
			p.pass(1)
		}
		p.want(WireGuard, preferred)
		pauses = append(pauses, n)
	}
	if pauses[4] < 8*pauses[0] {
		t.Errorf("seconds until WireGuard carries again: %d", pauses)
	}
}

// A trial says nothing of another address.
func TestMovesInTrial(t *testing.T) {
	p := both(t)
	p.f.at = six
	p.f.rtt, p.loss = [2]time.Duration{20 * ms, 20 * ms}, 0.005
	p.carry(10, 1400, 10)
	for p.c.carries == WireGuard {
		p.pass(1)
	}
	p.want(TLS, "bounds")
	p.f.at, p.loss = four, 0
	p.pass(boundTicks)
	p.want(WireGuard, preferred)
	if p.c.trial != (trial{}) {
		t.Errorf("%+v", p.c.trial)
	}
}

// A peer that is heard from another address while WireGuard is up has to prove that it works there, and what was lost on the way to
// the address before says nothing of that.
func TestMovesWithoutBeingDown(t *testing.T) {
	p := both(t)
	p.f.at, p.loss = six, 0.05
	for p.c.carries == WireGuard {
		p.pass(1)
	}
	for range 4 {
		p.pass(int(p.c.pause / time.Second)) // it proves itself in vain
		p.want(TLS, "get lost")
	}
	p.pass(int(p.c.pause/time.Second) - proofTicks/2)
	p.f.at, p.loss = four, 0
	p.pass(8)
	p.want(TLS, "get lost")
	p.pass(5)
	p.want(WireGuard, preferred)
	if p.c.pause != p.c.shortest() {
		t.Errorf("the pause is %v", p.c.pause)
	}
}

// Nor do they bound what goes to an address without losses.
func TestMovesBeforeATrial(t *testing.T) {
	p := both(t)
	p.f.at, p.loss = six, 0.005
	p.f.rtt = [2]time.Duration{20 * ms, 20 * ms}
	p.carry(10, 1400, 10)
	p.pass(boundTicks / 2)
	p.f.at, p.loss = four, 0
	p.pass(2 * boundTicks)
	if len(p.moves) > 0 {
		t.Errorf("moves %v: %s", p.moves, p.c.why)
	}
}
