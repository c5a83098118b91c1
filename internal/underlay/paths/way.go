package paths

import (
	"fmt"
	"net/netip"
	"syscall"

	"warren/internal/rtnl"
)

// flow is what packets have that are followed.
type flow struct {
	ipProto       uint8
	device        string         // that the socket is bound to; "": none
	local, remote netip.AddrPort // an invalid local address: the kernel chooses
}

// way is how a flow's packets leave.
type way struct {
	known    bool          // there was a look
	errno    syscall.Errno // why there is no way; 0: there is one
	idle     string        // what the interface that it leaves by lacks; "": nothing
	index    uint32        // of that interface
	name     string
	gateway  netip.Addr
	source   netip.Addr // that the kernel chooses, if it does
	homed    bool       // an interface has the local address
	homeRuns bool       // and one that has it can receive
	mtu      int        // of the packets, in bytes; 0: not known
}

// sight is what interfaces and addresses there are.
type sight struct {
	interfaces map[uint32]iface
	homes      map[netip.Addr][]uint32 // interfaces by address, whose zone is not looked at
}

type iface struct {
	name string
	idle string // as of way

	mtu4, mtu6 int
}

// Words for what an interface lacks.
const (
	gone      = "is gone"
	down      = "is down"
	noCarrier = "has no carrier"
)

// knows reports whether a way leaves by an interface that there was.
func (s *sight) knows(w way) bool {
	_, ok := s.interfaces[w.index]
	return ok || w.errno != 0
}

func (s *sight) idle(index uint32) string {
	i, ok := s.interfaces[index]
	if !ok {
		return gone
	}
	return i.idle
}

// mtu is how large packets may be that leave by an interface and a route. What ICMP errors say of it is left out
// over IPv4, as the kernel does for the sockets of tunnels: routers fragment, and anybody can forge such errors.
func (s *sight) mtu(w rtnl.Way, v4 bool) int {
	i := s.interfaces[w.Index]
	mtu := i.mtu6
	if v4 {
		mtu = i.mtu4
	}
	if believed := !v4 || !w.Learned; believed && w.MTU > 0 {
		mtu = min(mtu, w.MTU)
	}
	return mtu
}

// home says whether an interface has an address, and whether one that has it runs.
func (s *sight) home(a netip.Addr) (homed, runs bool) {
	for _, index := range s.homes[a.WithZone("")] {
		homed = true
		runs = runs || s.idle(index) == ""
	}
	return homed, runs
}

// verdict is what a look says of a way.
type verdict int

const (
	same  verdict = iota
	moved         // it is another, or is there again
	lost          // packets can't go that way any more, or can't be answered
)

// judge compares a way with what it was, and says in words what has become of it. A way that was
// lost before is lost no more than once. The first look has nothing to compare with. A
// connection that was made a moment ago and has no way then may have lost it since, or leaves by
// another that is not seen here, as where a firewall changes its mark: that is to be found out.
func judge(f flow, before, now way, s *sight) (v verdict, why string) {
	v, why = f.compare(before, now, s)
	switch {
	case v != lost:
		return v, why
	case before.known && before.isLost(), !before.known && !f.local.Addr().IsValid():
		return same, ""
	case !before.known:
		return moved, why
	}
	return lost, why
}

// isLost reports whether a way is of no use, whatever was before.
func (w way) isLost() bool { return w.errno != 0 || w.idle != "" }

func (f flow) compare(before, now way, s *sight) (verdict, string) {
	remote := f.remote.Addr()
	unhomed := before.homed && !now.homed
	left := "" // what the interface that it left by lacks now
	if before.known && before.errno == 0 && before.idle == "" {
		left = s.idle(before.index)
	}
	switch {
	case left != "" && (now.isLost() || unhomed || before.homeRuns && !now.homeRuns):
		return lost, fmt.Sprintf("interface %s %s", before.name, left)
	case unhomed:
		return lost, fmt.Sprintf("the address %s is gone from this machine", f.local.Addr())
	case now.errno != 0:
		return lost, fmt.Sprintf("this machine has no route to %s: %v", remote, now.errno)
	case now.idle != "":
		return lost, fmt.Sprintf("interface %s, by which %s is reached, %s", now.name, remote, now.idle)
	case !before.known && now.homed && !now.homeRuns:
		return moved, fmt.Sprintf("the interface with the address %s receives nothing", f.local.Addr())
	case !before.known:
		return same, ""
	case before.isLost():
		return moved, fmt.Sprintf("%s can be reached again, by interface %s", remote, now.name)
	case before.index != now.index:
		return moved, fmt.Sprintf("%s is reached by interface %s now, instead of %s", remote, now.name, before.name)
	case before.gateway != now.gateway:
		return moved, fmt.Sprintf("%s is reached by another gateway now", remote)
	case before.source != now.source:
		return moved, fmt.Sprintf("%s is reached from another address of this machine now", remote)
	case before.homeRuns && !now.homeRuns:
		return moved, fmt.Sprintf("the interface with the address %s receives nothing any more", f.local.Addr())
	}
	return same, ""
}
