package wireguard

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

const (
	resolveTimeout = 3 * time.Second
	lookAgain      = 2 * time.Second // where no remote had an address
)

// resolved is the addresses of all remotes, in order, and why some have none.
type resolved struct {
	addrs []netip.AddrPort
	err   error
}

// resolve looks all remotes up.
func resolve(ctx context.Context, remotes []string) (r resolved) {
	var errs []error
	for _, remote := range remotes {
		addrs, err := resolveOne(ctx, remote)
		if err != nil {
			errs = append(errs, err)
		}
		r.addrs = append(r.addrs, addrs...)
	}
	r.err = errors.Join(errs...)
	return r
}

func resolveOne(ctx context.Context, remote string) ([]netip.AddrPort, error) {
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	host, service, err := net.SplitHostPort(remote)
	if err != nil {
		return nil, err
	}
	port, err := net.DefaultResolver.LookupPort(ctx, "udp", service)
	if err != nil {
		return nil, fmt.Errorf("resolve %s: %w", remote, err)
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("resolve %s: %w", remote, err)
	}
	addrs := make([]netip.AddrPort, 0, len(ips))
	for _, ip := range ips {
		addrs = append(addrs, netip.AddrPortFrom(ip.Unmap(), uint16(port)))
	}
	return addrs, nil
}
