package agent

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"warren/internal/fib"
)

// heard has a world's troubles go to what the function returns: their lines,
// without times and durations.
func heard(w *world) func() []string {
	var b bytes.Buffer
	w.troubles = newTroubles(slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == "after" {
			return slog.Attr{}
		}
		return a
	}})))
	return func() []string {
		text := strings.TrimSuffix(b.String(), "\n")
		b.Reset()
		if text == "" {
			return nil
		}
		return strings.Split(text, "\n")
	}
}

// Routes that fail for one reason are one line, whichever and however many they
// are, and one when that is over.
func TestRoutesThatFailAreOneLine(t *testing.T) {
	w := newWorld(t, router(peerConfig("b", 0)))
	said := heard(w)
	cause := func(op, prefix string, routes int, err string) fib.Cause {
		return fib.Cause{Op: op, Err: errors.New(err), Routes: routes, Prefix: netip.MustParsePrefix(prefix), Interface: "if-b"}
	}
	for i := range 12 { // another route is the first each time
		w.routes.err = &fib.Error{Total: 12 + i, Causes: []fib.Cause{cause("add", fmt.Sprintf("10.%d.0.0/16", i), 12+i, "file exists")}}
		w.routesWritten()
	}
	expect(t, "one cause", said(), []string{
		`level=ERROR msg="cannot add routes; trying again" routes=12 prefix=10.0.0.0/16 interface=if-b err="file exists"`,
	})
	w.routes.err = &fib.Error{Total: 2, Causes: []fib.Cause{cause("add", "10.0.0.0/16", 1, "file exists"), cause("add", "10.1.0.0/16", 1, "no memory")}}
	w.routesWritten()
	expect(t, "a second cause", said(), []string{
		`level=ERROR msg="cannot add routes; trying again" routes=1 prefix=10.1.0.0/16 interface=if-b err="no memory"`,
	})
	w.routes.err = errors.New("the kernel does not answer")
	w.routesWritten()
	expect(t, "another kind", said(), []string{
		`level=ERROR msg="cannot write routes; trying again" err="the kernel does not answer"`,
		`level=INFO msg="it is possible again to add routes" was="file exists"`,
		`level=INFO msg="it is possible again to add routes" was="no memory"`,
	})
	w.routes.err = nil
	w.routesWritten()
	w.routesWritten()
	expect(t, "over", said(), []string{`level=INFO msg="it is possible again to write routes" was="the kernel does not answer"`})
}

// What is joined in the order of a map, and what takes turns, is said once.
func TestTroublesAreSaidOnce(t *testing.T) {
	w := newWorld(t, router(peerConfig("b", 0)))
	said := heard(w)
	one, two := errors.New("tls: listen on 192.0.2.1:443: in use"), errors.New("tls: listen on 192.0.2.2:443: in use")
	for range 10 {
		w.troubles.note("listen", "", errors.Join(one, two))
		w.troubles.note("listen", "", fmt.Errorf("again: %w", errors.Join(two, one)))
	}
	if got := said(); len(got) != 1 {
		t.Errorf("joined: %q", got)
	}
	for range 10 {
		w.troubles.note("dial", "b", one)
		w.troubles.note("dial", "b", two)
	}
	if got := said(); len(got) != 2 {
		t.Errorf("in turns: %q", got)
	}
	w.troubles.note("dial", "b", nil)
	w.troubles.note("dial", "b", nil)
	expect(t, "over", said(), []string{`level=INFO msg="it is possible again to dial" peer=b`})
	w.troubles.note("dial", "b", one)
	w.troubles.note("dial", "c", one)
	if got := said(); len(got) != 2 {
		t.Errorf("again, and of another peer: %q", got)
	}
	w.troubles.forget("b")
	w.troubles.note("dial", "b", one)
	w.troubles.note("dial", "c", one)
	if got := said(); len(got) != 1 {
		t.Errorf("of a peer that is new: %q", got)
	}
}

// Each second everything that failed is tried again; that makes no line.
func TestRetryingIsQuiet(t *testing.T) {
	w := newWorld(t, router())
	said := heard(w)
	w.cfg = router(peerConfig("b", 0), peerConfig("c", 1))
	w.tunnels.fail["c"] = errors.New("name is taken")
	w.tunnels.addressErr = errors.New("no")
	w.portErr = errors.New("port is taken")
	w.begin(t.Context())
	w.up(t, "b")
	got := strings.Join(said(), "\n")
	for _, what := range []string{"make the tunnel", "start BGP over the tunnel", "use the port for peers over WireGuard"} {
		if n := len(regexp.MustCompile("cannot "+what).FindAllString(got, -1)); n != 1 {
			t.Errorf("%q is said %d times:\n%s", what, n, got)
		}
	}
	for range 5 {
		w.retry(t.Context())
	}
	expect(t, "retries", said(), nil)
	delete(w.tunnels.fail, "c")
	w.tunnels.addressErr, w.portErr = nil, nil
	w.retry(t.Context())
	if got := said(); len(got) != 3 {
		t.Errorf("over: %q", got)
	}
}
