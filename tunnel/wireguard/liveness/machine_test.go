package liveness

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// play is a machine with a clock that moves only where the test lets it, and a peer that the test
// plays: datagrams arrive in a socket, and are heard when they are read.
type play struct {
	t       *testing.T
	m       *Machine
	c       Config
	now     time.Time
	start   time.Time
	f       Facts
	unread  int       // datagrams of the peer in the socket
	late    bool      // the process is too busy to read them
	settle  int       // of the unread ones, how many have to be read; 0: none
	asked   bool      // Settle was asked for
	suspect time.Time // when
	arrived time.Time // the last datagram

	probes, handshakes int
	downs              []time.Duration
}

func newPlay(t *testing.T, c Config) *play {
	p := &play{t: t, m: New(c), c: c, start: time.Unix(1_000_000, 0)}
	p.now = p.start
	p.newSession()
	p.step()
	if !p.m.Up() {
		t.Fatal("not up with a session")
	}
	return p
}

// newSession completes a handshake, after which the peer has said something.
func (p *play) newSession() {
	p.f = Facts{
		Heard: p.now, Session: true, Alive: true, MayBegin: true, Begun: p.f.Begun,
		Renew: p.now.Add(120 * time.Second), Expire: p.now.Add(180 * time.Second),
	}
	p.arrived = p.now
}

// arrive has a datagram of the peer come to the socket.
func (p *play) arrive() {
	p.arrived = p.now
	p.unread++
	if !p.late {
		p.read()
	}
}

func (p *play) read() {
	if p.unread > 0 {
		p.f.Heard = p.now
	}
	p.unread, p.settle = 0, 0
}

// step does what Link.assess does.
func (p *play) step() Verdict {
	p.t.Helper()
	before := p.m.Up()
	p.f.Session = p.now.Before(p.f.Expire)
	v := p.m.Step(p.now, p.f)
	if v.Settle {
		if !p.asked {
			p.asked, p.suspect, p.settle = true, p.now, p.unread
		}
		if p.settle == 0 {
			f := p.f
			f.Read = true
			v = p.m.Step(p.now, f)
		}
	}
	if !v.Settle {
		p.asked = false
	}
	if v.Up != p.m.Up() || (v.Why != None) != (before && !v.Up) {
		p.t.Fatalf("at %v: verdict %+v of a machine that was up %v and is up %v", p.at(), v, before, p.m.Up())
	}
	if v.Why == Left || v.Why == NotBack {
		p.downs = append(p.downs, p.at())
	}
	if v.Why == Silent {
		p.downs = append(p.downs, p.at())
		if silence := p.now.Sub(p.f.Heard); silence < p.c.DeadAfter {
			p.t.Fatalf("at %v: dead %v after it was heard", p.at(), silence)
		}
	}
	if v.Settle || p.m.Up() && v.Quiet {
		if v.Quiet || v.Handshake || v.Probe {
			p.t.Fatalf("at %v: %+v although it is not known yet whether the peer is silent", p.at(), v)
		}
	}
	if v.Handshake {
		p.handshakes++
		p.f.Trying, p.f.Begun = true, p.now
	}
	if v.Probe {
		p.probes++
	}
	return v
}

func (p *play) at() time.Duration { return p.now.Sub(p.start) }

// pass lets time go by, stepping whenever the machine wants it.
func (p *play) pass(d time.Duration) {
	p.t.Helper()
	until := p.now.Add(d)
	for steps := 0; ; steps++ {
		at := p.m.Deadline(p.now, p.f)
		if at.IsZero() || at.After(until) {
			p.now = until
			return
		}
		if steps > 10_000 {
			p.t.Fatalf("at %v the machine never rests", p.at())
		}
		if at.After(p.now) {
			p.now = at
		}
		p.step()
	}
}

// every has a datagram arrive again and again.
func (p *play) every(d, until time.Duration) {
	for p.at() < until {
		p.pass(d)
		p.arrive()
		p.step()
	}
}

var (
	fast = Config{Keepalive: 20 * time.Millisecond, DeadAfter: 50 * time.Millisecond}
	slow = Config{Keepalive: time.Second, DeadAfter: 3 * time.Second, Probe: true}
)

