package underlay

import (
	"cmp"
	"slices"
)

// jumps are the rules that send packets to the transports' rules: one for the mark, and those
// for what comes back.
func (p plan) jumps(back returning) []rule {
	mark := jump(p.jump, entry)
	mark.mark, mark.mask = Mark, MarkMask
	jumps := []rule{mark}
	for _, r := range back.each {
		jumps = append(jumps, jump(p.jump, entry).selecting(r))
	}
	if p.chains(back) {
		return append(jumps, p.chain(back)...)
	}
	for _, address := range back.addresses {
		for _, r := range back.ports {
			r.from = address.from
			jumps = append(jumps, jump(p.jump, entry).selecting(r))
		}
	}
	return jumps
}

// chainLen is how many priorities a chain has.
const chainLen = 3

// chains reports whether a chain makes fewer rules than one for each port at each address, and has room.
func (p plan) chains(back returning) bool {
	addresses, ports := len(back.addresses), len(back.ports)
	return addresses+ports+1 < addresses*ports && p.jump > p.before+chainLen
}

// chain lets in what comes to ports, at any of some addresses. The kernel's WireGuard has a port for each tunnel, and the kernel goes
// through all rules before the one that it needs for each packet that it looks up a way for. So there is one for each address
// and one for each port, and no one for each pair: with 5 addresses and 200 ports a lookup took 14 µs instead of 4. They stand just before the jump, where nobody else has a rule:
//
//	32762: from ADDRESS goto 32764                     for each address
//	32763: from all goto 32765                         what is from none of these does not see the ports
//	32764: from all ipproto udp sport PORT goto 8279001   for each port
//	32765: from all fwmark 0x2057/0x30ff goto 8279001
//
// They are in the order in which they can be added, so that at no moment a port is let in by itself.
func (p plan) chain(back returning) []rule {
	addresses, passBy, ports := p.jump-3, p.jump-2, p.jump-1
	chain := []rule{jump(passBy, p.jump)}
	for _, r := range back.ports {
		chain = append(chain, jump(ports, entry).selecting(r))
	}
	for _, r := range back.addresses {
		chain = append(chain, jump(addresses, ports).selecting(r))
	}
	for i := range chain {
		chain[i].table = chainTable
	}
	return chain
}

// step is which of a chain's rules one is: all of a step have the same target.
type step struct {
	priority      uint32
	address, port bool
}

func stepOf(r rule) step { return step{r.priority, r.from.IsValid(), r.sport.set} }

// clearChain deletes the chain that there is, or what is left of one, if another one is wanted elsewhere: one that begins between the
// rules of the other would let a port in by itself, and the kernel takes no rule for all packets beside one for an address.
func (s *ruleSync) clearChain(jumps []rule) {
	steps := make(map[step]bool, chainLen)
	for _, r := range jumps {
		if r.inChain() {
			steps[stepOf(r)] = true
		}
	}
	elsewhere := func(o rule) bool { return o.inChain() && !steps[stepOf(o)] }
	if all := s.all(); len(steps) > 0 && slices.ContainsFunc(all, elsewhere) {
		s.deleteChain(all)
	}
}

// deleteChain deletes those of some rules that are a chain's, the ports first: nothing may let these in by themselves.
func (s *ruleSync) deleteChain(rules []rule) {
	chain := slices.DeleteFunc(slices.Clone(rules), func(o rule) bool { return !o.inChain() })
	slices.SortStableFunc(chain, lastFirst)
	for _, o := range chain {
		s.delete(o)
	}
}

func lastFirst(a, b rule) int { return cmp.Compare(b.priority, a.priority) }
