package agent

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"warren/bgp"
	"warren/internal/config"
)

// outside is a world that the machine is played against: it notes what the machine has done and
// what has not had its result yet, and holds the machine to what must always be so.
type outside struct {
	t   *testing.T
	m   *machine
	now time.Time

	opening map[uint64]openTunnel
	open    map[uint64]openTunnel
	closing map[uint64]openTunnel
	closed  map[uint64]int // how often closeTunnel was done
	made    int            // how many tunnels were opened
	hops    map[string]bool
	wanted  []bgp.Neighbor
	besides map[uint64]bool
	asked   []effect // setAddresses, setTrust and listen without a result
	lines   []string
	logged  []string
	begun   int
}

func newOutside(t *testing.T) *outside {
	return &outside{
		t: t, m: newMachine(), now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
		opening: map[uint64]openTunnel{}, open: map[uint64]openTunnel{}, closing: map[uint64]openTunnel{}, closed: map[uint64]int{},
		hops: map[string]bool{}, besides: map[uint64]bool{},
	}
}

// play has the machine take an event and notes what it does. What the loop does at once and
// whose result it gives before anything else is left in asked.
func (o *outside) play(ev event) {
	o.t.Helper()
	for _, e := range o.m.next(o.now, ev) {
		o.note(e)
	}
	if len(o.asked) > 0 {
		return
	}
	for _, e := range o.m.next(o.now, idle{}) {
		o.note(e)
	}
	o.check()
}

func (o *outside) note(e effect) {
	o.t.Helper()
	isOpen := func(id uint64) {
		o.t.Helper()
		if _, ok := o.open[id]; !ok {
			o.t.Fatalf("%T for tunnel %d, which is not open", e, id)
		}
	}
	switch e := e.(type) {
	case openTunnel:
		if len(o.closing) > 0 {
			o.t.Fatalf("%s is opened while other tunnels are still there: %v", e.name, o.closing)
		}
		o.opening[e.id] = e
	case closeTunnel:
		isOpen(e.id)
		o.closed[e.id]++
		o.closing[e.id] = o.open[e.id]
		delete(o.open, e.id)
		if o.besides[e.id] {
			o.t.Fatalf("tunnel %d is closed while a peer is listened for in it", e.id)
		}
	case setAddresses:
		isOpen(e.id)
		o.asked = append(o.asked, e)
	case setTrust:
		isOpen(e.id)
		o.asked = append(o.asked, e)
	case listen:
		o.asked = append(o.asked, e)
	case wakeTunnel:
		isOpen(e.id)
	case listenBeside:
		isOpen(e.id)
		if o.besides[e.id] {
			o.t.Fatalf("a peer is listened for twice in tunnel %d", e.id)
		}
		o.besides[e.id] = true
	case endBeside:
		if !o.besides[e.id] {
			o.t.Fatalf("nothing listens in tunnel %d", e.id)
		}
		delete(o.besides, e.id)
	case setHop:
		o.hops[e.ifname] = !e.down
	case wantNeighbors:
		o.wanted = e.neighbors
	case report:
		o.lines = append(o.lines, e.line)
	case logged:
		o.logged = append(o.logged, e.text)
	case begun:
		o.begun++
	}
}

// check holds the machine to what must be so between any two events.
func (o *outside) check() {
	o.t.Helper()
	attachments := map[string]*attachment{}
	o.m.all(func(a *attachment) {
		if attachments[a.name] != nil {
			o.t.Fatalf("two attachments are called %s", a.name)
		}
		attachments[a.name] = a
		if _, isOpen := o.open[a.id]; isOpen != (a.phase == phaseOpen) {
			o.t.Fatalf("%s is in phase %d, its tunnel is open: %v", a.name, a.phase, isOpen)
		}
		if o.hops[a.cfg.Interface] != a.up() {
			o.t.Fatalf("%s is up: %v, and its hop: %v", a.name, a.up(), o.hops[a.cfg.Interface])
		}
		if a.up() && a.phase != phaseOpen {
			o.t.Fatalf("%s has a session and no tunnel", a.name)
		}
	})
	names := map[string]bool{}
	for _, n := range o.wanted {
		if slices.Equal(n.Addresses, netips("192.0.2.1/32")) {
			o.t.Fatalf("%s has the addresses of another session", n.Name)
		}
		a := attachments[n.Name]
		if a == nil || !a.up() || len(a.session.addresses) == 0 || n.Generation != a.session.generation && !o.m.busy() || names[n.Name] {
			o.t.Fatalf("neighbor %s is wanted, once more: %v; its attachment: %+v", n.Name, names[n.Name], a)
		}
		names[n.Name] = true
	}
	for name, a := range attachments {
		if a.up() && a.session.ready != names[name] && !o.m.busy() {
			o.t.Fatalf("%s has its addresses: %v, its neighbor is wanted: %v", name, a.session.ready, names[name])
		}
	}
	for id, times := range o.closed {
		if times != 1 {
			o.t.Fatalf("tunnel %d was closed %d times", id, times)
		}
	}
}