// A silent peer is dead when dead_after is over, and not before.
func TestDeadAfter(t *testing.T) {
	for _, c := range []Config{fast, slow, {Keepalive: 5 * time.Minute, DeadAfter: 10 * time.Minute}} {
		p := newPlay(t, c)
		p.f.Expire, p.f.Renew = p.now.Add(time.Hour), p.now.Add(time.Hour)
		p.every(c.Keepalive, 10*c.Keepalive)
		heard := p.at()
		p.pass(c.DeadAfter - 1)
		if len(p.downs) > 0 {
			t.Errorf("%+v: down at %v", c, p.downs)
		}
		p.pass(1)
		if len(p.downs) != 1 || p.downs[0] != heard+c.DeadAfter {
			t.Errorf("%+v: down at %v, want %v", c, p.downs, heard+c.DeadAfter)
		}
	}
}

// A process that is too busy to read keeps the tunnel up as long as something waits, and reads it.
func TestBusyProcessIsNoDeadPeer(t *testing.T) {
	p := newPlay(t, fast)
	p.late = true
	for range 500 { // ten seconds
		p.pass(20 * time.Millisecond)
		p.arrive()
		p.step()
	}
	if len(p.downs) > 0 || p.handshakes > 0 {
		t.Errorf("down at %v, %d handshakes", p.downs, p.handshakes)
	}
	p.read()
	p.late = false
	heard := p.at()
	p.pass(time.Second)
	if len(p.downs) != 1 || p.downs[0] != heard+p.c.DeadAfter {
		t.Errorf("down at %v, want %v", p.downs, heard+p.c.DeadAfter)
	}
}

// A peer that has said that it is being restarted is waited for, asked for no new session, and dead when that time is over. One
// that is back is like others, and so is one without which the tunnel went down.
func TestRestartIsWaitedFor(t *testing.T) {
	p := newPlay(t, fast)
	await := func() { p.m.Await(p.now.Add(time.Second)) }
	await()
	p.pass(time.Second - 1)
	if len(p.downs) > 0 || p.handshakes > 0 {
		t.Fatalf("down at %v, %d handshakes", p.downs, p.handshakes)
	}
	p.pass(1)
	if len(p.downs) != 1 {
		t.Fatalf("down at %v, want 1s", p.downs)
	}
	for what, back := range map[string]func(){
		"it is back":                    func() { p.m.Await(time.Time{}) },
		"the tunnel was down meanwhile": func() { p.m.Down(); p.step() },
	} {
		p = newPlay(t, fast)
		await()
		p.pass(100 * time.Millisecond)
		p.newSession()
		back()
		downs := len(p.downs)
		p.pass(49 * time.Millisecond)
		if len(p.downs) != downs || !p.m.Up() {
			t.Errorf("%s: up %v, down at %v", what, p.m.Up(), p.downs)
		}
		p.pass(time.Millisecond)
		if len(p.downs) != downs+1 {
			t.Errorf("%s: up %v, down at %v, want 150ms", what, p.m.Up(), p.downs)
		}
	}
}

// A peer that leaves is dead soon, and stays so, though it was heard a moment ago. Whoever is heard afterwards has not left.
func TestPeerLeaves(t *testing.T) {
	p := newPlay(t, slow)
	p.c.DeadAfter = 0 // which it is not waited for
	p.m.Leaves(p.now)
	p.pass(leaveAfter - 1)
	if len(p.downs) > 0 {
		t.Fatalf("down at %v", p.downs)
	}
	p.pass(time.Second)
	if len(p.downs) != 1 || p.downs[0] != leaveAfter || p.m.Up() {
		t.Fatalf("up %v, down at %v; want %v", p.m.Up(), p.downs, leaveAfter)
	}
	p.arrive()
	p.step()
	if !p.m.Up() {
		t.Error("it is heard, and the tunnel is down")
	}
	p = newPlay(t, slow)
	p.pass(time.Millisecond)
	p.m.Leaves(p.now)
	p.pass(time.Millisecond)
	p.arrive()
	p.step()
	p.pass(slow.DeadAfter - 1)
	if len(p.downs) > 0 {
		t.Errorf("down at %v though it was heard again", p.downs)
	}
}

