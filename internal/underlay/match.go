package underlay

import (
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// verdict says whether a transport's packets match a rule.
type verdict uint8

const (
	never  verdict = iota
	maybe          // it depends on the packet
	always         // all of them do
)

// verdict says whether a transport's packets can match the rule. Known of them are
// the mark, that they are made by this machine (the kernel says "iif lo" for that,
// net/ipv4/route.c, ip_route_output_key_hash), by the user uid, and that they are
// of TCP or UDP. Only a socket knows its addresses, ports, TOS and bound interface.
func (r rule) verdict(uid uint32) verdict {
	v := r.selects(uid)
	if !r.invert {
		return v
	}
	switch v {
	case never:
		return always
	case always:
		return never
	}
	return maybe
}

// selects is verdict without regard to invert.
func (r rule) selects(uid uint32) verdict {
	switch {
	case r.iif != "" && r.iif != "lo",
		(r.mark^Mark)&r.mask != 0,
		r.uids.set && (uid < r.uids.first || uid > r.uids.last),
		r.ipProto != 0 && r.ipProto != unix.IPPROTO_TCP && r.ipProto != unix.IPPROTO_UDP,
		r.tunnelID != 0: // of a packet that came out of a collect_md tunnel
		return never
	}
	if r.unknown() != newRule(0, 0) {
		return maybe
	}
	return always
}

// unknown is the selectors whose outcome depends on the packet, and nothing else of
// the rule.
func (r rule) unknown() rule {
	u := newRule(0, 0)
	u.from, u.to, u.tos, u.oif = r.from, r.to, r.tos, r.oif
	u.ipProto, u.sport, u.dport, u.other = r.ipProto, r.sport, r.dport, r.other
	u.l3mdev, u.findSource = r.l3mdev, r.findSource
	return u
}

// looksUp returns the table that the rule looks up, if a transport's packet can get
// there and it may hold ways into tunnels: table local has none.
func (r rule) looksUp(uid uint32) (table uint32, ok bool) {
	if r.action != nl.FR_ACT_TO_TBL || r.l3mdev || r.table == unix.RT_TABLE_LOCAL || r.verdict(uid) == never {
		return 0, false
	}
	return r.table, true
}

// lookedUp returns the tables that transports' packets can get to, each once.
func lookedUp(rules []rule, uid uint32) []uint32 {
	var tables []uint32
	seen := make(map[uint32]bool)
	for _, r := range rules {
		if t, ok := r.looksUp(uid); ok && !seen[t] {
			seen[t] = true
			tables = append(tables, t)
		}
	}
	return tables
}
