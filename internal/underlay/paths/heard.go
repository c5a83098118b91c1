package paths

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"warren/internal/rtnl"
)

// Heard takes one of the kernel's notifications (unix.RTM_NEWROUTE, …), whose payload is the
// caller's again afterwards. Type 0 is that some were lost.
func (w *Watcher) Heard(typ uint16, payload []byte) {
	switch typ {
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		if w.concerns(payload) {
			w.see(dirtyWays)
		}
	case unix.RTM_NEWLINK, unix.RTM_DELLINK, unix.RTM_NEWADDR, unix.RTM_DELADDR, 0:
		// IPv4 says nothing of the routes that go with an interface or an address.
		w.see(dirtyWays | dirtySight)
	case unix.RTM_NEWRULE, unix.RTM_DELRULE, unix.RTM_NEWNEXTHOP, unix.RTM_DELNEXTHOP:
		w.see(dirtyWays)
	}
}

// concerns reports whether a route is one for the remote of a flow.
func (w *Watcher) concerns(m []byte) bool {
	remotes := *w.remotes.Load()
	if len(remotes) == 0 || len(m) < unix.SizeofRtMsg {
		return false
	}
	if m[1] == 0 {
		return true // a default route
	}
	prefix, ok := destination(m)
	if !ok {
		return false
	}
	if prefix.IsSingleIP() {
		return remotes[prefix.Addr()] > 0
	}
	for r := range remotes {
		if prefix.Contains(r) {
			return true
		}
	}
	return false
}

// destination reads that of a route message.
func destination(m []byte) (p netip.Prefix, ok bool) {
	for typ, v := range rtnl.Attributes(m[unix.SizeofRtMsg:]) {
		if typ == unix.RTA_DST {
			if a, valid := netip.AddrFromSlice(v); valid {
				p = netip.PrefixFrom(a, int(m[1]))
			}
		}
	}
	return p, p.IsValid()
}
