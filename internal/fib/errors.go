package fib

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"warren/internal/rtnl"
)

// maxCauses is how many causes an Error has; it counts the others' routes all the
// same. The kernel knows few.
const maxCauses = 10

// Cause is why routes failed that failed for the same reason.
type Cause struct {
	Op     string // "add" or "remove"
	Err    error  // wraps the kernel's error number
	Routes int    // that failed for it
	// The lowest of their prefixes, and where its route leads; "": it is unreachable.
	Prefix    netip.Prefix
	Interface string
}

// Reason is the cause without the routes: two Causes with the same Reason are the
// same cause, of whatever routes.
func (c Cause) Reason() string { return c.Op + ": " + c.Err.Error() }

func (c Cause) String() string {
	others := ""
	if c.Routes > 1 {
		others = fmt.Sprintf(" and %d more", c.Routes-1)
	}
	way := "dev " + c.Interface
	if c.Interface == "" {
		way = "unreachable"
	}
	return fmt.Sprintf("%s %s %s%s: %v", c.Op, c.Prefix, way, others, c.Err)
}

// Error is what Status returns if routes failed. The same routes that fail for the
// same reasons make the same Error, whatever their order was.
type Error struct {
	Causes []Cause // at least one, ordered by Reason
	Total  int     // routes that failed
}

func (e *Error) Error() string {
	texts := make([]string, len(e.Causes))
	for i, c := range e.Causes {
		texts[i] = c.String()
	}
	return "fib: " + strings.Join(texts, "; ")
}

// Removals reports whether routes are left that should not be.
func (e *Error) Removals() bool {
	return slices.ContainsFunc(e.Causes, func(c Cause) bool { return c.Op == "remove" })
}

// Unwrap returns the kernel's errors.
func (e *Error) Unwrap() []error {
	errs := make([]error, len(e.Causes))
	for i, c := range e.Causes {
		errs[i] = c.Err
	}
	return errs
}

// failure is why one route of a prefix failed.
type failure struct {
	op, name string // as in Cause
	err      error
}

var errPrefix = errors.New("not a valid masked IPv4 or IPv6 prefix")

// failures collects what becomes an Error.
type failures struct {
	causes map[string]*Cause // by Reason
	total  int
}

func (f *failures) add(op string, prefix netip.Prefix, name string, err error) {
	if f.causes == nil {
		f.causes = make(map[string]*Cause)
	}
	f.total++
	next := Cause{Op: op, Err: err, Prefix: prefix, Interface: name}
	reason := next.Reason()
	c := f.causes[reason]
	if c == nil {
		c = &next
		f.causes[reason] = c
	}
	c.Routes++
	if cmp.Or(prefix.Compare(c.Prefix), cmp.Compare(name, c.Interface)) < 0 {
		c.Prefix, c.Interface = prefix, name
	}
}

func (f *failures) err() error {
	if f.total == 0 {
		return nil
	}
	e := &Error{Total: f.total}
	for _, reason := range slices.Sorted(maps.Keys(f.causes)) {
		if len(e.Causes) < maxCauses {
			e.Causes = append(e.Causes, *f.causes[reason])
		}
	}
	return e
}

// explain puts the kernel's answer in words that say what to do.
func (f *FIB) explain(j *job, o op, a rtnl.Answer) error {
	src := f.cfg.source(j.prefix)
	switch {
	case a.Errno == unix.EEXIST:
		return fmt.Errorf("%w: another route of the same destination and metric %d is in table %d; "+
			"remove it or choose another metric", a.Errno, o.held.metric, f.cfg.Table)
	case a.Errno == unix.EINVAL && src.IsValid() && sourceRefused(a.Text):
		return fmt.Errorf("%w: the preferred source %s is not an address of this machine", a.Errno, src)
	case a.Errno == unix.EPERM:
		return fmt.Errorf("%w: writing routes needs CAP_NET_ADMIN", a.Errno)
	case a.Text != "":
		return fmt.Errorf("%w: %s", a.Errno, a.Text)
	default:
		return a.Errno
	}
}

// sourceRefused tells the kernel's two wordings for a preferred source that is
// nobody's (net/ipv4/fib_semantics.c, net/ipv6/route.c).
func sourceRefused(text string) bool {
	text = strings.ToLower(text)
	return text == "" || strings.Contains(text, "prefsrc") || strings.Contains(text, "source address")
}
