package underlay

import "github.com/vishvananda/netlink/nl"

// Priorities of the guard's rules.
const (
	// lastPriority is just before the kernel's own rule for table main (32766):
	// whatever the operator's rules say comes first.
	lastPriority = 32765

	// The others are behind all rules that anybody else makes.
	firstOwn  = 8279000      // unreachable: here other packets end that no rule had a route for
	entry     = firstOwn + 1 // nop: here the transports' packets come
	toSecond  = firstOwn + 2 // goto second: is there while the transports' rules are
	first     = firstOwn + 3 // either from here on
	second    = 8289000      // or from here on
	lastOwn   = 8298999
	mostRules = second - first // of the transports
)

// plan is what the guard's rules of one family should be: one of priority jump that
// sends the transports' packets to entry, and the transports' rules. Their priorities,
// and their targets, count from 0.
type plan struct {
	jump   uint32
	before uint32 // the last priority up to jump that a rule of others has
	rules  []rule
}

// newPlan makes a plan from the rules of others, in the kernel's order. copies has,
// for each table that holds ways into tunnels, the table that holds its copy without
// them. uid is the user that the transports' sockets belong to.
//
// Up to the jump, others' rules do what they do. From there on the transports' rules
// say the same as they, as far as they concern a transport's packet, but for the tables.
// So such a packet finds the way that it would find if there were no tunnels, whatever
// the order and the selectors: what another program restricts to a source, a destination
// or an interface stays restricted to it.
func newPlan(others []rule, uid uint32, copies map[uint32]uint32) plan {
	p := plan{jump: lastPriority}
	if priority, ok := firstIntoTunnel(others, uid, copies); ok {
		p.jump = max(priority, 1) - 1
	}
	t := translation{others: others, uid: uid, copies: copies, labels: make([]uint32, len(others)+1)}
	for i, r := range others {
		t.labels[i] = t.next()
		if r.priority <= p.jump {
			p.before = max(p.before, r.priority)
		}
		if r.priority >= p.jump { // what comes before is looked up before
			t.add(i)
		}
	}
	t.labels[len(others)] = t.next()
	t.put(newRule(0, nl.FR_ACT_UNREACHABLE), noTarget)
	p.rules = t.finish()
	return p
}

// firstIntoTunnel is the priority of the first rule that leads a transport's packet to a
// table with ways into tunnels, or past all rules up to such a rule.
func firstIntoTunnel(others []rule, uid uint32, copies map[uint32]uint32) (priority uint32, ok bool) {
	for _, r := range others {
		if t, looks := r.looksUp(uid); looks && copies[t] != 0 {
			priority, ok = r.priority, true
			break
		}
	}
	for i := len(others) - 1; ok && i >= 0; i-- {
		r := others[i]
		if r.action == nl.FR_ACT_GOTO && r.priority < priority && r.target >= priority && r.verdict(uid) != never {
			if _, resolved := targetOf(r, others); resolved {
				priority = r.priority
			}
		}
	}
	return priority, ok
}

// targetOf finds the rule that a goto leads to: the first of exactly that priority.
// Without one the kernel goes on behind the goto.
func targetOf(r rule, others []rule) (index int, ok bool) {
	for i, o := range others {
		if o.priority == r.target && r.target > r.priority {
			return i, true
		}
	}
	return 0, false
}

// translation is a plan's rules in the making.
type translation struct {
	others []rule
	uid    uint32
	copies map[uint32]uint32

	rules   []rule
	targets []int    // of each rule: index into labels of where a goto leads, or noTarget
	labels  []uint32 // for each of others, the priority at which its translation begins
}

const noTarget = -1

func (t *translation) next() uint32 { return uint32(len(t.rules)) }

func (t *translation) put(r rule, target int) {
	r.priority = t.next()
	t.rules, t.targets = append(t.rules, r), append(t.targets, target)
}

// add adds what the rule others[i] means to a transport's packet.
func (t *translation) add(i int) {
	r := t.others[i]
	v := r.verdict(t.uid)
	if v == never {
		return
	}
	target := noTarget
	if r.action == nl.FR_ACT_GOTO {
		var ok bool
		if target, ok = targetOf(r, t.others); !ok {
			return
		}
	}
	does := r.withoutSelectors()
	if c := t.copies[r.table]; c != 0 && r.action == nl.FR_ACT_TO_TBL {
		does.table = c
	}
	switch {
	case v == always:
		t.put(does, target)
	case !r.invert:
		t.put(does.selecting(r.unknown()), target)
	default: // "not": what matches passes by, all else does not
		t.put(newRule(0, nl.FR_ACT_GOTO).selecting(r.unknown()), i+1)
		t.put(does, target)
	}
}

// finish sets the targets.
func (t *translation) finish() []rule {
	for i, target := range t.targets {
		if target != noTarget {
			t.rules[i].target = t.labels[target]
		}
	}
	return t.rules
}
