package underlay

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// manyPorts is what comes back to so many ports at so many addresses.
func manyPorts(addresses, ports int) (back returning) {
	for i := range addresses {
		back.addresses = append(back.addresses, rule{from: netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(1 + i)}), 32)})
	}
	for i := range ports {
		port := uint32(40000 + i)
		back.ports = append(back.ports, rule{ipProto: unix.IPPROTO_UDP, sport: span{port, port, true}})
	}
	return back
}

func mainRule(priority uint32) rule {
	r := newRule(priority, nl.FR_ACT_TO_TBL)
	r.table = unix.RT_TABLE_MAIN
	return r
}

// The rules for ports grow with the sum of ports and addresses, where that is less, and where others leave room before the jump.
func TestRulesForPorts(t *testing.T) {
	for _, c := range []struct {
		addresses, ports int
		others           []uint32 // priorities of rules that lead elsewhere
		want             int
	}{
		{1, 200, nil, 200},
		{2, 2, nil, 4},
		{3, 3, nil, 7},
		{5, 200, nil, 206},
		{5, 200, []uint32{100, 32761}, 206},
		{5, 200, []uint32{100, 32762}, 1000},
		{5, 200, []uint32{32765}, 1000},
		{0, 3, nil, 0},
		{3, 0, nil, 0},
	} {
		var others []rule
		for _, priority := range c.others {
			r := newRule(priority, nl.FR_ACT_TO_TBL)
			r.table = 200
			others = append(others, r)
		}
		p := newPlan(append(others, mainRule(32766)), 0, map[uint32]uint32{unix.RT_TABLE_MAIN: Table})
		jumps := p.jumps(manyPorts(c.addresses, c.ports))
		if got := len(jumps) - 1; got != c.want {
			t.Errorf("%d ports at %d addresses beside %v: %d rules, want %d", c.ports, c.addresses, c.others, got, c.want)
		}
		g := &Guard{protocol: owned}
		for _, r := range jumps {
			if !g.isOwnRule(r) {
				t.Errorf("%v is not known to be the guard's", r)
			}
		}
	}
}

const owned = 186

// A chain lets in what a rule for each pair does, wherever the chain that is being added or deleted has got to no more.
func TestChainAgainstPairs(t *testing.T) {
	r := rand.New(rand.NewPCG(8279, 1))
	for range 500 {
		back := manyPorts(2+r.IntN(4), 4+r.IntN(4))
		back.each = []rule{{iif: "lo", to: netip.MustParsePrefix("203.0.113.1/32")}}
		others := []rule{mainRule(32766)}
		if r.IntN(2) == 0 {
			others = slices.Insert(others, 0, newRule(32761, nl.FR_ACT_NOP))
		}
		p := newPlan(others, 0, map[uint32]uint32{unix.RT_TABLE_MAIN: Table})
		chain := p.jumps(back)
		p.before = p.jump
		pairs := p.jumps(back)
		if len(chain) >= len(pairs) {
			t.Fatalf("%d rules, and %d for each pair", len(chain), len(pairs))
		}
		added, deleted := r.IntN(len(chain)), slices.Clone(chain)
		slices.SortStableFunc(deleted, lastFirst)
		slices.SortStableFunc(deleted, func(a, b rule) int { // the chain before the rest
			return map[bool]int{true: 0, false: 1}[a.inChain()] - map[bool]int{true: 0, false: 1}[b.inChain()]
		})
		deleted = deleted[r.IntN(len(deleted)):]
		for range 50 {
			pkt := packet{
				from: netip.AddrFrom4([4]byte{192, 0, 2, byte(r.IntN(8))}), to: netip.AddrFrom4([4]byte{203, 0, 113, byte(r.IntN(3))}),
				ipProto: []uint8{unix.IPPROTO_TCP, unix.IPPROTO_UDP}[r.IntN(2)], sport: uint32(39999 + r.IntN(10)),
			}
			want := wayBy(pairs, others, pkt)
			if got := wayBy(chain, others, pkt); got != want {
				t.Fatalf("%+v goes by %s, want %s\nrules: %v", pkt, got, want, chain)
			}
			for what, some := range map[string][]rule{"added": chain[:added], "deleted": deleted} {
				if got := wayBy(some, others, pkt); want == "main" && got != want {
					t.Fatalf("while rules are %s %+v goes by %s\nrules: %v", what, pkt, got, some)
				}
			}
		}
	}
}

// wayBy is where an unmarked packet goes.
func wayBy(jumps, others []rule, p packet) string {
	transports := newRule(entry, nl.FR_ACT_TO_TBL)
	transports.table = Table
	all := slices.Concat(others, jumps, []rule{transports})
	for i := range all {
		if all[i].mask != 0 {
			all[i].mark ^= 1 // the model's packet has the mark
		}
	}
	slices.SortStableFunc(all, func(a, b rule) int { return int(a.priority) - int(b.priority) })
	return lookup(all, map[uint32]tableModel{unix.RT_TABLE_MAIN: {defaultWay: "main"}, Table: {defaultWay: "the copy"}}, p)
}
