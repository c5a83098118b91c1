package link

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"warren/internal/rtnl"
)

// groups are what a snapshot depends on.
var groups = []int{
	unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
	unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_NEXTHOP,
}

// follow puts a value in dirty for each event, or for as many as there were
// since the last value was taken, until ctx is done. What the events say is not
// looked at, so that one that was lost is as good as one that came.
func follow(ctx context.Context, e *rtnl.Events, dirty chan<- struct{}) error {
	err := e.Follow(ctx, func() (int, error) {
		n, err := e.Drain(func(rtnl.Header, []byte) {})
		if errors.Is(err, rtnl.ErrLost) {
			err = nil
		}
		if n > 0 {
			select {
			case dirty <- struct{}{}:
			default:
			}
		}
		return n, err
	})
	if err != nil {
		return fmt.Errorf("link: follow the kernel's events: %w", err)
	}
	return nil
}
