package agent

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
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
	absent  []bgp.Absent
	ports   bool // flows are spread by ports
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
	case setEnds:
		isOpen(e.id)
	case setTrust:
		isOpen(e.id)
		o.asked = append(o.asked, e)
	case listen:
		o.asked = append(o.asked, e)
	case hashPorts:
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
		o.wanted, o.absent = e.neighbors, e.absent
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
		case hashPorts:
			if err == nil {
				o.ports = e.on
			}
			o.play(tried{subject{kind: kindFlowHash}, err})
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
		o.play(rekeyed{[]otherKeys{{wentUp: upEvent(id, uint16(rnd.IntN(3)))}, {wentUp: upEvent(some(o.open), uint16(rnd.IntN(3)))}}})
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