// answer gives the result of what the loop does at once, as it does, before anything else.
func (o *outside) answer(fails func() bool) {
	o.t.Helper()
	for len(o.asked) > 0 {
		e := o.asked[0]
		o.asked = o.asked[1:]
		var err error
		if fails() {
			err = errors.New("no")
		}
		switch e := e.(type) {
		case setAddresses:
			ev := addressed{id: e.id, number: e.number, back: e.back, err: err, noIPv6: err != nil && fails()}
			if err == nil {
				ev.addresses = pairsOf(e.locals)
			}
			o.play(ev)
		case setTrust:
			o.play(trusted{e.id, e.line, err})
		case listen:
			o.play(tried{subject{kind: e.kind}, err})
		}
	}
}

func never() bool { return false }

// finish gives all results that are left: success.
func (o *outside) finish() {
	o.t.Helper()
	for range 1000 {
		o.answer(never)
		if len(o.opening)+len(o.closing) == 0 {
			return
		}
		for _, id := range sortedKeys(o.opening) {
			o.opens(id, nil)
			o.answer(never)
		}
		for _, id := range sortedKeys(o.closing) {
			o.closes(id)
			o.answer(never)
		}
	}
	o.t.Fatal("there is no end to opening and closing")
}

func (o *outside) opens(id uint64, err error) {
	o.t.Helper()
	e := o.opening[id]
	delete(o.opening, id)
	if err == nil {
		o.made++
		o.open[id] = e
	}
	o.play(opened{id, err})
}

func (o *outside) closes(id uint64) {
	o.t.Helper()
	delete(o.closing, id)
	o.play(closed{id})
}

func upEvent(id uint64, link uint16) wentUp {
	v6, v4 := derived(link)
	return wentUp{id: id, ends: v6, beside: v4}
}

func wanted(name string, tunnels ...config.Tunnel) wantedPeer {
	return wantedPeer{name: name, bgp: peerConfig(name, 0).BGP, tunnels: tunnels}
}

func tunnelOn(ifname string, link int) config.Tunnel {
	return config.Tunnel{Interface: ifname, Link: link, MTU: 1500, Weight: 1}
}

// up opens all and brings them up.
func (o *outside) up() {
	o.t.Helper()
	o.finish()
	for _, id := range sortedKeys(o.open) {
		o.play(upEvent(id, uint16(o.open[id].cfg.Link)))
		o.answer(never)
	}
}

func (o *outside) names() (names []string) {
	for _, n := range o.wanted {
		names = append(names, n.Name+" on "+n.Interface)
	}
	return names
}

func (o *outside) conditions() (kinds []string) {
	for _, c := range o.m.conditions.shown() {
		kinds = append(kinds, string(c.kind))
	}
	return kinds
}

// Whatever happens in whatever order, what must always be so is; and when all succeeds in the
// end, every tunnel is open, nothing is wrong, and what was given up was closed once.
func TestMachineInAnyOrder(t *testing.T) {
	for seed := range uint64(200) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			o := newOutside(t)
			fails := func() bool { return rnd.IntN(4) == 0 }
			o.play(configured{somePeers(rnd)})
			for range 300 {
				o.answer(fails)
				o.happens(rnd, fails)
			}
			o.answer(fails)

			// Now all succeeds.
			o.finish()
			for range 3 {
				o.now = o.now.Add(2 * maxRetry)
				o.play(tick{})
				o.finish()
			}
			o.m.all(func(a *attachment) {
				if a.phase != phaseOpen {
					t.Fatalf("%s is in phase %d", a.name, a.phase)
				}
				o.play(mended{id: a.id})
			})
			o.up()
			expect(t, "conditions", o.conditions(), nil)
			if n := 0; true {
				o.m.all(func(*attachment) { n++ })
				if len(o.wanted) != n || len(o.open) != n {
					t.Errorf("%d attachments, %d open tunnels, %d neighbors", n, len(o.open), len(o.wanted))
				}
			}
			if o.begun != 1 {
				t.Errorf("it has begun %d times", o.begun)
			}
			o.play(configured{})
			o.finish()
			if len(o.closed) != o.made || len(o.wanted) != 0 || len(o.besides) != 0 || len(o.m.tunnels)+len(o.m.leaving)+len(o.m.conditions.known) != 0 {
				t.Errorf("of %d tunnels %d were closed; left are %v, %v, %v, %v", o.made, len(o.closed), o.wanted, o.m.tunnels, o.m.leaving, o.m.conditions.known)
			}
		})
	}
}