// What is waiting may be of somebody else: when it is read and the peer was not heard, it is dead.
func TestOthersDatagramsDelayDeathOnly(t *testing.T) {
	p := newPlay(t, fast)
	p.pass(45 * time.Millisecond)
	p.unread = 5 // not the peer's
	p.late = true
	p.pass(100 * time.Millisecond)
	if len(p.downs) > 0 {
		t.Fatalf("down at %v though something waits", p.downs)
	}
	p.unread, p.settle = 0, 0 // read, and nothing of the peer
	p.pass(2 * settleEvery)
	if want := 145*time.Millisecond + settleEvery; len(p.downs) != 1 || p.downs[0] > want {
		t.Errorf("down at %v, want by %v", p.downs, want)
	}
}

// A late peer is asked each keepalive, and one that may have been restarted gets a handshake.
func TestLatePeerIsAsked(t *testing.T) {
	p := newPlay(t, slow)
	p.pass(1249 * time.Millisecond)
	if p.probes != 0 {
		t.Fatal("asked too early")
	}
	p.pass(time.Millisecond)
	p.pass(749 * time.Millisecond)
	if p.probes != 1 || p.handshakes != 0 {
		t.Fatalf("%d probes, %d handshakes", p.probes, p.handshakes)
	}
	p.pass(999 * time.Millisecond)
	if p.probes != 2 || p.handshakes != 1 || len(p.downs) > 0 {
		t.Fatalf("%d probes, %d handshakes, down at %v", p.probes, p.handshakes, p.downs)
	}
	c := slow
	c.Probe = false
	p = newPlay(t, c)
	p.pass(2999 * time.Millisecond)
	if p.probes != 0 || p.handshakes != 1 {
		t.Fatalf("%d probes, %d handshakes", p.probes, p.handshakes)
	}
}

// An end that hears nothing sends no keepalives until the peer has had the time to notice, and
// knows it by a handshake.
func TestQuiet(t *testing.T) {
	p := newPlay(t, fast)
	p.pass(60 * time.Millisecond)
	for _, c := range []struct {
		at    time.Duration
		quiet bool
	}{{60 * time.Millisecond, true}, {119 * time.Millisecond, true}, {120 * time.Millisecond, false}} {
		p.now = p.start.Add(c.at)
		if v := p.step(); v.Quiet != c.quiet {
			t.Errorf("at %v: quiet %v", c.at, v.Quiet)
		}
	}
	p.f.Begun = p.start // before the peer was silent
	if v := p.step(); !v.Quiet {
		t.Error("not quiet though the peer cannot know")
	}
}

// A peer that only completes handshakes is believed after 2, 4, 8 times dead_after, as soon as a
// handshake may be begun then, and what it
// says ends that.
func TestDistrust(t *testing.T) {
	p := newPlay(t, slow)
	var last time.Time // handshake
	mute := func() {
		last = p.now
		p.newSession()
		p.f.Alive = false
	}
	mute()
	p.m = New(slow)
	p.step()
	var ups []time.Duration
	for i := 0; i < 100_000 && p.at() < 100*time.Second; i++ {
		was := p.m.Up()
		p.pass(10 * time.Millisecond)
		if p.f.Trying && p.now.Sub(last) >= 5*time.Second { // the protocol's pace
			mute()
			p.step()
		}
		if !was && p.m.Up() {
			ups = append(ups, p.at().Round(time.Second))
		}
	}
	if !slices.Equal(ups, []time.Duration{10 * time.Second, 25 * time.Second, 52 * time.Second}) {
		t.Errorf("up again at %v", ups)
	}
	if p.m.Trusts() {
		t.Error("trusted")
	}
	p.newSession()
	if v := p.step(); !v.Trusted || !v.Up || !p.m.Trusts() || p.m.Distrusts() {
		t.Errorf("%+v", v)
	}
}

