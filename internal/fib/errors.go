package fib

import (
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"
)

// maxNamed is how many failures an Error names; it counts the others.
const maxNamed = 10

// RouteError is one route that the kernel did not take or did not let go.
type RouteError struct {
	Op        string // "add" or "remove"
	Prefix    netip.Prefix
	Interface string
	Err       error // wraps the kernel's error number
}

func (e *RouteError) Error() string {
	return fmt.Sprintf("%s %s dev %s: %v", e.Op, e.Prefix, e.Interface, e.Err)
}

// Unwrap returns the kernel's error.
func (e *RouteError) Unwrap() error { return e.Err }

// Error is what Sync returns if routes failed.
type Error struct {
	Routes []*RouteError // the first ten
	Total  int
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("fib: ")
	for i, r := range e.Routes {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(r.Error())
	}
	if more := e.Total - len(e.Routes); more > 0 {
		fmt.Fprintf(&b, "; and %d more", more)
	}
	return b.String()
}

// Unwrap returns the failures that are named.
func (e *Error) Unwrap() []error {
	errs := make([]error, len(e.Routes))
	for i, r := range e.Routes {
		errs[i] = r
	}
	return errs
}

// failures collects what becomes an Error.
type failures struct {
	first    []*RouteError
	total    int
	prefixes map[netip.Prefix]struct{}
}

func (f *failures) add(op string, prefix netip.Prefix, name string, err error) {
	if f.prefixes == nil {
		f.prefixes = make(map[netip.Prefix]struct{})
	}
	f.prefixes[prefix] = struct{}{}
	f.total++
	if len(f.first) < maxNamed {
		f.first = append(f.first, &RouteError{Op: op, Prefix: prefix, Interface: name, Err: err})
	}
}

func (f *failures) err() error {
	if f.total == 0 {
		return nil
	}
	return &Error{Routes: f.first, Total: f.total}
}

// explain puts the kernel's answer in words that say what to do.
func (f *FIB) explain(o op, a answer) error {
	src := f.cfg.source(o.prefix)
	switch {
	case a.errno == unix.EEXIST:
		return fmt.Errorf("%w: another route of the same destination and metric %d is in table %d; "+
			"remove it or choose another metric", a.errno, o.held.metric, f.cfg.Table)
	case a.errno == unix.EINVAL && src.IsValid() && sourceRefused(a.text):
		return fmt.Errorf("%w: the preferred source %s is not an address of this machine", a.errno, src)
	case a.errno == unix.EPERM:
		return fmt.Errorf("%w: writing routes needs CAP_NET_ADMIN", a.errno)
	case a.text != "":
		return fmt.Errorf("%w: %s", a.errno, a.text)
	default:
		return a.errno
	}
}

// sourceRefused tells the kernel's two wordings for a preferred source that is
// nobody's (net/ipv4/fib_semantics.c, net/ipv6/route.c).
func sourceRefused(text string) bool {
	text = strings.ToLower(text)
	return text == "" || strings.Contains(text, "prefsrc") || strings.Contains(text, "source address")
}
