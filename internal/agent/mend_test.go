package agent

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"warren/internal/link"
	"warren/tunnel/tun"
)

// looks has the interfaces be looked at, after all that was done by now and before what will be done.
func (w *world) looks() {
	w.ahead += time.Millisecond
	w.locals.looked = w.now()
	w.ahead += time.Millisecond
}

// An interface that was set down and up again has lost its IPv6 addresses.
func TestAddressesThatAreTakenAreGivenBack(t *testing.T) {
	w := newWorld(t, router(peerConfig("b", 0), peerConfig("c", 1)))
	w.up(t, "b")
	local := w.attachment("b").session.local
	w.locals.interfaces = map[string]link.Interface{"if-b": {Up: true, Carrier: true, Addresses: w.attachment("b").session.locals()}}
	w.looks()
	mark := len(w.diary)
	w.mends(false)
	expect(t, "all there", w.since(mark), nil)
	w.locals.interfaces = nil
	w.mends(false)
	expect(t, "gone", w.since(mark), []string{fmt.Sprintf("addresses b from %s", local)})
	mark = len(w.diary)
	w.mends(false)
	expect(t, "not seen yet", w.since(mark), nil)
}

// An interface that does not look as its tunnel left it is mended, and the log says so once,
// however often it has to be done.
func TestInterfacesThatAreChangedAreMended(t *testing.T) {
	w := newWorld(t, router(peerConfig("b", 0), peerConfig("c", 1)))
	var said strings.Builder
	w.log = slog.New(slog.NewTextHandler(&said, nil))
	w.up(t, "b")
	for _, c := range []struct {
		what string
		b, c link.Interface
		want []string
	}{
		{"as left", link.Interface{Up: true, Carrier: true}, link.Interface{Up: true}, nil},
		{"set down", link.Interface{}, link.Interface{}, nil},
		{"without carrier", link.Interface{Up: true}, link.Interface{Up: true}, []string{"mend b"}},
		{"with one too many", link.Interface{Up: true, Carrier: true}, link.Interface{Up: true, Carrier: true}, []string{"mend c"}},
		{"persistent", link.Interface{Up: true, Carrier: true, Persistent: true}, link.Interface{Up: true}, []string{"mend b"}},
	} {
		w.locals.interfaces = map[string]link.Interface{"if-b": c.b, "if-c": c.c}
		w.tunnels.changed = map[string][]string{"b": {"carrier", "owner"}}
		mark := len(w.diary)
		w.mends(false)
		expect(t, c.what, w.since(mark), c.want)
	}
	if got := strings.Count(said.String(), "changed=carrier,owner"); got != 1 {
		t.Errorf("the log says %d times what was mended:\n%s", got, said.String())
	}

	// What cannot be seen from afar is found now and then.
	w.locals.interfaces = map[string]link.Interface{"if-b": {Up: true, Carrier: true}, "if-c": {Up: true}}
	mark := len(w.diary)
	w.mends(true)
	if got := w.since(mark); len(got) != 2 {
		t.Errorf("a look at all: %q", got)
	}
}

// A tunnel whose interface has got another name or another index, or is not to be seen, is
// looked at closely; if the interface was taken away, the tunnel is made again.
func TestInterfacesThatAreTakenAwayAreMadeAgain(t *testing.T) {
	w := newWorld(t, router(peerConfig("b", 0), peerConfig("c", 1)))
	w.tunnels.index = 7
	w.up(t, "b")
	w.learns(t, "10.2.0.0/24", "b")
	right := link.Interface{Index: 7, Up: true, Carrier: true, Addresses: w.attachment("b").session.locals()}
	other := right
	other.Index = 9
	w.locals.interfaces = map[string]link.Interface{"if-b": right, "if-c": {Index: 7, Up: true}}
	w.looks()
	mark := len(w.diary)
	w.mends(false)
	expect(t, "where they were made", w.since(mark), nil)

	for what, seen := range map[string]link.Interface{"another index": other, "not there": {}} {
		w.locals.interfaces["if-b"] = seen
		w.openedAt("b", w.locals.looked.Add(time.Second))
		mark = len(w.diary)
		w.mends(false)
		if seen.Up {
			expect(t, what+", seen before it was made", w.since(mark), nil)
		}
		w.openedAt("b", w.locals.looked.Add(-time.Second))
		mark = len(w.diary)
		w.mends(false)
		if got := w.since(mark); len(got) == 0 || got[0] != "mend b" {
			t.Errorf("%s: %q", what, got)
		}
	}

	w.tunnels.lost = map[string]error{"b": fmt.Errorf("%w: as b has got the name x", tun.ErrLost)}
	mark = len(w.diary)
	w.mends(false)
	w.tunnels.lost = nil
	w.again()
	expect(t, "taken away", w.since(mark), []string{"mend b", "routes []", "delete neighbor b", "close b", "guard [if-b if-c]", "open b on if-b"})
}

// openedAt has a tunnel be opened at another time.
func (w *world) openedAt(name string, at time.Time) {
	id := w.attachment(name).id
	h := w.handles.tunnels[id]
	h.opened = at
	w.handles.tunnels[id] = h
}

// An address that cannot be given back is a condition, which is over when something else gives
// it back.
func TestAddressesThatCannotBeGivenBack(t *testing.T) {
	w := newWorld(t, router(peerConfig("b", 0)))
	w.up(t, "b")
	w.locals.interfaces = map[string]link.Interface{"if-b": {Up: true, Carrier: true}}
	w.looks()
	w.tunnels.addressErr = errors.New("no")
	w.mends(false)
	w.mends(false)
	c := w.status().Peers[0].Conditions
	if len(c) != 1 || c[0].Kind != "addresses_back" || c[0].Tries != 1 {
		t.Errorf("conditions %+v", c)
	}
	w.again()
	if c := w.status().Peers[0].Conditions; len(c) != 1 || c[0].Tries != 2 {
		t.Errorf("tried again: %+v", c)
	}
	w.locals.interfaces = map[string]link.Interface{"if-b": {Up: true, Carrier: true, Addresses: w.attachment("b").session.locals()}}
	w.mends(false)
	expect(t, "conditions", w.wrong(), nil)
}
