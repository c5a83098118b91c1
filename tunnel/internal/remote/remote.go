// Package remote is where a tunnel's peer may be found: the remotes of a config, each a
// host:port, what is wrong with them, and which addresses they have at the moment.
package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// timeout is how long the DNS may take to answer for one remote.
const timeout = 3 * time.Second

// Check returns what is wrong with the form of the first remote that is wrong.
func Check(remotes []string) error {
	for _, r := range remotes {
		host, port, err := net.SplitHostPort(r)
		if err != nil || host == "" || port == "" {
			return fmt.Errorf("remote %q: want host:port, with brackets around an IPv6 address", r)
		}
	}
	return nil
}

// Lookup returns the addresses of a remote, in the order the resolver gives. Network is
// "tcp" or "udp", as the name of the port may depend on it. The error is for operators.
func Lookup(ctx context.Context, network, remote string) ([]netip.AddrPort, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	host, service, err := net.SplitHostPort(remote)
	if err != nil {
		return nil, err
	}
	port, err := net.DefaultResolver.LookupPort(ctx, network, service)
	if err != nil {
		return nil, explain(remote, err)
	}
	if ip, err := netip.ParseAddr(host); err == nil { // the resolver would lose its zone
		return []netip.AddrPort{netip.AddrPortFrom(ip.Unmap(), uint16(port))}, nil
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, explain(remote, err)
	}
	addrs := make([]netip.AddrPort, 0, len(ips))
	for _, ip := range ips {
		addrs = append(addrs, netip.AddrPortFrom(ip.Unmap(), uint16(port)))
	}
	return Reachable(addrs), nil
}

// Reachable leaves IPv6 addresses out where the kernel has no IPv6, as long as there are
// others: each would be tried in vain.
func Reachable(addrs []netip.AddrPort) []netip.AddrPort {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		unix.Close(fd)
	}
	if !errors.Is(err, unix.EAFNOSUPPORT) {
		return addrs
	}
	return preferIPv4(addrs)
}

func preferIPv4(addrs []netip.AddrPort) []netip.AddrPort {
	v4 := slices.DeleteFunc(slices.Clone(addrs), func(a netip.AddrPort) bool { return !a.Addr().Is4() })
	if len(v4) == 0 {
		return addrs // one of them says why
	}
	return v4
}

func explain(remote string, err error) error {
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return fmt.Errorf("%s: no such name in the DNS", remote)
	case errors.As(err, &dns) && dns.IsTimeout, errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: the DNS does not answer", remote)
	}
	return fmt.Errorf("%s: %w", remote, err)
}

// OneLine joins what went wrong with the remotes for a log line; the first few say
// enough. They are sorted, each once: a name server gives the addresses in another order
// each time. Without any error the remotes had no address.
func OneLine(errs []error) error {
	if len(errs) == 0 {
		return errors.New("the names of the remotes have no address")
	}
	texts := make([]string, len(errs))
	for i, err := range errs {
		texts[i] = err.Error()
	}
	slices.Sort(texts)
	texts = slices.Compact(texts)
	return errors.New(strings.Join(texts[:min(len(texts), 4)], "; "))
}
