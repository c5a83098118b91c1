package rtnl

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// Match returns the route that the kernel takes for a packet of this machine; l.Routed does
// not count. An Answer with an Errno other than 0 says why there is none: a route that leads
// nowhere may be why, too (ENETUNREACH: there is no route, EHOSTUNREACH: it is unreachable,
// EINVAL: a blackhole, EACCES: prohibited; net/ipv4/fib_semantics.c, fib_props).
func (c *Conn) Match(l Lookup) (r Route, a Answer, err error) {
	l.Routed = true
	c.seq++
	req := appendHeader(make([]byte, 0, 128), unix.RTM_GETROUTE, 0, c.seq, 0)
	req = finish(l.append(req), 0)
	if err := unix.Sendto(c.fd, req, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return r, a, fmt.Errorf("send to the kernel: %w", err)
	}
	for {
		b, err := c.receive()
		if err != nil {
			return r, a, err
		}
		for h, payload := range Messages(b) {
			switch {
			case h.Seq != c.seq:
			case h.Type == unix.NLMSG_ERROR:
				return r, parseAnswer(h, payload), nil
			case h.Type == unix.RTM_NEWROUTE:
				r, ok := ParseRoute(payload)
				if !ok {
					return r, Answer{Errno: syscall.EHOSTUNREACH}, nil
				}
				return r, a, nil
			}
		}
	}
}