// happens plays one event of all that can be.
func (o *outside) happens(rnd *rand.Rand, fails func() bool) {
	o.t.Helper()
	o.now = o.now.Add(time.Duration(rnd.IntN(3000)) * time.Millisecond)
	some := func(m map[uint64]openTunnel) uint64 { // of m, or a number that is not there any more
		if ids := sortedKeys(m); len(ids) > 0 && rnd.IntN(10) > 0 {
			return ids[rnd.IntN(len(ids))]
		}
		return uint64(rnd.IntN(50))
	}
	id := some(o.open)
	number := uint64(0)
	if a := o.m.tunnels[id]; a != nil && a.up() && rnd.IntN(4) > 0 {
		number = a.session.number
	}
	var err error
	if fails() {
		err = errors.New("no")
	}
	if opening := sortedKeys(o.opening); len(opening) > 0 && rnd.IntN(2) == 0 {
		o.opens(opening[rnd.IntN(len(opening))], err)
		return
	}
	if closing := sortedKeys(o.closing); len(closing) > 0 && rnd.IntN(2) == 0 {
		o.closes(closing[rnd.IntN(len(closing))])
		return
	}
	_, isOpen := o.open[id]
	switch rnd.IntN(15) {
	case 14: // of a session that is over
		o.play(addressed{id: id, number: number + 1000, addresses: netips("192.0.2.1/32"), err: err})
	case 0, 1, 2:
		if isOpen {
			o.play(upEvent(id, uint16(rnd.IntN(3))))
		}
	case 3, 4:
		o.play(wentDown{id, "test"})
	case 5:
		o.play(gone{id, errors.New("gone")})
	case 6:
		o.play(called{id, number, rnd.IntN(2) == 0})
	case 7:
		o.play(rekeyed{upEvent(id, uint16(rnd.IntN(3)))})
	case 8:
		o.play(stripped{id})
	case 9:
		o.play(mended{id: id, err: err})
	case 10:
		o.play(tick{})
	case 11:
		o.play(changedAround{})
	case 12:
		o.play(woke{time.Duration(rnd.IntN(20)) * time.Second})
	case 13:
		o.play(configured{somePeers(rnd)})
	}
}

// somePeers returns peers with up to three tunnels each, whose interfaces, links and keys move
// from one to another.
func somePeers(rnd *rand.Rand) (peers []wantedPeer) {
	ifnames := []string{"if0", "if1", "if2", "if3", "if4", "if5"}
	rnd.Shuffle(len(ifnames), func(i, j int) {
		if rnd.IntN(3) == 0 {
			ifnames[i], ifnames[j] = ifnames[j], ifnames[i]
		}
	})
	for _, name := range []string{"b", "c"} {
		if rnd.IntN(5) == 0 {
			continue
		}
		p := wanted(name)
		for i := range 1 + rnd.IntN(3) {
			c := tunnelOn(ifnames[0], i)
			ifnames = ifnames[1:]
			c.Trust.PeerName = fmt.Sprint(rnd.IntN(2))
			c.MTU += rnd.IntN(2)
			p.tunnels = append(p.tunnels, c)
		}
		p.bgp.ASN += uint32(rnd.IntN(2))
		peers = append(peers, p)
	}
	return peers
}

// Opening keeps nothing else waiting: while one tunnel takes its time the others go on, and a
// peer that is removed meanwhile has it closed when it is there.
func TestMachineOpensBeside(t *testing.T) {
	o := newOutside(t)
	o.play(configured{[]wantedPeer{wanted("b", tunnelOn("if-b", 0)), wanted("c", tunnelOn("if-c", 1))}})
	ids := sortedKeys(o.opening)
	o.opens(ids[1], nil)
	o.play(upEvent(ids[1], 1))
	o.answer(never)
	expect(t, "while b takes its time", o.names(), []string{"c on if-c"})
	if o.begun != 0 {
		t.Error("strangers are let in before b is known")
	}
	o.play(configured{[]wantedPeer{wanted("c", tunnelOn("if-c", 1)), wanted("d", tunnelOn("if-b", 0))}})
	if len(o.opening) != 1 {
		t.Error("d is opened while b may come on its interface")
	}
	o.opens(ids[0], nil)
	if o.closed[ids[0]] != 1 {
		t.Error("what nobody wants any more stays open")
	}
	o.up()
	expect(t, "in the end", o.names(), []string{"c on if-c", "d on if-b"})
	if o.begun != 1 {
		t.Errorf("it has begun %d times", o.begun)
	}
}

