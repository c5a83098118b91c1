package underlay

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"warren/internal/rtnl"
)

// groups are what a copy can depend on. IPv4 tells nobody about the routes that
// go when an interface goes down or loses an address: hence those.
var groups = []int{
	unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE,
	unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE,
	unix.RTNLGRP_LINK, unix.RTNLGRP_NEXTHOP,
	unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
	unix.RTNLGRP_IPV4_NETCONF, // rp_filter
}

// dirty says what has to be looked at again.
type dirty uint8

const (
	dirty4 dirty = 1 << iota
	dirty6
	dirtyRules // rules, filters and interfaces
	dirtyAll   = dirty4 | dirty6 | dirtyRules
)

// watch subscribes to what a copy can depend on. Routes that Warren writes are not copied,
// and of a large table would keep the guard busy; the kernel leaves them out where it can be told.
func (g *Guard) watch() (*rtnl.Events, error) {
	var hidden rtnl.Hidden
	if g.fibTable < 256 {
		hidden = rtnl.Hidden{Protocols: []int{int(g.protocol)}, Table: uint8(g.fibTable)}
	}
	events, err := rtnl.Subscribe(hidden, groups...)
	if err != nil {
		return nil, fmt.Errorf("underlay: %w", err)
	}
	return events, nil
}

// note reads the kernel's notifications until ctx is done. ownPort is the netlink address of
// the socket that the guard writes by.
func (g *Guard) note(ctx context.Context, events *rtnl.Events, ownPort uint32) error {
	err := events.Follow(ctx, func() (int, error) {
		n, err := events.Drain(func(h rtnl.Header, m []byte) {
			g.heard(h.Type, m)
			what := g.affected(ownPort, h.Type, h.Port, m)
			if what == dirty4 || what == dirty6 {
				g.addHint(h.Type, m)
			}
			g.markDirty(what)
		})
		if errors.Is(err, rtnl.ErrLost) {
			g.markDirty(dirtyAll)
			g.heard(0, nil)
			err = nil
		}
		return n, err
	})
	if err != nil {
		return fmt.Errorf("underlay: receive notifications: %w", err)
	}
	return nil
}

// affected says what a notification makes dirty.
func (g *Guard) affected(ownPort uint32, nlType uint16, port uint32, m []byte) dirty {
	switch nlType {
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		if port == ownPort || len(m) < unix.SizeofRtMsg {
			return 0
		}
		if !g.concerned(nlType == unix.RTM_DELROUTE, m) {
			return 0
		}
		if m[rtFamily] == unix.AF_INET {
			return dirty4
		}
		return dirty6
	case unix.RTM_NEWRULE, unix.RTM_DELRULE, unix.RTM_NEWNETCONF, unix.RTM_DELNETCONF:
		return dirtyRules
	case unix.RTM_NEWNEXTHOP, unix.RTM_DELNEXTHOP:
		// Those of learned routes, which are not copied, come and go with tunnels.
		if n, ok := rtnl.ParseNextHop(m); ok && n.Protocol == g.protocol && isOwnTable(n.ID) {
			return 0
		}
		return dirtyAll
	case unix.RTM_NEWLINK, unix.RTM_DELLINK, unix.RTM_NEWADDR, unix.RTM_DELADDR:
		return dirtyAll
	}
	return 0
}

// concerned reports whether a change of a route has to be looked at: one in a table that
// is copied or is a copy, or one that leads through what is not known as the underlay.
func (g *Guard) concerned(deleted bool, m []byte) bool {
	table := routeTable(m)
	if isOwnTable(table) {
		return true
	}
	family, ok := g.watched[int(m[rtFamily])]
	if !ok || g.isOwned(table, m) {
		return false
	}
	w := family.Load()
	switch number, can := w.copies[table]; {
	case !can:
		return false
	case number != 0:
		return true
	}
	return !deleted && leadsThrough(m, func(ifindex uint32) bool { return !w.underlay[ifindex] })
}
