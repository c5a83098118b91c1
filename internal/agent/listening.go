package agent

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"warren/tunnel/tlslink"
)

// listenErrors are why some addresses of tls.listen cannot be listened on, with what an operator can do.
type listenErrors []error

func (all listenErrors) Error() string {
	texts := make([]string, len(all))
	for i, err := range all {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

// Unwrap makes each a cause of its own.
func (all listenErrors) Unwrap() []error { return all }

// listenTLS has peers be listened for on exactly these addresses. That a kernel without IPv6 has no [::] is no error beside an IPv4
// address that it has: nobody could come there, and a hint says so.
func (l *loop) listenTLS(addrs []netip.AddrPort) error {
	err := l.listen.SetListen(addrs)
	failed := causesAt(err)
	if err != nil && len(failed) == 0 {
		return err
	}
	works := func(a netip.AddrPort) bool {
		return a.Addr().Unmap().Is4() && !slices.ContainsFunc(failed, func(e *tlslink.ListenError) bool { return e.Addr == a })
	}
	var all listenErrors
	l.unlistened = false
	for _, e := range failed {
		if isWildcard6(e.Addr) && errors.Is(e, tlslink.ErrNoIPv6) && slices.ContainsFunc(addrs, works) {
			l.unlistened = true
			continue
		}
		all = append(all, explainListen(e))
	}
	if len(all) == 0 {
		return nil
	}
	return all
}

// causesAt returns the addresses' errors that were joined into err.
func causesAt(err error) (failed []*tlslink.ListenError) {
	causes := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		causes = joined.Unwrap()
	}
	for _, cause := range causes {
		if e := (*tlslink.ListenError)(nil); errors.As(cause, &e) {
			failed = append(failed, e)
		}
	}
	return failed
}

func isWildcard6(a netip.AddrPort) bool { return a.Addr() == netip.IPv6Unspecified() }

// explainListen says what an operator can do.
func explainListen(e *tlslink.ListenError) error {
	var errno unix.Errno
	cause := e.Err
	if errors.As(e.Err, &errno) {
		cause = errno // the address is there already
	}
	todo := "; it is tried again"
	switch {
	case errors.Is(e, unix.EADDRINUSE):
		todo = "; another program has the port (`ss -ltnp` shows which): stop it, or take another port"
	case errors.Is(e, unix.EACCES):
		todo = "; ports below net.ipv4.ip_unprivileged_port_start (1024) take CAP_NET_BIND_SERVICE, which the unit of configs/warren.service gives: " +
			"give it, or take a higher port"
	case errors.Is(e, unix.EADDRNOTAVAIL):
		todo = "; no interface of this host has the address: it is tried again, or set one that is here"
	case errors.Is(e, tlslink.ErrNoIPv6):
		todo = fmt.Sprintf("; leave %v out, or turn IPv6 on (ipv6.disable on the kernel's command line)", e.Addr)
	}
	return fmt.Errorf("%v: %w%s", e.Addr, cause, todo)
}

// noIPv6ListenHint is about [::] in tls.listen where the kernel has no IPv6, which is no error.
func (l *loop) noIPv6ListenHint() string {
	i := slices.IndexFunc(l.cfg.TLS.Listen, isWildcard6)
	if i < 0 || !l.unlistened {
		return ""
	}
	return fmt.Sprintf("this kernel has no IPv6, so that no peer can connect to %v: leave it out of tls.listen, "+
		"or turn IPv6 on (ipv6.disable on the kernel's command line)", l.cfg.TLS.Listen[i])
}
