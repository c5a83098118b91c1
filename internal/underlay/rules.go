package underlay

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// isOwnRule recognises the guard's rules: by their priority, or as jumps there.
// Versions before rules were translated looked up table 8279 instead.
func (g *Guard) isOwnRule(r rule) bool {
	switch {
	case r.priority >= firstOwn && r.priority <= lastOwn:
		return true
	case r.action == nl.FR_ACT_GOTO:
		return r.target >= firstOwn && r.target <= lastOwn || r.inChain()
	case r.action == nl.FR_ACT_TO_TBL && !r.invert:
		return r.table == formerTable && (r.protocol == g.protocol || r.mark == Mark && r.mask == MarkMask)
	}
	return false
}

// listRules splits the rules of a family, in the kernel's order, into the guard's and
// the others'.
func (g *Guard) listRules(k *kernel, family int) (own, others []rule, err error) {
	rules, err := retryDump(func() ([]rule, error) { return k.rules(family) })
	if err != nil {
		return nil, nil, fmt.Errorf("underlay: list %s rules: %w", familyName(family), err)
	}
	for _, r := range rules {
		if g.isOwnRule(r) {
			own = append(own, r)
		} else {
			others = append(others, r)
		}
	}
	return own, others, nil
}

// at returns the transports' rules as they are from priority base on.
func (p plan) at(base uint32) []rule {
	rules := slices.Clone(p.rules)
	for i := range rules {
		rules[i].priority += base
		if rules[i].action == nl.FR_ACT_GOTO {
			rules[i].target += base
		}
	}
	return rules
}

// syncRules makes the guard's rules of a family equal to what is wanted. The transports'
// rules are never changed while they are in use: other ones are made beside them, in the
// other half of the priorities, and one rule is added or deleted that leads there. The
// kernel could not do it in place: it takes a rule for one that it has if that one has
// more selectors (net/core/fib_rules.c, rule_exists).
func (g *Guard) syncRules(k *kernel, family int, own []rule, p plan, back returning) error {
	if len(p.rules) > mostRules {
		return fmt.Errorf("underlay: %d %s rules: the guard can follow %d", len(p.rules), familyName(family), mostRules)
	}
	g.reportPriority(family, p.jump)
	s := newRuleSync(k, family, g.protocol, own)
	s.add(newRule(firstOwn, nl.FR_ACT_UNREACHABLE), newRule(entry, nl.FR_ACT_NOP))
	lead := newRule(toSecond, nl.FR_ACT_GOTO)
	lead.target = second
	inSecond := s.has(lead)
	here, other := p.at(first), p.at(second)
	if inSecond {
		here, other = other, here
	}
	if !s.only(here) {
		s.clearHalf(other[0].priority)
		s.add(other...)
		if here = other; inSecond {
			s.delete(lead)
		} else {
			s.add(lead)
		}
		inSecond = !inSecond
	}
	jumps := p.jumps(back)
	s.clearChain(jumps)
	s.add(jumps...)
	keep := slices.Concat(here, jumps, []rule{newRule(firstOwn, nl.FR_ACT_UNREACHABLE), newRule(entry, nl.FR_ACT_NOP)})
	if inSecond {
		keep = append(keep, lead)
	}
	s.deleteBut(keep)
	return s.err
}

// ruleSync makes changes to the guard's rules of one family until one fails. The rules
// that it is given get the guard's protocol.
type ruleSync struct {
	k        *kernel
	family   int
	protocol uint8
	own      map[rule]map[rule]bool // as they are, by what the kernel tells rules apart by
	err      error
}

func newRuleSync(k *kernel, family int, protocol uint8, own []rule) *ruleSync {
	s := &ruleSync{k: k, family: family, protocol: protocol, own: make(map[rule]map[rule]bool, len(own))}
	for _, r := range own {
		s.note(r)
	}
	return s
}

// identity is what the kernel tells two rules apart by: it takes no second one that differs in the rest alone.
func (r rule) identity() rule {
	r.target, r.protocol = 0, 0
	return r
}

func (s *ruleSync) note(r rule) {
	at := r.identity()
	if s.own[at] == nil {
		s.own[at] = make(map[rule]bool, 1)
	}
	s.own[at][r] = true
}