// Without dead_after the tunnel ends with its session.
func TestSessionEnds(t *testing.T) {
	p := newPlay(t, Config{Keepalive: 25 * time.Second})
	p.pass(180*time.Second - 1)
	if !p.m.Up() || p.handshakes != 1 {
		t.Fatalf("up %v, %d handshakes", p.m.Up(), p.handshakes)
	}
	p.pass(1)
	if p.m.Up() || len(p.downs) > 0 {
		t.Errorf("up %v, silent at %v", p.m.Up(), p.downs)
	}
}

// playOps plays what may happen, in any order: a tunnel never goes down while something came
// within dead_after that was read, or waited when the silence was noticed; and it is down one step
// after dead_after at the latest if nothing waits, or, if that was noticed late, a quarter of it after it was.
func playOps(t *testing.T, ops []byte) {
	p := newPlay(t, fast)
	for len(ops) > 1 {
		op, d := ops[0]%6, time.Duration(ops[1])*time.Millisecond
		ops = ops[2:]
		switch op {
		case 0:
			p.pass(d)
		case 1:
			p.arrive()
		case 2:
			p.read()
			p.late = false
		case 3:
			p.late = true
		case 4: // the link's goroutine is late
			p.now = p.now.Add(d)
		case 5: // a handshake was completed
			p.newSession()
		}
		downs := len(p.downs)
		p.step()
		if len(p.downs) > downs {
			if noticed := p.suspect; p.now.Sub(p.arrived) < p.c.DeadAfter && !p.arrived.After(noticed) {
				t.Fatalf("at %v: dead %v after something arrived", p.at(), p.now.Sub(p.arrived))
			}
		}
		dead := p.f.Heard.Add(p.c.DeadAfter)
		if n := p.m.noticed; n.Sub(dead) > p.c.Keepalive/2 {
			dead = n.Add(p.c.DeadAfter / 4)
		}
		if p.m.Up() && p.settle == 0 && !p.now.Before(dead) {
			t.Fatalf("at %v: up though nothing was heard for %v", p.at(), p.now.Sub(p.f.Heard))
		}
		if at := p.m.Deadline(p.now, p.f); p.m.Up() && !p.asked && at.After(dead) {
			t.Fatalf("at %v: wants to be called at %v only", p.at(), at.Sub(p.start))
		}
	}
}

func TestMachineAtRandom(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		ops := make([]byte, 2*(1+r.IntN(100)))
		for i := range ops {
			ops[i] = byte(r.Uint32())
			if i%2 == 1 && r.IntN(4) > 0 {
				ops[i] %= 60
			}
		}
		playOps(t, ops)
		if t.Failed() {
			t.Fatalf("ops %v", ops)
		}
	}
}

func FuzzMachine(f *testing.F) {
	f.Add([]byte{0, 10, 1, 0, 20, 3, 0, 60, 4, 2})
	f.Add([]byte{3, 0, 0, 49, 1, 0, 0, 2, 2, 0, 0, 200})
	f.Fuzz(playOps)
}

// What is noticed late, as this process had no processor, does not count at once: what the peer has sent may still be on
// its way through the kernel. A peer that is dead is found out a little later, and after a sleep at once.
func TestSilenceThatIsNoticedLate(t *testing.T) {
	c := Config{Keepalive: 20 * time.Millisecond, DeadAfter: 50 * time.Millisecond, Probe: true}
	late := func(by time.Duration) *play {
		p := newPlay(t, c)
		p.now = p.now.Add(c.DeadAfter + by)
		p.step()
		return p
	}
	p := late(15 * time.Millisecond)
	if !p.m.Up() || p.probes != 1 {
		t.Errorf("up: %v, %d echoes", p.m.Up(), p.probes)
	}
	p.arrive()
	p.step()
	p.pass(49 * time.Millisecond)
	if !p.m.Up() {
		t.Errorf("down at %v though the peer was heard", p.downs)
	}
	p = late(15 * time.Millisecond)
	p.pass(time.Second)
	if len(p.downs) != 1 || p.downs[0] != 77500*time.Microsecond {
		t.Errorf("a dead peer is found out at %v", p.downs)
	}
	for _, by := range []time.Duration{0, 10 * time.Millisecond, time.Minute} {
		if p := late(by); p.m.Up() {
			t.Errorf("up, noticed %v late", by)
		}
	}
}
