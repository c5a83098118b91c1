package fib

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"warren/internal/rtnl"
)

func TestConfigValidate(t *testing.T) {
	good := Config{Table: 254, Metric: 20, Protocol: 186}
	if err := good.validate(); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(*Config){
		"table 0":         func(c *Config) { c.Table = 0 },
		"table 255":       func(c *Config) { c.Table = 255 },
		"metric -1":       func(c *Config) { c.Metric = -1 },
		"protocol 4":      func(c *Config) { c.Protocol = 4 },
		"protocol 256":    func(c *Config) { c.Protocol = 256 },
		"not an IPv4":     func(c *Config) { c.Source4 = netip.MustParseAddr("::1") },
		"not an IPv6":     func(c *Config) { c.Source6 = netip.MustParseAddr("192.0.2.1") },
		"fe80::1%eth0 is": func(c *Config) { c.Source6 = netip.MustParseAddr("fe80::1%eth0") },
	} {
		c := good
		change(&c)
		if err := c.validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v; want %q", c, err, want)
		}
	}
}

func TestErrorIsBounded(t *testing.T) {
	var f failures
	if f.err() != nil {
		t.Error("no failure is an error")
	}
	for i := range 100_000 {
		f.add("add", netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32), "site-b", errPrefix)
	}
	for i := range 100 {
		f.add("remove", netip.MustParsePrefix("2001:db8::/32"), "site-b", fmt.Errorf("reason %d", i))
	}
	if s := f.err().Error(); len(s) > 2000 || !strings.HasPrefix(s, "fib: add 10.0.0.0/32 dev site-b and 99999 more: not a valid masked IPv4 or IPv6 prefix; ") {
		t.Errorf("%d bytes: %s", len(s), s)
	}
}

// The order in which routes fail is that of a map: it must not make one error
// look like many.
func TestErrorHasOneText(t *testing.T) {
	errs := []error{unix.EEXIST, fmt.Errorf("%w: Nexthop has invalid gateway", unix.EINVAL)}
	texts := map[string]bool{}
	for range 50 {
		var f failures
		for _, i := range rand.Perm(40) {
			op := "add"
			if i%4 == 0 {
				op = "remove"
			}
			f.add(op, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 32), fmt.Sprint("tun", i%3), errs[i%2])
		}
		texts[f.err().Error()] = true
	}
	if len(texts) != 1 {
		t.Errorf("%d texts of one error: %v", len(texts), texts)
	}
	want := "fib: add 10.0.0.2/32 dev tun2 and 9 more: file exists; " +
		"add 10.0.0.1/32 dev tun1 and 19 more: invalid argument: Nexthop has invalid gateway; " +
		"remove 10.0.0.0/32 dev tun0 and 9 more: file exists"
	if !texts[want] {
		t.Errorf("got %v, want %s", texts, want)
	}
}

// unwritten is a FIB without a kernel, in which there are interfaces.
func unwritten(names ...string) *FIB {
	f := &FIB{
		cfg: Config{Table: 254, Protocol: 186, Metric: 20}, failed: map[netip.Prefix][]failure{}, again: map[netip.Prefix]struct{}{},
		wake: make(chan struct{}, 1), rearm: make(chan struct{}, 1), conn: &rtnl.Conn{}, answers: map[int]rtnl.Answer{},
		objects: newObjects(), doubts: newDoubts(),
	}
	f.pic = newPicture(&f.cfg)
	f.sets = newSets(f.pic.via)
	for i, name := range names {
		f.pic.setLink(rtnl.Link{Index: uint32(7 + i), Name: name, Up: true, Carrier: true})
	}
	return f
}

// TestWithdrawnWhileItsGroupIsRefused: a prefix whose ways the kernel has refused may be withdrawn, or get other ways, while it is
// written: the set that failed is gone then, and the failure is none of the prefix's any more.
func TestWithdrawnWhileItsGroupIsRefused(t *testing.T) {
	p, both := netip.MustParsePrefix("10.1.0.0/16"), []Way{{Interface: "b"}, {Interface: "c"}}
	for what, tt := range map[string]struct {
		meanwhile []Change
		failures  int // after what was written
		state     state
	}{
		"stays":          {nil, 1, stateFailed},
		"withdrawn":      {[]Change{{Prefix: p}}, 0, stateNone},
		"other ways":     {[]Change{{Prefix: p, Ways: both[:1]}}, 0, statePending},
		"away and again": {[]Change{{Prefix: p}, {Prefix: p, Ways: both[1:]}}, 0, statePending},
	} {
		t.Run(what, func(t *testing.T) {
			f := unwritten("b", "c")
			f.Apply(Change{Prefix: p, Ways: both})
			e := f.pic.known(p)
			f.sets.list[e.want].failed[0] = unix.ENOSPC
			f.dirty = nil
			f.batchLocked([]dirty{{e.key, e}})
			f.underWay = true
			f.Apply(tt.meanwhile...)
			f.underWay = false
			f.answersLocked()
			if n := len(f.failed[p]); len(f.ops) != 0 || n != tt.failures {
				t.Errorf("%d messages and %d failures, want none and %d", len(f.ops), n, tt.failures)
			}
			if len(f.dirty) != min(1, len(tt.meanwhile)) {
				t.Errorf("%d prefixes are to be written", len(f.dirty))
			}
			if e := f.pic.known(p); e == nil || e.state != tt.state {
				t.Errorf("the entry is %+v, want state %d", e, tt.state)
			}
		})
	}
}

// An entry that changes while it is written is written once more, and stays until then, whatever the
// kernel answers to what was written first.
func TestChangesWhileRoutesAreWritten(t *testing.T) {
	f := unwritten("b")
	p := netip.MustParsePrefix("10.1.0.0/16")
	turn := func(meanwhile ...Change) (ops int) {
		t.Helper()
		if len(f.dirty) != 1 {
			t.Fatalf("%d prefixes are to be written, want one", len(f.dirty))
		}
		e := f.dirty[0]
		f.dirty = nil
		f.batchLocked([]dirty{{e.key, e}})
		f.underWay = true
		f.Apply(meanwhile...)
		f.underWay = false
		f.answersLocked()
		return len(f.ops)
	}
	f.Apply(Change{Prefix: p, Ways: []Way{{Interface: "b"}}})
	if n := turn(Change{Prefix: p}); n != 1 {
		t.Fatalf("%d messages, want one that adds the route", n)
	}
	// It is wanted again while it is removed, and there is nothing in the kernel then.
	if n := turn(Change{Prefix: p, Ways: []Way{{Interface: "b"}}}); n != 1 || f.pic.count != 0 {
		t.Fatalf("%d messages, and %d routes; want one that removes the route", n, f.pic.count)
	}
	if n := turn(); n != 1 || f.pic.count != 1 {
		t.Fatalf("%d messages, and %d routes; want one that adds the route", n, f.pic.count)
	}
	if len(f.dirty)+len(f.behind) != 0 {
		t.Errorf("left: %v, %v", f.dirty, f.behind)
	}
}

// TestNamesOf: several ways through one interface are named once.
func TestNamesOf(t *testing.T) {
	for want, ways := range map[string][]string{
		"": nil, "lan0": {"lan0", "lan0"}, "lan0,tun1": {"lan0", "tun1", "lan0"},
	} {
		all := make([]Way, len(ways))
		for i, name := range ways {
			all[i].Interface = name
		}
		if got := namesOf(all); got != want {
			t.Errorf("%v are called %q", ways, got)
		}
	}
}
