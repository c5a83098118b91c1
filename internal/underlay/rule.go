package underlay

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// rule is one policy rule of one family, decoded from its netlink message
// (linux/fib_rules.h). It is comparable. A zero selector matches every packet; a
// packet must match all selectors, or, if invert is set, must not match all.
type rule struct {
	priority uint32
	invert   bool

	// Selectors.
	from, to     netip.Prefix
	tos          uint8
	iif, oif     string
	mark, mask   uint32
	tunnelID     uint64
	l3mdev       bool // the packet is of a VRF; its table is looked up
	uids         span // of 32 bits
	ipProto      uint8
	sport, dport span   // of 16 bits
	other        string // attributes that this package has no name for, as in the message
	findSource   bool   // FIB_RULE_FIND_SADDR

	// What happens to a packet that matches.
	action          uint8 // FR_ACT_*
	table           uint32
	target          uint32 // priority of the rule to go on with
	suppressPrefix  int32  // results of at most this prefix length do not count; -1: all count
	suppressIfgroup int32  // nor do those through this group of interfaces; -1: all count
	realms          uint32

	protocol uint8 // of the program that made it; 0 is unknown
}

// span is a range of numbers, both ends included.
type span struct {
	first, last uint32
	set         bool
}

// newRule returns a rule that matches every packet.
func newRule(priority uint32, action uint8) rule {
	return rule{priority: priority, action: action, suppressPrefix: -1, suppressIfgroup: -1}
}

// jump returns a rule that has every packet go on with those of another priority.
func jump(priority, to uint32) rule {
	r := newRule(priority, nl.FR_ACT_GOTO)
	r.target = to
	return r
}

// inChain reports whether a rule is one of a chain's.
func (r rule) inChain() bool { return r.action == nl.FR_ACT_GOTO && r.table == chainTable }

// withoutSelectors is what the rule does, for every packet and in nobody's name. Being
// for VRFs is both a selector and what a rule does, and stays.
func (r rule) withoutSelectors() rule {
	n := newRule(r.priority, r.action)
	n.table, n.target, n.l3mdev, n.realms = r.table, r.target, r.l3mdev, r.realms
	n.suppressPrefix, n.suppressIfgroup = r.suppressPrefix, r.suppressIfgroup
	return n
}

// selecting is what the rule does for the packets that the selectors of s select.
func (r rule) selecting(s rule) rule {
	s.priority, s.action, s.table, s.target, s.realms = r.priority, r.action, r.table, r.target, r.realms
	s.suppressPrefix, s.suppressIfgroup = r.suppressPrefix, r.suppressIfgroup
	return s
}

// String writes the rule as `ip rule` does.
func (r rule) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d:", r.priority)
	word := func(set bool, format string, args ...any) {
		if set {
			fmt.Fprintf(&b, " "+format, args...)
		}
	}
	word(r.invert, "not")
	word(r.from.IsValid(), "from %v", r.from)
	word(r.to.IsValid(), "to %v", r.to)
	word(r.tos != 0, "tos %#x", r.tos)
	word(r.mask == ^uint32(0), "fwmark %#x", r.mark)
	word(r.mask != 0 && r.mask != ^uint32(0), "fwmark %#x/%#x", r.mark, r.mask)
	word(r.iif != "", "iif %s", r.iif)
	word(r.oif != "", "oif %s", r.oif)
	word(r.l3mdev, "l3mdev")
	word(r.tunnelID != 0, "tun_id %d", r.tunnelID)
	word(r.uids.set, "uidrange %d-%d", r.uids.first, r.uids.last)
	word(r.ipProto != 0, "ipproto %d", r.ipProto)
	word(r.sport.set, "sport %d-%d", r.sport.first, r.sport.last)
	word(r.dport.set, "dport %d-%d", r.dport.first, r.dport.last)
	word(r.other != "", "other %x", r.other)
	switch r.action {
	case nl.FR_ACT_TO_TBL:
		word(!r.l3mdev, "lookup %d", r.table)
	case nl.FR_ACT_GOTO:
		word(true, "goto %d", r.target)
	case nl.FR_ACT_NOP:
		word(true, "nop")
	case nl.FR_ACT_BLACKHOLE:
		word(true, "blackhole")
	case nl.FR_ACT_UNREACHABLE:
		word(true, "unreachable")
	case nl.FR_ACT_PROHIBIT:
		word(true, "prohibit")
	default:
		word(true, "action %d", r.action)
	}
	word(r.suppressPrefix >= 0, "suppress_prefixlength %d", r.suppressPrefix)
	word(r.suppressIfgroup >= 0, "suppress_ifgroup %d", r.suppressIfgroup)
	word(r.realms != 0, "realms %#x", r.realms)
	return b.String()
}

func familyName(family int) string {
	if family == unix.AF_INET {
		return "ipv4"
	}
	return "ipv6"
}
