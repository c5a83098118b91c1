package underlay

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// lastPriority is just before the kernel's own rule for table main (32766):
// whatever the operator's rules say comes first.
const lastPriority = 32765

// rule is one policy rule of the guard, comparable.
type rule struct {
	family    int
	priority  int
	mark      uint32
	mask      uint32
	iif       string
	from, to  netip.Prefix // IPv4
	ipProto   int
	localPort uint16
}

func (r rule) netlink(protocol uint8) *netlink.Rule {
	n := netlink.NewRule()
	n.Family, n.Priority, n.Table, n.Protocol = r.family, r.priority, Table, protocol
	if r.mask != 0 {
		n.Mark, n.Mask = r.mark, &r.mask
	}
	n.IifName, n.IPProto = r.iif, r.ipProto
	n.Src, n.Dst = ipNet(r.from), ipNet(r.to)
	if r.localPort != 0 {
		n.Sport = netlink.NewRulePortRange(r.localPort, r.localPort)
	}
	return n
}

func ruleOf(n netlink.Rule) rule {
	r := rule{family: n.Family, priority: n.Priority, mark: n.Mark, iif: n.IifName, ipProto: n.IPProto,
		from: prefixFrom(n.Src), to: prefixFrom(n.Dst)}
	if n.Mask != nil {
		r.mask = *n.Mask
	}
	if n.Sport != nil {
		r.localPort = n.Sport.Start
	}
	return r
}

func ipNet(p netip.Prefix) *net.IPNet {
	if !p.IsValid() {
		return nil
	}
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func prefixFrom(n *net.IPNet) netip.Prefix {
	if n == nil {
		return netip.Prefix{}
	}
	addr, _ := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(addr, bits)
}

// listRules splits the rules of a family into the guard's and the others'.
func (k *kernel) listRules(family int) (own map[rule]netlink.Rule, others []netlink.Rule, err error) {
	rules, err := retryDump(func() ([]netlink.Rule, error) { return k.handle.RuleList(family) })
	if err != nil {
		return nil, nil, fmt.Errorf("underlay: list %s rules: %w", familyName(family), err)
	}
	own = make(map[rule]netlink.Rule)
	for _, n := range rules {
		n.Family = family
		if n.Table == Table {
			own[ruleOf(n)] = n
		} else {
			others = append(others, n)
		}
	}
	return own, others, nil
}

// guardPriority is the place of the guard's rule: before the first rule that
// leads to a table with routes into tunnels, as late as that allows.
func (g *Guard) guardPriority(others []netlink.Rule) int {
	priority := lastPriority
	for _, n := range others {
		if n.Table != unix.RT_TABLE_MAIN && n.Table != g.fibTable {
			continue
		}
		priority = min(priority, max(n.Priority-1, 0))
	}
	return priority
}

// syncRules makes the guard's rules of a family equal to what is wanted: adds
// first, then deletes, so that there is always one.
func (g *Guard) syncRules(k *kernel, family int, returns []rule) error {
	own, others, err := k.listRules(family)
	if err != nil {
		return err
	}
	priority := g.guardPriority(others)
	g.reportPriority(family, priority)
	want := map[rule]bool{{family: family, priority: priority, mark: Mark, mask: MarkMask}: true}
	for _, r := range returns {
		r.family, r.priority = family, priority
		want[r] = true
	}
	for r := range want {
		if _, ok := own[r]; ok {
			continue
		}
		if err := k.handle.RuleAdd(r.netlink(g.protocol)); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("underlay: add %s rule of priority %d: %w", familyName(family), r.priority, err)
		}
	}
	for r, n := range own {
		if want[r] {
			continue
		}
		if err := k.deleteRule(n); err != nil {
			return err
		}
	}
	return nil
}

func (k *kernel) deleteRule(n netlink.Rule) error {
	if err := k.handle.RuleDel(&n); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("underlay: delete %s rule of priority %d: %w", familyName(n.Family), n.Priority, err)
	}
	return nil
}

// clearRules removes all rules of the guard.
func (g *Guard) clearRules(k *kernel) error {
	for _, family := range families {
		own, _, err := k.listRules(family)
		if err != nil {
			return err
		}
		for _, n := range own {
			if err := k.deleteRule(n); err != nil {
				return err
			}
		}
	}
	return nil
}

func (g *Guard) reportPriority(family, priority int) {
	before := g.priority[family]
	g.priority[family] = priority
	if before == priority || before == 0 && priority == lastPriority {
		return
	}
	if priority == 0 {
		g.log.Error("a policy rule of priority 0 or 1 leads to the table of learned routes: nothing can come before it, "+
			"so a learned route may swallow a tunnel; give that rule a higher number",
			"family", familyName(family))
		return
	}
	g.log.Info("transports' packets leave the policy rules early, before the first rule that leads to learned routes",
		"family", familyName(family), "priority", priority)
}

// retryDump repeats a listing that the kernel says was interrupted by a change.
func retryDump[T any](list func() (T, error)) (T, error) {
	for range 9 {
		if v, err := list(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			return v, err
		}
	}
	return list()
}
