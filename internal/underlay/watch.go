package underlay

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// watchBuffer is the receive buffer of the subscription, in bytes. A table of
// 100,000 routes that is replaced at once overruns it, which costs one more
// reconciliation, no more.
const watchBuffer = 8 << 20

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

// watcher reads the kernel's notifications.
type watcher struct {
	socket *nl.NetlinkSocket
	note   func(nlType uint16, port uint32, m []byte)
	lost   func() // notifications were lost
}

func openWatcher() (*nl.NetlinkSocket, error) {
	s, err := nl.Subscribe(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("underlay: subscribe: %w", err)
	}
	for _, group := range groups {
		if err := unix.SetsockoptInt(s.GetFd(), unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, group); err != nil {
			s.Close()
			return nil, fmt.Errorf("underlay: subscribe to group %d: %w", group, err)
		}
	}
	if err := s.SetReceiveBufferSize(watchBuffer, true); err != nil {
		// Not allowed: as much as net.core.rmem_max gives.
		_ = s.SetReceiveBufferSize(watchBuffer, false)
	}
	return s, nil
}

// run reads until ctx is done. Losing messages (ENOBUFS) does not end a netlink
// socket: the next ones still come.
func (w *watcher) run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, w.socket.Close)
	defer stop()
	for {
		msgs, _, err := w.socket.Receive()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.ENOBUFS):
			w.lost()
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN):
		case errors.Is(err, os.ErrClosed):
			return nil
		case err != nil:
			return fmt.Errorf("underlay: receive notifications: %w", err)
		}
		for i := range msgs {
			w.note(msgs[i].Header.Type, msgs[i].Header.Pid, msgs[i].Data)
		}
	}
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
	case unix.RTM_NEWLINK, unix.RTM_DELLINK, unix.RTM_NEWADDR, unix.RTM_DELADDR,
		unix.RTM_NEWNEXTHOP, unix.RTM_DELNEXTHOP:
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
