package main

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"warren/lab/topo"
)

// kernelRoutes looks at the IPv4 routes of a host's kernel. It is used by one goroutine at a time.
type kernelRoutes struct {
	socket int // UDP
}

func newKernelRoutes(h *topo.Host) (*kernelRoutes, error) {
	k := &kernelRoutes{}
	err := inside(h, func() (err error) {
		k.socket, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("kernel routes: socket: %w", err)
	}
	return k, nil
}

func (k *kernelRoutes) close() error { return unix.Close(k.socket) }

// has reports whether the kernel has a route for the first address behind that of p. To connect a
// UDP socket sends nothing; it looks for a route, within a microsecond or two. The host has no
// default route.
func (k *kernelRoutes) has(p netip.Prefix) bool {
	return unix.Connect(k.socket, &unix.SockaddrInet4{Port: 9, Addr: p.Addr().Next().As4()}) == nil
}

// count returns how many of the first n prefixes have a route.
func (k *kernelRoutes) count(n int) int {
	sum := 0
	for i := range n {
		if k.has(fullPrefix(i)) {
			sum++
		}
	}
	return sum
}