// all returns the rules as they are, by priority.
func (s *ruleSync) all() (all []rule) {
	for _, alike := range s.own {
		all = slices.AppendSeq(all, maps.Keys(alike))
	}
	slices.SortFunc(all, func(a, b rule) int { return cmp.Compare(a.priority, b.priority) })
	return all
}

func (s *ruleSync) has(r rule) bool {
	r.protocol = s.protocol
	return s.own[r.identity()][r]
}

// halfOf returns the base of the half that a priority of the transports' rules is in.
func halfOf(priority uint32) uint32 {
	if priority >= second {
		return second
	}
	return first
}

// only reports whether the half that rules belong in has them and no other.
func (s *ruleSync) only(rules []rule) bool {
	n := 0
	for at, alike := range s.own {
		if at.priority >= first && halfOf(at.priority) == rules[0].priority {
			n += len(alike)
		}
	}
	return n == len(rules) && !slices.ContainsFunc(rules, func(r rule) bool { return !s.has(r) })
}

func (s *ruleSync) add(rules ...rule) {
	for _, r := range rules {
		if r.protocol = s.protocol; s.err != nil || s.has(r) {
			continue
		}
		for o := range maps.Clone(s.own[r.identity()]) {
			s.delete(o)
		}
		err := s.k.request(unix.RTM_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_EXCL, r.message(s.family))
		if err != nil {
			s.err = cmp.Or(s.err, fmt.Errorf("underlay: add %s rule %q: %w", familyName(s.family), r, err))
			return
		}
		s.note(r)
	}
}

// delete deletes a rule; one without a protocol is the guard's.
func (s *ruleSync) delete(r rule) {
	if s.err != nil {
		return
	}
	r.protocol = cmp.Or(r.protocol, s.protocol)
	if err := s.k.request(unix.RTM_DELRULE, 0, r.message(s.family)); err != nil && !errors.Is(err, unix.ENOENT) {
		s.err = fmt.Errorf("underlay: delete %s rule %q: %w", familyName(s.family), r, err)
		return
	}
	delete(s.own[r.identity()], r)
}

// clearHalf deletes the rules of the half that begins at base.
func (s *ruleSync) clearHalf(base uint32) {
	for _, o := range s.all() {
		if o.priority >= first && halfOf(o.priority) == base {
			s.delete(o)
		}
	}
}

// deleteBut deletes all rules of the guard but those to keep: a chain, then jumps before what they lead
// to, and last what keeps other packets from getting there.
func (s *ruleSync) deleteBut(keep []rule) {
	kept := make(map[rule]bool, len(keep))
	for _, r := range keep {
		r.protocol = s.protocol
		kept[r] = true
	}
	rest := slices.DeleteFunc(s.all(), func(o rule) bool { return kept[o] })
	s.deleteChain(rest)
	rest = slices.DeleteFunc(rest, rule.inChain)
	rank := func(r rule) int {
		switch {
		case r.priority < firstOwn:
			return 0
		case r.priority > firstOwn:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(rest, func(a, b rule) int { return cmp.Compare(rank(a), rank(b)) })
	for _, o := range rest {
		s.delete(o)
	}
}

// clearRules removes all rules of the guard.
func (g *Guard) clearRules(k *kernel) error {
	for _, family := range families {
		own, _, err := g.listRules(k, family)
		if errors.Is(err, unix.EAFNOSUPPORT) {
			continue
		}
		if err != nil {
			return err
		}
		s := newRuleSync(k, family, g.protocol, own)
		if s.deleteBut(nil); s.err != nil {
			return s.err
		}
	}
	return nil
}

func (g *Guard) reportPriority(family int, priority uint32) {
	before, known := g.priority[family]
	g.priority[family] = priority
	if known && before == priority || !known && priority == lastPriority {
		return
	}
	if priority == 0 {
		g.log.Error("a policy rule of priority 0 or 1 leads to the table of learned routes: nothing can come before it, "+
			"so a learned route may swallow a tunnel; give that rule a higher number",
			"family", familyName(family))
		return
	}
	g.log.Info("transports' packets leave the policy rules before the first rule that leads them to learned routes",
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
