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
			several := slices.ContainsFunc(o.m.order, func(p *peer) bool { return len(p.attachments) > 1 })
			if o.ports != several || len(o.absent) != 0 {
				t.Errorf("flows are spread by ports: %v; a peer has several ways: %v; absent: %v", o.ports, several, o.absent)
			}
			o.play(configured{})
			o.finish()
			if o.ports {
				t.Error("flows are spread by ports still")
			}
			if len(o.closed) != o.made || len(o.wanted) != 0 || len(o.besides) != 0 || len(o.m.tunnels)+len(o.m.leaving)+len(o.m.conditions.known) != 0 {
				t.Errorf("of %d tunnels %d were closed; left are %v, %v, %v, %v", o.made, len(o.closed), o.wanted, o.m.tunnels, o.m.leaving, o.m.conditions.known)
			}
		})
	}
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
	expect(t, "lines", o.lines, []string{"peer b: keys changed, a session stays whose key is still there (tunnel.peer_name)"})
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
		{"one is changed", []config.Tunnel{second, {Interface: "b2", Link: 2, MTU: 1400}}, []string{"peer b (b/2): tunnel changed, reconnecting (tunnel.mtu)"},
			[]string{"b/1 on b1", "b/2 on b2"}, 1},
		{"another interface", []config.Tunnel{second, {Interface: "new", Link: 2, MTU: 1400}}, []string{"peer b (b/2): tunnel changed, reconnecting (tunnel.interface)"},
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
	expect(t, "lines", o.lines, []string{"peer b: keys changed, a session stays whose key is still there (tunnel.peer_name)", "peer b (b/1): tunnel changed, reconnecting"})
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

// However many tunnels go at a time, the speaker is told once, at once, and before those are closed whose sessions
// end inside them.
func TestMachineTellsOfWhatIsGoneTogether(t *testing.T) {
	const many = 20
	var peers []wantedPeer
	for i := range many {
		peers = append(peers, wanted(fmt.Sprint("p", i), tunnelOn(fmt.Sprint("if", i), i)))
	}
	for name, events := range map[string]func(*outside) []event{
		"dead": func(o *outside) (all []event) {
			for _, id := range sortedKeys(o.open) {
				all = append(all, wentDown{id, "test"})
			}
			return all
		},
		"no longer configured": func(*outside) []event { return []event{configured{}} },
		"dead while one is opened": func(o *outside) (all []event) {
			for _, e := range o.m.next(o.now, gone{sortedKeys(o.open)[0], errors.New("gone")}) {
				o.note(e)
			}
			for _, id := range sortedKeys(o.open) {
				all = append(all, wentDown{id, "test"})
			}
			return all
		},
	} {
		o := newOutside(t)
		o.play(configured{peers})
		o.up()
		if len(o.wanted) != many {
			t.Fatalf("%s: the speaker has %d neighbors", name, len(o.wanted))
		}
		told := 0
		take := func(all []effect) {
			for _, e := range all {
				switch e := e.(type) {
				case wantNeighbors:
					told++
				case closeTunnel:
					if e.parts && told == 0 {
						t.Errorf("%s: a tunnel is closed before its session", name)
					}
				}
				o.note(e)
			}
		}
		for _, ev := range events(o) {
			take(o.m.next(o.now, ev))
		}
		take(o.m.next(o.now, idle{}))
		if told != 1 || len(o.wanted) != 0 {
			t.Errorf("%s: the speaker is told %d times, and has %d neighbors", name, told, len(o.wanted))
		}
		if closed := name == "no longer configured"; closed != (len(o.closed) == many) {
			t.Errorf("%s: %d tunnels are closed", name, len(o.closed))
		}
	}
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
