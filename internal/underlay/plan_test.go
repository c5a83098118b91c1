package underlay

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"warren/internal/rtnl"
)

// ruleSets are the rules that programs make, as `ip rule` shows them, and what the guard
// makes of them: where the transports leave others' rules, and their own from entry on.
// Learned routes are in table main unless tunnels names other tables with ways into them.
var ruleSets = []struct {
	name    string
	rules   string
	tunnels []uint32
	jump    uint32
	want    string
}{
	{"a plain host, Docker's too (it makes routes, not rules)", `
		0:	from all lookup local
		32766:	from all lookup main
		32767:	from all lookup default`,
		nil, 32765, `
		lookup 827900254
		lookup 253
		unreachable`},
	{"Tailscale", `
		0:	from all lookup local
		5210:	from all fwmark 0x80000/0xff0000 lookup main
		5230:	from all fwmark 0x80000/0xff0000 lookup default
		5250:	from all fwmark 0x80000/0xff0000 unreachable
		5270:	from all lookup 52
		32766:	from all lookup main
		32767:	from all lookup default`,
		nil, 32765, `
		lookup 827900254
		lookup 253
		unreachable`},
	{"wg-quick, all traffic into the interface of another tunnel", `
		0:	from all lookup local
		32764:	from all lookup main suppress_prefixlength 0
		32765:	not from all fwmark 0xca6c lookup 51820
		32766:	from all lookup main
		32767:	from all lookup default`,
		nil, 32763, `
		lookup 827900254 suppress_prefixlength 0
		lookup 51820
		lookup 827900254
		lookup 253
		unreachable`},
	{"wg-quick, all traffic into the interface of a peer's tunnel", `
		0:	from all lookup local
		32764:	from all lookup main suppress_prefixlength 0
		32765:	not from all fwmark 0xca6c lookup 51820
		32766:	from all lookup main
		32767:	from all lookup default`,
		[]uint32{unix.RT_TABLE_MAIN, 51820}, 32763, `
		lookup 827900254 suppress_prefixlength 0
		lookup 827951820
		lookup 827900254
		lookup 253
		unreachable`},
	{"wg-quick with Warren's mark", `
		0:	from all lookup local
		32764:	from all lookup main suppress_prefixlength 0
		32765:	not from all fwmark 0x2057 lookup 8279
		32766:	from all lookup main
		32767:	from all lookup default`,
		[]uint32{unix.RT_TABLE_MAIN, 8279}, 32763, `
		lookup 827900254 suppress_prefixlength 0
		lookup 827900254
		lookup 253
		unreachable`},
	{"mwan3 with two lines", `
		0:	from all lookup local
		1001:	from all iif wan lookup 1
		1002:	from all iif wanb lookup 2
		2001:	from all fwmark 0x100/0x3f00 lookup 1
		2002:	from all fwmark 0x200/0x3f00 lookup 2
		2061:	from all fwmark 0x3d00/0x3f00 blackhole
		2062:	from all fwmark 0x3e00/0x3f00 unreachable
		3001:	from all fwmark 0x100/0x3f00 unreachable
		3002:	from all fwmark 0x200/0x3f00 unreachable
		32766:	from all lookup main
		32767:	from all lookup default`,
		nil, 32765, `
		lookup 827900254
		lookup 253
		unreachable`},
	{"systemd-networkd: two lines, a user, a VPN by mark", `
		0:	from all lookup local
		10:	not from all fwmark 0x8888 lookup 1000 proto static
		100:	from 192.0.2.0/24 lookup main suppress_prefixlength 0 proto static
		110:	from 192.0.2.2 lookup 200 proto static
		120:	from all uidrange 1000-1999 lookup 300 proto static
		130:	from all to 203.0.113.0/24 iif lan0 lookup main proto static
		32766:	from all lookup main proto kernel
		32767:	from all lookup default proto kernel`,
		nil, 99, `
		from 192.0.2.0/24 lookup 827900254 suppress_prefixlength 0
		from 192.0.2.2/32 lookup 200
		lookup 827900254
		lookup 253
		unreachable`},
	{"several lines by source, and a table with ways into tunnels", `
		0:	from all lookup local
		1000:	from 192.0.2.2 lookup 200
		1001:	from 198.51.100.2 lookup 201
		32766:	from all lookup main
		32767:	from all lookup default`,
		[]uint32{unix.RT_TABLE_MAIN, 201}, 1000, `
		from 192.0.2.2/32 lookup 200
		from 198.51.100.2/32 lookup 827900201
		lookup 827900254
		lookup 253
		unreachable`},
	{"to a network", `
		0:	from all lookup local
		1000:	from all to 10.0.0.0/8 lookup main
		1001:	from all lookup 200
		32766:	from all lookup main`,
		nil, 999, `
		to 10.0.0.0/8 lookup 827900254
		lookup 200
		lookup 827900254
		unreachable`},
	{"of others: interfaces, marks, users, protocols, tunnels", `
		0:	from all lookup local
		10:	from all iif lan0 lookup main
		20:	from all fwmark 0x4000/0x4000 lookup main
		30:	from all uidrange 1000-2000 lookup main
		40:	from all ipproto icmp lookup main
		50:	not from all iif lo lookup main
		32766:	from all lookup main`,
		nil, 32765, `
		lookup 827900254
		unreachable`},
	{"what only a socket knows", `
		0:	from all lookup local
		10:	from all oif wan1 lookup main
		20:	from all ipproto udp sport 51820 lookup main
		30:	from all iif lo dport 443 lookup main
		40:	from all tos 0x10 lookup main suppress_ifgroup 7
		50:	from all fwmark 0x57/0xff to 192.0.2.0/24 lookup main
		60:	not from all ipproto icmp lookup 9
		32766:	from all lookup main`,
		nil, 9, `
		oif wan1 lookup 827900254
		ipproto 17 sport 51820-51820 lookup 827900254
		dport 443-443 lookup 827900254
		tos 0x10 lookup 827900254 suppress_ifgroup 7
		to 192.0.2.0/24 lookup 827900254
		lookup 9
		lookup 827900254
		unreachable`},
	{"VRFs", `
		1000:	from all lookup [l3mdev-table]
		32765:	from all lookup local
		32766:	from all lookup main`,
		nil, 32765, `
		lookup 255
		lookup 827900254
		unreachable`},
	{"VRFs behind main's first rule", `
		0:	from all lookup local
		900:	from all to 10.0.0.0/8 lookup main
		1000:	from all lookup [l3mdev-table]
		32766:	from all lookup main`,
		nil, 899, `
		to 10.0.0.0/8 lookup 827900254
		l3mdev
		lookup 827900254
		unreachable`},
	{"not from a network", `
		0:	from all lookup local
		100:	not from 10.0.0.0/8 lookup main
		200:	from all prohibit
		32766:	from all lookup main`,
		nil, 99, `
		from 10.0.0.0/8 goto 2
		lookup 827900254
		prohibit
		lookup 827900254
		unreachable`},
	{"gotos", `
		0:	from all lookup local
		100:	from 192.0.2.0/24 goto 400
		200:	from all lookup main suppress_prefixlength 0
		300:	from all iif lan0 goto 500
		310:	from all goto 450
		400:	from all fwmark 0x1000/0x1000 blackhole
		401:	from all lookup 9
		410:	from all goto 401
		32766:	from all lookup main`,
		nil, 99, `
		from 192.0.2.0/24 goto 2
		lookup 827900254 suppress_prefixlength 0
		lookup 9
		lookup 827900254
		unreachable`},
	{"a goto past main", `
		0:	from all lookup local
		100:	from all goto 40000
		32766:	from all lookup main
		40000:	from all nop
		40001:	from all lookup main`,
		nil, 99, `
		goto 2
		lookup 827900254
		nop
		lookup 827900254
		unreachable`},
	{"learned routes in a table of their own", `
		0:	from all lookup local
		100:	from all lookup 77
		32766:	from all lookup main`,
		[]uint32{77}, 99, `
		lookup 827900077
		lookup 254
		unreachable`},
	{"IPv6", `
		0:	from all lookup local
		100:	from 2001:db8:1::/48 lookup main
		200:	from all to 2001:db8::/32 unreachable
		32766:	from all lookup main`,
		nil, 99, `
		from 2001:db8:1::/48 lookup 827900254
		to 2001:db8::/32 unreachable
		lookup 827900254
		unreachable`},
	{"main before all others", `
		0:	from all lookup local
		1:	from all lookup main`,
		nil, 0, `
		lookup 255
		lookup 827900254
		unreachable`},
}

