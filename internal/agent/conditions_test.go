package agent

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"warren/internal/fib"
	"warren/internal/link"
)

// heard has a world's log go to what the function returns: its lines,
// without times and durations.
func heard(w *world) func() []string {
	var b bytes.Buffer
	w.log = slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == "after" {
			return slog.Attr{}
		}
		return a
	}}))
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
func TestConditionsAreSaidOnce(t *testing.T) {
	w := newWorld(t, router(peerConfig("b", 0), peerConfig("c", 1)))
	said := heard(w)
	b, c := about(kindOpen, w.attachment("b")), about(kindOpen, w.attachment("c"))
	doors := subject{kind: kindListenTLS}
	one, two := errors.New("tls: listen on 192.0.2.1:443: in use"), errors.New("tls: listen on 192.0.2.2:443: in use")
	for range 10 {
		w.play(tried{doors, errors.Join(one, two)}, tried{doors, fmt.Errorf("again: %w", errors.Join(two, one))})
	}
	if got := said(); len(got) != 1 {
		t.Errorf("joined: %q", got)
	}
	for range 10 {
		w.play(tried{b, one}, tried{b, two})
	}
	if got := said(); len(got) != 2 {
		t.Errorf("in turns: %q", got)
	}
	w.play(tried{b, nil}, tried{b, nil})
	expect(t, "over", said(), []string{`level=INFO msg="it is possible again to make the tunnel" peer=b interface=if-b`})
	w.play(tried{b, one}, tried{c, one})
	if got := said(); len(got) != 2 {
		t.Errorf("again, and of another peer: %q", got)
	}
	w.m.conditions.forget(w.attachment("b"))
	w.play(tried{b, one}, tried{c, one})
	if got := said(); len(got) != 1 {
		t.Errorf("of a peer that is new: %q", got)
	}
}

// What failed is tried again and again; that makes no line.
func TestRetryingIsQuiet(t *testing.T) {
	var said func() []string
	w := newWorldWith(t, router(peerConfig("b", 0), peerConfig("c", 1)), func(w *world) {
		said = heard(w)
		w.tunnels.fail["c"] = errors.New("name is taken")
		w.tunnels.addressErr = errors.New("no")
		w.portErr = errors.New("port is taken")
	})
	w.up(t, "b")
	got := strings.Join(said(), "\n")
	for _, what := range []string{"make the tunnel", "start BGP over the tunnel", "use the port for peers over WireGuard"} {
		if n := len(regexp.MustCompile("cannot "+what).FindAllString(got, -1)); n != 1 {
			t.Errorf("%q is said %d times:\n%s", what, n, got)
		}
	}
	for range 5 {
		w.again()
	}
	expect(t, "retries", said(), nil)
	expect(t, "wrong", w.wrong(), []string{"listen_wireguard", "addresses b", "open_tunnel c"})
	delete(w.tunnels.fail, "c")
	w.tunnels.addressErr, w.portErr = nil, nil
	w.again()
	if got := said(); len(got) != 3 {
		t.Errorf("over: %q", got)
	}
	expect(t, "nothing is wrong", w.wrong(), nil)
}

// The pause before a further try grows, and is over when success has become likely.
func TestRetriesBackOff(t *testing.T) {
	w := newWorldWith(t, router(peerConfig("b", 0)), func(w *world) { w.tunnels.fail["b"] = errors.New("name is taken") })
	tries := func() int {
		for _, c := range w.m.conditions.shown() {
			return c.tries
		}
		return 0
	}
	pauses := []int{}
	last := 0
	for second := 1; second <= 130; second++ {
		w.ahead += time.Second
		before := tries()
		w.retry()
		w.turn()
		if tries() > before {
			pauses, last = append(pauses, second-last), second
		}
	}
	if want := []int{1, 2, 4, 8, 16, 30, 30, 30}; !slices.Equal(pauses, want) {
		t.Errorf("pauses of %v seconds, want %v", pauses, want)
	}
	before := tries()
	w.ahead += 2 * time.Second
	w.locals.interfaces = map[string]link.Interface{"if-b": {Index: 3}}
	w.localsChanged()
	w.turn()
	if tries() != before+1 {
		t.Errorf("%d tries after an interface came, want one more than %d", tries(), before)
	}
	w.ahead += 2 * time.Second
	w.localsChanged()
	w.turn()
	if tries() != before+1 {
		t.Errorf("tried again although no interface and no address has changed")
	}
	for what, likely := range map[string]func(){
		"a reload": func() { w.reloads(t, w.cfg) },
		"a sleep":  func() { w.wake(time.Minute); w.turn() },
	} {
		before := tries()
		w.ahead += 2 * time.Second
		if likely(); tries() != before+1 {
			t.Errorf("%d tries after %s, want one more than %d", tries(), what, before)
		}
	}
	// What a try changes itself is no reason to hurry.
	before = tries()
	w.play(changedAround{}, changedAround{})
	if w.turn(); tries() != before {
		t.Errorf("tried again at once")
	}
}