// A tunnel whose keys were changed while it was being opened gets the new ones.
func TestMachineChangesKeysOfATunnelThatIsBeingOpened(t *testing.T) {
	o := newOutside(t)
	before := tunnelOn("if-b", 0)
	after := before
	after.Trust.PeerName = "other"
	o.play(configured{[]wantedPeer{wanted("b", before)}})
	o.play(configured{[]wantedPeer{wanted("b", after)}})
	id := sortedKeys(o.opening)[0]
	o.opens(id, nil)
	if i := slices.IndexFunc(o.asked, func(e effect) bool { s, ok := e.(setTrust); return ok && s.cfg.Trust.PeerName == "other" }); i < 0 {
		t.Errorf("asked for %+v", o.asked)
	}
	expect(t, "lines", o.lines, []string{"peer b: keys changed, a session stays whose key is still there"})
}

// Tunnels of one peer come and go one by one; those that did not change stay, by their sessions
// and the names of their neighbors.
func TestMachineChangesTunnelsOneByOne(t *testing.T) {
	o := newOutside(t)
	first, second, third := tunnelOn("b0", 0), tunnelOn("b1", 1), tunnelOn("b2", 2)
	o.play(configured{[]wantedPeer{wanted("b", first, second)}})
	o.up()
	expect(t, "two", o.names(), []string{"b on b0", "b/1 on b1"})
	generation := o.wanted[1].Generation
	for _, c := range []struct {
		what    string
		tunnels []config.Tunnel
		lines   []string
		names   []string
		closed  int
	}{
		{"a third is added", []config.Tunnel{first, second, third}, []string{"peer b (b/2): tunnel added"}, []string{"b on b0", "b/1 on b1", "b/2 on b2"}, 0},
		{"another order", []config.Tunnel{second, third, first}, nil, []string{"b/1 on b1", "b/2 on b2", "b on b0"}, 0},
		{"the first is removed", []config.Tunnel{second, third}, []string{"peer b: tunnel removed"}, []string{"b/1 on b1", "b/2 on b2"}, 1},
		{"one is changed", []config.Tunnel{second, {Interface: "b2", Link: 2, MTU: 1400}}, []string{"peer b (b/2): tunnel changed, reconnecting"},
			[]string{"b/1 on b1", "b/2 on b2"}, 1},
		{"another interface", []config.Tunnel{second, {Interface: "new", Link: 2, MTU: 1400}}, []string{"peer b (b/2): tunnel changed, reconnecting"},
			[]string{"b/1 on b1", "b/2 on new"}, 1},
		{"a first one again", []config.Tunnel{second, {Interface: "new", Link: 2, MTU: 1400}, first}, []string{"peer b: tunnel added"},
			[]string{"b/1 on b1", "b/2 on new", "b on b0"}, 0},
		{"the same", []config.Tunnel{second, {Interface: "new", Link: 2, MTU: 1400}, first}, nil, []string{"b/1 on b1", "b/2 on new", "b on b0"}, 0},
	} {
		o.lines = nil
		before := len(o.closed)
		o.play(configured{[]wantedPeer{wanted("b", c.tunnels...)}})
		o.finish()
		for id := range o.open {
			if a := o.m.tunnels[id]; !a.up() {
				o.play(upEvent(id, uint16(a.cfg.Link)))
				o.answer(never)
			}
		}
		expect(t, c.what+", lines", o.lines, c.lines)
		expect(t, c.what+", neighbors", o.names(), c.names)
		if n := len(o.closed) - before; n != c.closed {
			t.Errorf("%s: %d tunnels were closed, want %d", c.what, n, c.closed)
		}
		if i := slices.IndexFunc(o.wanted, func(n bgp.Neighbor) bool { return n.Name == "b/1" }); o.wanted[i].Generation != generation {
			t.Errorf("%s: the session of the tunnel that stays has begun again", c.what)
		}
	}
}

