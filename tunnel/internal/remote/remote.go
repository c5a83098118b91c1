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
	return addrs, nil
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