func TestRuleSets(t *testing.T) {
	for _, tt := range ruleSets {
		t.Run(tt.name, func(t *testing.T) {
			if tt.tunnels == nil {
				tt.tunnels = []uint32{unix.RT_TABLE_MAIN}
			}
			p := newPlan(ipRules(t, tt.rules), 0, numberCopies(tt.tunnels))
			if p.jump != tt.jump {
				t.Errorf("the transports leave others' rules at %d, want %d", p.jump, tt.jump)
			}
			var got []string
			for i, r := range p.rules {
				number, rest, _ := strings.Cut(r.String(), ": ")
				if number != fmt.Sprint(i) {
					t.Errorf("rule %d has priority %s", i, number)
				}
				got = append(got, rest)
			}
			want := strings.Split(strings.TrimSpace(tt.want), "\n")
			for i := range want {
				want[i] = strings.TrimSpace(want[i])
			}
			if !slices.Equal(got, want) {
				t.Errorf("got:\n\t%s\nwant:\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
			}
		})
	}
}

func TestRulesOfOtherUsers(t *testing.T) {
	rules := ipRules(t, `
		100: from all uidrange 100-200 lookup main
		32766: from all lookup main`)
	for uid, jump := range map[uint32]uint32{0: 32765, 99: 32765, 100: 99, 150: 99, 200: 99, 201: 32765} {
		if p := newPlan(rules, uid, numberCopies([]uint32{unix.RT_TABLE_MAIN})); p.jump != jump {
			t.Errorf("user %d: jump at %d, want %d", uid, p.jump, jump)
		}
	}
}

func TestNumbersOfCopies(t *testing.T) {
	got := numberCopies([]uint32{100_254, 77, 200_077, 254, 4_294_967_295, 200_254})
	want := map[uint32]uint32{254: Table, 77: 827900077, 200_077: 827900078, 100_254: 827900255, 200_254: 827900256, 4_294_967_295: 827967295}
	for t0, n := range want {
		if got[t0] != n {
			t.Errorf("the copy of table %d is %d, want %d", t0, got[t0], n)
		}
	}
	if len(got) != len(want) {
		t.Errorf("got %v", got)
	}
}

func TestRuleMessages(t *testing.T) {
	for _, tt := range ruleSets {
		for _, r := range ipRules(t, tt.rules) {
			family := unix.AF_INET
			if r.from.IsValid() && r.from.Addr().Is6() || r.to.IsValid() && r.to.Addr().Is6() {
				family = unix.AF_INET6
			}
			r.other = string(rtnl.AppendAttr(nil, 99, []byte("abcd")))
			got, err := parseRule(r.message(family))
			if err != nil || got != r {
				t.Errorf("%v became %v, %v", r, got, err)
			}
		}
	}
	whole := ipRules(t, ruleSets[6].rules)[2].message(unix.AF_INET)
	for n := range whole {
		_, _ = parseRule(whole[:n]) // does not panic
	}
}

// A model of the kernel's lookup (net/core/fib_rules.c, fib_rules_lookup), to compare
// the way of a transport's packet with the one it would have without tunnels.

// packet is one that a transport sends.
type packet struct {
	from, to     netip.Addr
	oif          string
	tos, ipProto uint8
	sport, dport uint32
}

func (p packet) matches(r rule) bool {
	within := func(s span, n uint32) bool { return !s.set || s.first <= n && n <= s.last }
	all := (r.iif == "" || r.iif == "lo") && (r.oif == "" || r.oif == p.oif) &&
		(Mark^r.mark)&r.mask == 0 && r.tunnelID == 0 && within(r.uids, 0) &&
		(!r.from.IsValid() || r.from.Contains(p.from)) && (!r.to.IsValid() || r.to.Contains(p.to)) &&
		(r.tos == 0 || r.tos == p.tos) && (r.ipProto == 0 || r.ipProto == p.ipProto) &&
		within(r.sport, p.sport) && within(r.dport, p.dport)
	return all != r.invert
}

// tableModel is a table with two routes at most: a default route, and one more specific.
type tableModel struct{ defaultWay, specificWay string }

const tunnelWay = "the tunnel"

// clean is the table without ways into tunnels.
func (m tableModel) clean() tableModel {
	if m.defaultWay == tunnelWay {
		m.defaultWay = ""
	}
	if m.specificWay == tunnelWay {
		m.specificWay = ""
	}
	return m
}

func (m tableModel) dirty() bool { return m != m.clean() }

// lookup returns the way of a packet, and the length of the route's prefix.
func (m tableModel) lookup(p packet) (way string, length int32) {
	if m.specificWay != "" && p.to == netip.MustParseAddr("192.0.2.1") {
		return m.specificWay, 24
	}
	return m.defaultWay, 0
}

// lookup is the kernel's walk through rules, which are in order.
func lookup(rules []rule, tables map[uint32]tableModel, p packet) string {
	for i := 0; i < len(rules); i++ {
		r := rules[i]
		if !p.matches(r) {
			continue
		}
		switch r.action {
		case nl.FR_ACT_GOTO:
			if j, ok := targetOf(r, rules); ok {
				i = j - 1
			}
		case nl.FR_ACT_NOP:
		case nl.FR_ACT_TO_TBL:
			way, length := tables[r.table].lookup(p)
			if way == "" || length <= r.suppressPrefix {
				continue
			}
			return way
		case nl.FR_ACT_UNREACHABLE:
			return "unreachable"
		default:
			return fmt.Sprint("action ", r.action)
		}
	}
	return "unreachable"
}

func randomRule(r *rand.Rand, priority uint32) rule {
	one := func(n int) bool { return r.IntN(n) == 0 }
	n := newRule(priority, nl.FR_ACT_TO_TBL)
	n.invert = one(5)
	if one(3) {
		n.from = netip.MustParsePrefix([]string{"10.0.0.0/8", "10.1.0.0/16", "172.16.0.0/12"}[r.IntN(3)])
	}
	if one(4) {
		n.to = netip.MustParsePrefix([]string{"192.0.2.0/24", "0.0.0.0/1"}[r.IntN(2)])
	}
	if one(5) {
		n.iif = []string{"lo", "lan0"}[r.IntN(2)]
	}
	if one(6) {
		n.oif = "wan0"
	}
	if one(4) {
		n.mark, n.mask = []uint32{Mark, 0x80000, 0x57, 0xca6c}[r.IntN(4)], []uint32{^uint32(0), 0xff0000, 0xff}[r.IntN(3)]
	}
	if one(8) {
		n.uids = span{uint32(r.IntN(2)), 5, true}
	}
	if one(6) {
		n.ipProto = []uint8{6, 17, 1}[r.IntN(3)]
	}
	if one(8) {
		n.dport = span{443, 443, true}
	}
	switch {
	case one(5):
		n.action, n.target = nl.FR_ACT_GOTO, priority+uint32(r.IntN(5))*10
	case one(12):
		n.action = []uint8{nl.FR_ACT_NOP, nl.FR_ACT_BLACKHOLE, nl.FR_ACT_UNREACHABLE, nl.FR_ACT_PROHIBIT}[r.IntN(4)]
	default:
		n.table = []uint32{unix.RT_TABLE_MAIN, unix.RT_TABLE_MAIN, 200, 201, 52}[r.IntN(5)]
		if one(4) {
			n.suppressPrefix = 0
		}
	}
	return n
}

// Whatever the rules: a transport's packet goes where it would go if no table had ways
// into tunnels.
func TestPlanAgainstModel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	tunneled, reached := 0, 0
	for range 20_000 {
		var others []rule
		for i := range 1 + r.IntN(8) {
			others = append(others, randomRule(r, uint32(100+10*i)))
		}
		others = append(others, newRule(32766, nl.FR_ACT_TO_TBL))
		others[len(others)-1].table = unix.RT_TABLE_MAIN
		ways := []string{"", "", "wan0", "wan1", tunnelWay}
		tables, without := map[uint32]tableModel{}, map[uint32]tableModel{}
		copied := []uint32{unix.RT_TABLE_MAIN}
		for _, n := range []uint32{unix.RT_TABLE_MAIN, 200, 201, 52} {
			m := tableModel{ways[r.IntN(len(ways))], ways[r.IntN(len(ways))]}
			tables[n], without[n] = m, m.clean()
			if m.dirty() && n != unix.RT_TABLE_MAIN {
				copied = append(copied, n)
			}
		}
		copies := numberCopies(copied)
		p := newPlan(others, 0, copies)
		for original, number := range copies {
			tables[number] = tables[original].clean()
		}
		all := slices.Concat(others, p.jumps(returning{}), p.at(first), []rule{newRule(firstOwn, nl.FR_ACT_UNREACHABLE), newRule(entry, nl.FR_ACT_NOP)})
		slices.SortStableFunc(all, func(a, b rule) int { return int(a.priority) - int(b.priority) })
		for range 4 {
			pkt := packet{
				from: netip.MustParseAddr([]string{"0.0.0.0", "10.1.0.1", "10.2.0.1", "172.16.0.1"}[r.IntN(4)]),
				to:   netip.MustParseAddr([]string{"192.0.2.1", "203.0.113.1"}[r.IntN(2)]), oif: []string{"", "wan0"}[r.IntN(2)],
				ipProto: []uint8{6, 17}[r.IntN(2)], sport: 40000, dport: []uint32{443, 51820}[r.IntN(2)],
			}
			want := lookup(others, without, pkt)
			if got := lookup(all, tables, pkt); got != want {
				t.Fatalf("%+v goes to %s, want %s\nrules: %v\nplan: %v", pkt, got, want, others, p)
			}
			if lookup(others, tables, pkt) == tunnelWay {
				tunneled++
			}
			if want != "unreachable" {
				reached++
			}
		}
	}
	if tunneled < 1000 || reached < 10_000 {
		t.Errorf("of the packets, %d would go into the tunnel and %d get anywhere: this proves little", tunneled, reached)
	}
}