// Keys are changed tunnel by tunnel: one that cannot take them over is made again, and the
// other stays.
func TestMachineChangesKeysOneByOne(t *testing.T) {
	o := newOutside(t)
	first, second := tunnelOn("b0", 0), tunnelOn("b1", 1)
	o.play(configured{[]wantedPeer{wanted("b", first, second)}})
	o.up()
	first.Trust.PeerName, second.Trust.PeerName = "x", "x"
	o.play(configured{[]wantedPeer{wanted("b", first, second)}})
	for _, e := range slices.Clone(o.asked) {
		s := e.(setTrust)
		var err error
		if s.cfg.Interface == "b1" {
			err = errors.New("that is c's")
		}
		o.asked = o.asked[1:]
		o.play(trusted{s.id, s.line, err})
	}
	expect(t, "lines", o.lines, []string{"peer b: keys changed, a session stays whose key is still there", "peer b (b/1): tunnel changed, reconnecting"})
	expect(t, "neighbors", o.names(), []string{"b on b0"})
}

// A peer without IPv6 is heard where it calls, in each of its tunnels by itself.
func TestMachineGoesOverToIPv4(t *testing.T) {
	o := newOutside(t)
	o.play(configured{[]wantedPeer{wanted("b", tunnelOn("b0", 0), tunnelOn("b1", 1))}})
	o.up()
	ids := sortedKeys(o.open)
	number := o.m.tunnels[ids[1]].session.number
	o.play(called{ids[1], number, true})
	o.play(called{ids[1], number + 100, false})
	if len(o.besides) != 2 {
		t.Error("it stopped listening for a call that counts for nothing")
	}
	o.play(called{ids[1], number, false})
	if !o.wanted[0].LocalAddr.Is6() || !o.wanted[1].LocalAddr.Is4() || o.besides[ids[1]] || !o.besides[ids[0]] {
		t.Errorf("%v and %v, still listening in %v", o.wanted[0].LocalAddr, o.wanted[1].LocalAddr, o.besides)
	}
}

// What failed for a tunnel that went down is no condition while there is nothing to try, and
// when it fails again for the same cause that is not logged again.
func TestMachineRestsConditionsOfATunnelThatIsDown(t *testing.T) {
	o := newOutside(t)
	o.play(configured{[]wantedPeer{wanted("b", tunnelOn("b0", 0))}})
	o.finish()
	id := sortedKeys(o.open)[0]
	for range 3 {
		o.play(upEvent(id, 0))
		o.answer(func() bool { return true })
		expect(t, "up", o.conditions(), []string{"addresses"})
		o.play(wentDown{id, "test"})
		expect(t, "down", o.conditions(), nil)
	}
	if n := strings.Count(strings.Join(o.logged, "\n"), "cannot start BGP over the tunnel"); n != 1 {
		t.Errorf("logged %d times", n)
	}
	o.play(upEvent(id, 0))
	o.answer(never)
	expect(t, "in the end", o.conditions(), nil)
}

// Flows are shared among the tunnels that are up.
func TestShares(t *testing.T) {
	o := newOutside(t)
	o.play(configured{[]wantedPeer{wanted("b", tunnelOn("b0", 0), tunnelOn("b1", 1), tunnelOn("b2", 2))}})
	o.finish()
	shares := func(want ...float64) {
		t.Helper()
		if got := o.m.peers["b"].shares(); !slices.Equal(got, want) {
			t.Errorf("shares %v, want %v", got, want)
		}
	}
	shares(0, 0, 0)
	ids := sortedKeys(o.open)
	o.play(upEvent(ids[1], 1))
	o.answer(never)
	shares(0, 1, 0)
	o.play(upEvent(ids[2], 2))
	o.answer(never)
	shares(0, 0.5, 0.5)
}

// While many tunnels are being opened and come up the speaker is not told of each by itself,
// and of all of them in the end.
func TestMachineTellsOfManyAtOnce(t *testing.T) {
	o := newOutside(t)
	var peers []wantedPeer
	for i := range 100 {
		peers = append(peers, wanted(fmt.Sprintf("p%02d", i), tunnelOn(fmt.Sprintf("if%02d", i), i)))
	}
	o.play(configured{peers})
	told := 0
	for i, id := range sortedKeys(o.opening) {
		before := len(o.wanted)
		o.now = o.now.Add(10 * time.Millisecond)
		o.opens(id, nil)
		o.answer(never)
		o.play(upEvent(id, uint16(i)))
		o.answer(never)
		if len(o.wanted) != before {
			told++
		}
	}
	if len(o.wanted) != 100 || told > 6 {
		t.Errorf("told %d times, in the end of %d neighbors", told, len(o.wanted))
	}
}
