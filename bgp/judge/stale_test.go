package judge

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// A capability of graceful restart in hex: 120 s, both families, and what of them.
const (
	gracefulBoth = "400a" + "0078" + "00010180" + "00020180"
	gracefulV4   = "400a" + "0078" + "00010180" + "00020100" // IPv6 was not forwarded
	gracefulOne  = "4006" + "0078" + "00010180"              // says nothing of IPv6
	gracefulNone = "4002" + "0078"
	gracefulZero = "400a" + "0000" + "00010180" + "00020180"
)

// gracefulOpen is the peer's OPEN, with further capabilities in hex.
func gracefulOpen(caps string) []byte {
	c := unhex(mp4 + mp6 + "0200" + hop46 + as4 + caps)
	return frame(typeOpen, openBody(fmt.Sprintf("02%02x%x", len(c), c)))
}

// shakeHands returns a session in which the handshake is done.
func shakeHands(t testing.TB, cfg Config, open []byte) *Session {
	t.Helper()
	s := New(cfg)
	ours, _ := setup{}.opens()
	s.ToPeer(nil, appendOpen(nil, &ours))
	if _, err := s.FromPeer(nil, append(bytes.Clone(open), frame(typeKeepalive, nil)...)); err != nil {
		t.Fatal(err)
	}
	return s
}

func hear(t testing.TB, s *Session, dst []byte, ms ...[]byte) []byte {
	t.Helper()
	for _, m := range ms {
		var err error
		if dst, err = s.FromPeer(dst, m); err != nil {
			t.Fatal(err)
		}
	}
	return dst
}

func endOfRIB(f int) []byte { return appendEndOfRIB(nil, f) }

// TestGraceful has what an OPEN says of graceful restart.
func TestGraceful(t *testing.T) {
	both := [2]bool{true, true}
	for _, c := range []struct {
		caps string
		want Graceful
	}{
		{"", Graceful{}},
		{gracefulNone, Graceful{Offered: true, Time: 2 * time.Minute}},
		{gracefulBoth, Graceful{Offered: true, Time: 2 * time.Minute, Families: both, Forwarding: both}},
		{gracefulV4, Graceful{Offered: true, Time: 2 * time.Minute, Families: both, Forwarding: [2]bool{true, false}}},
		{"4006" + "cfff" + "00020100", Graceful{Offered: true, Restarted: true, Time: 4095 * time.Second, Families: [2]bool{false, true}}},
		{"400a" + "8001" + "00190080" + "0001" + "8080", Graceful{Offered: true, Restarted: true, Time: time.Second}}, // other families
		{"400a" + "0001" + "00010180" + "00010100", Graceful{Offered: true, Time: time.Second, Families: [2]bool{true, false}, Forwarding: [2]bool{true, false}}},
		{gracefulBoth + gracefulNone, Graceful{Offered: true, Time: 2 * time.Minute}}, // the last counts
		{"4000", Graceful{}}, // malformed, as the next
		{"400100", Graceful{}},
		{"40050078000101", Graceful{}},
	} {
		s := New(setup{}.config())
		if _, err := s.FromPeer(nil, gracefulOpen(c.caps)); err != nil {
			t.Fatal(err)
		}
		o, _ := s.PeerOpen()
		if g := o.Graceful(); g != c.want {
			t.Errorf("%s: %+v, want %+v", c.caps, g, c.want)
		}
	}
}

// TestOwnGraceful: this end's OPEN says what is so, whatever GoBGP thinks of it.
func TestOwnGraceful(t *testing.T) {
	for _, in := range []string{"400a" + "003c" + "00010100" + "00020100", "400a" + "f03c" + "000101ff" + "00020180"} {
		for _, c := range []struct {
			restarted, forwarding bool
			want                  string
		}{
			{false, false, "400a" + "003c" + "00010100" + "00020100"},
			{false, true, "400a" + "003c" + "00010180" + "00020180"},
			{true, true, "400a" + "803c" + "00010180" + "00020180"},
		} {
			cfg := setup{}.config()
			cfg.Restarted, cfg.Forwarding = c.restarted, c.forwarding
			out := New(cfg).ToPeer(nil, gracefulOpen(in))
			if want := gracefulOpen(c.want); !bytes.Equal(out, want) {
				t.Errorf("%+v: %x, want %x", c, out, want)
			}
		}
	}
}

// TestRetained: routes are kept for a peer that asks for it, in an established
// session that no NOTIFICATION has ended.
func TestRetained(t *testing.T) {
	cfg := setup{}.config()
	for caps, want := range map[string][2]bool{
		"": {}, gracefulNone: {true, true}, "400a" + "8078" + "00010180" + "00020180": {}, gracefulOne: {true, true}, gracefulZero: {true, true}, gracefulBoth: {true, true},
	} {
		if got := shakeHands(t, cfg, gracefulOpen(caps)).Awaited(); got != want {
			t.Errorf("%s: %v are awaited, want %v", caps, got, want)
		}
	}
	for caps, want := range map[string][2]bool{
		"": {}, gracefulNone: {}, gracefulZero: {}, gracefulOne: {true, false}, gracefulV4: {true, true}, gracefulBoth: {true, true},
	} {
		if got, _ := shakeHands(t, cfg, gracefulOpen(caps)).Retained(); got != want {
			t.Errorf("%s: %v, want %v", caps, got, want)
		}
	}
	s := New(cfg)
	ours, _ := setup{}.opens()
	s.ToPeer(nil, appendOpen(nil, &ours))
	hear(t, s, nil, gracefulOpen(gracefulBoth))
	if got, _ := s.Retained(); got != [2]bool{} {
		t.Errorf("before the session is established: %v", got)
	}
	s = shakeHands(t, cfg, gracefulOpen(gracefulBoth))
	hear(t, s, nil, frame(typeNotification, []byte{6, 2}))
	if got, _ := s.Retained(); got != [2]bool{} {
		t.Errorf("after a NOTIFICATION of the peer's: %v", got)
	}
	s = shakeHands(t, cfg, gracefulOpen(gracefulBoth))
	if _, err := s.FromPeer(nil, frame(typeOpen, openBody(""))); err == nil {
		t.Error("an OPEN in the session is fine")
	}
	if got, _ := s.Retained(); got != [2]bool{} {
		t.Errorf("after a NOTIFICATION of this end's: %v", got)
	}
}

// TestResume loses a connection and has the peer announce things on the next.
func TestResume(t *testing.T) {
	p4, p6 := someRoutes(IPv4), someRoutes(IPv6)
	cut := func(caps string) (*Session, *reader) {
		s, r := shakeHands(t, setup{}.config(), gracefulOpen(caps)), setup{}.reader()
		r.readAll(t, hear(t, s, nil, write(IPv4, nil, p4[:4], 1), write(IPv6, nil, p6[:4], 1), endOfRIB(IPv4), endOfRIB(IPv6)))
		r.readAll(t, s.Retain(nil))
		return s, r
	}
	have := func(r *reader, v4, v6 int) {
		t.Helper()
		var n [2]int
		for p := range r.routes {
			f, _ := fromNetip(p)
			n[f]++
		}
		if n != [2]int{v4, v6} {
			t.Errorf("%v routes, not %d and %d", n, v4, v6)
		}
	}

	old, r := cut(gracefulBoth)
	have(r, 4, 4)
	if c := old.Counts().Families; c[IPv4].Stale != 4 || c[IPv6].Stale != 4 || !old.Accepted(p4[0]) {
		t.Errorf("%+v", c)
	}
	s := shakeHands(t, setup{}.config(), gracefulOpen(gracefulBoth))
	r.readAll(t, s.Resume(nil, old))
	have(r, 4, 4)
	// The same again is nothing new; other attributes are; one is withdrawn.
	lines := r.readAll(t, withoutKeepalives(t, hear(t, s, nil, write(IPv4, nil, p4[:2], 1), write(IPv4, nil, p4[2:3], 2), write(IPv6, p6[:1], p6[1:2], 1))))
	if want := []string{"+" + p4[2].String() + " 4=00000002", "-" + p6[0].String()}; !slices.Equal(lines, want) {
		t.Errorf("%q, want %q", lines, want)
	}
	checkCounts(t, s, r)
	if s.EndOfRIB() != [2]bool{} {
		t.Errorf("before any End-of-RIB marker: %v", s.EndOfRIB())
	}
	lines = r.readAll(t, hear(t, s, nil, endOfRIB(IPv4)))
	if want := []string{"-" + p4[3].String(), "end IPv4"}; !slices.Equal(lines, want) {
		t.Errorf("%q, want %q", lines, want)
	}
	have(r, 3, 3)
	lines = r.readAll(t, hear(t, s, nil, endOfRIB(IPv6)))
	if want := []string{"-" + p6[2].String(), "-" + p6[3].String(), "end IPv6"}; !slices.Equal(lines, want) {
		t.Errorf("%q, want %q", lines, want)
	}
	if s.EndOfRIB() != [2]bool{true, true} {
		t.Errorf("after both End-of-RIB markers: %v", s.EndOfRIB())
	}
	r.readAll(t, s.Retain(nil)) // a second time: what was announced since is as stale as the rest
	if c := s.Counts().Families; c[IPv4].Stale != 3 || c[IPv6].Stale != 1 {
		t.Errorf("%+v", c)
	}
	r.readAll(t, s.Expire(nil))
	have(r, 0, 0)
	checkCounts(t, s, r)

	// Families that are not forwarded, not named, or not said anything of.
	for caps, want := range map[string][2]int{gracefulV4: {4, 0}, gracefulOne: {4, 0}, gracefulNone: {}, "": {}} {
		old, r := cut(gracefulBoth)
		s := shakeHands(t, setup{}.config(), gracefulOpen(caps))
		r.readAll(t, s.Resume(nil, old))
		have(r, want[0], want[1])
		checkCounts(t, s, r)
	}
	_, r = cut(gracefulOne)
	have(r, 4, 0)
}

// TestStaleLimits: stale routes take room of MaxPrefixes until they go, and none of
// HardMaxPrefixes.
func TestStaleLimits(t *testing.T) {
	p := someRoutes(IPv4)
	cfg := setup{}.config()
	cfg.Policy = Policy{Accept: acceptAll, MaxPrefixes: 3, HardMaxPrefixes: 4}
	old, r := shakeHands(t, cfg, gracefulOpen(gracefulBoth)), setup{}.reader()
	r.readAll(t, hear(t, old, nil, write(IPv4, nil, p[:4], 1)))
	r.readAll(t, old.Retain(nil))
	s := shakeHands(t, cfg, gracefulOpen(gracefulBoth))
	r.readAll(t, s.Resume(nil, old))
	r.readAll(t, hear(t, s, nil, write(IPv4, nil, p[2:3], 1), write(IPv4, nil, p[4:7], 1)))
	if c := s.Counts().Families[IPv4]; c != (FamilyCounts{7, 3, 4, 3, 0}) || len(r.routes) != 3 {
		t.Errorf("%+v, %v", c, r.routes)
	}
	checkCounts(t, s, r)
	r.readAll(t, hear(t, s, nil, endOfRIB(IPv4)))
	if c := s.Counts().Families[IPv4]; c != (FamilyCounts{4, 3, 1, 0, 0}) || len(r.routes) != 3 {
		t.Errorf("%+v, %v", c, r.routes)
	}
	if _, ok := r.routes[p[2]]; !ok {
		t.Error("the one that was announced again is gone")
	}
	checkCounts(t, s, r)
	if _, err := s.FromPeer(nil, write(IPv4, nil, p[8:9], 1)); ended(err) != "6/1 00010100000004" {
		t.Errorf("a fifth one: %v", err)
	}
}

// TestStaleHardLimit: what the peer announces again counts towards HardMaxPrefixes, as what it announces
// for the first time, so that losing the connection again and again makes room for nothing.
func TestStaleHardLimit(t *testing.T) {
	for f, ends := range []string{"6/1 00010100000004", "6/1 00020100000004"} {
		p := someRoutes(f)
		cfg := setup{}.config()
		cfg.Policy = Policy{Accept: func(x netip.Prefix) bool { return x != p[1] }, HardMaxPrefixes: 4, MaxPrefixes: 3}
		next := func(old *Session, r *reader) *Session {
			t.Helper()
			r.readAll(t, old.Retain(nil))
			s := shakeHands(t, cfg, gracefulOpen(gracefulBoth))
			r.readAll(t, s.Resume(nil, old))
			return s
		}
		received := func(s *Session, r *reader, n, stale int) {
			t.Helper()
			if c := s.Counts().Families[f]; c.Received != n || c.Stale != stale {
				t.Errorf("%+v, not %d with %d stale ones", c, n, stale)
			}
			checkCounts(t, s, r)
		}

		s, r := shakeHands(t, cfg, gracefulOpen(gracefulBoth)), setup{}.reader()
		r.readAll(t, hear(t, s, nil, write(f, nil, p[:4], 1), endOfRIB(f)))
		s = next(s, r)
		// All of it once more is no more than there was.
		r.readAll(t, hear(t, s, nil, write(f, nil, p[:4], 1), write(f, nil, p[:4], 2)))
		received(s, r, 4, 0)
		s = next(s, r)
		r.readAll(t, hear(t, s, nil, write(f, nil, p[4:8], 1)))
		received(s, r, 8, 4)
		out, err := s.FromPeer(nil, write(f, nil, p[:1], 1))
		if r.readAll(t, out); ended(err) != ends {
			t.Errorf("what was stale is announced beside as many others: %v, want %s", err, ends)
		}
		received(s, r, 8, 4)

		// What has been here before counts as well.
		s, r = shakeHands(t, cfg, gracefulOpen(gracefulBoth)), setup{}.reader()
		r.readAll(t, hear(t, s, nil, write(f, nil, p[:1], 1)))
		s = next(s, r)
		r.readAll(t, hear(t, s, nil, writeLooped(f, p[4:8]...)))
		if _, err := s.FromPeer(nil, write(f, nil, p[:1], 1)); ended(err) != ends {
			t.Errorf("beside routes that have been here before: %v, want %s", err, ends)
		}

		// Nor do they add up when the markers never come.
		s, r = shakeHands(t, cfg, gracefulOpen(gracefulBoth)), setup{}.reader()
		r.readAll(t, hear(t, s, nil, write(f, nil, p[:4], 1)))
		for i := range 4 {
			s = next(s, r)
			received(s, r, 4, 4)
			from := 4 + i%2*4
			r.readAll(t, hear(t, s, nil, write(f, nil, p[from:from+4], 1)))
			received(s, r, 8, 4)
		}
		// What stays is what was announced last.
		s = next(s, r)
		for i, p := range p[:12] {
			if is := s.Look(p).Seen != SeenNot; is != (i >= 8) {
				t.Errorf("%v is there: %v", p, is)
			}
		}
	}
}

// writeLooped announces prefixes that have been here before.
func writeLooped(f int, ps ...netip.Prefix) []byte {
	if f == IPv4 {
		return updateMessage(nil, unhex(origin+pathOwn+hop), fieldOf(ps...))
	}
	return updateMessage(nil, unhex(origin+pathOwn+attr(0x80, attrMPReach, "000201"+"10"+hop6+"00"+fmt.Sprintf("%x", fieldOf(ps...)))), nil)
}

// TestStalePolicy: the policy goes on to apply to stale routes.
func TestStalePolicy(t *testing.T) {
	p := someRoutes(IPv4)
	old, r := shakeHands(t, setup{}.config(), gracefulOpen(gracefulBoth)), setup{}.reader()
	r.readAll(t, hear(t, old, nil, write(IPv4, nil, p[:4], 1)))
	r.readAll(t, old.Retain(nil))
	out, err := old.SetPolicy(nil, Policy{Accept: func(x netip.Prefix) bool { return x != p[1] }, HardMaxPrefixes: 1, MaxPrefixes: 1}, nil)
	if r.readAll(t, out); err != nil || len(r.routes) != 1 {
		t.Errorf("%v, %v", err, r.routes)
	}
	s := shakeHands(t, setup{}.config(), gracefulOpen(gracefulBoth))
	r.readAll(t, s.Resume(nil, old))
	checkCounts(t, s, r)
	if _, err := s.FromPeer(nil, write(IPv4, nil, p[5:7], 1)); !strings.HasPrefix(ended(err), "6/1") {
		t.Errorf("the hard limit is not that of the last policy: %v", err)
	}
}

// TestEndOfRIBAgain: a marker that says nothing new is not handed on.
func TestEndOfRIBAgain(t *testing.T) {
	s := setup{}.establish(t)
	for range 3 {
		for f := range s.ended {
			before := s.ended[f]
			out, err := s.FromPeer(nil, bytes.Repeat(endOfRIB(f), 100))
			if out = withoutKeepalives(t, out); err != nil || before != (len(out) == 0) || !before && !bytes.Equal(out, endOfRIB(f)) {
				t.Errorf("%d octets are handed on, the first marker: %v; %v", len(out), !before, err)
			}
		}
	}
}

// TestContinues: what GoBGP has agreed on must still hold.
func TestContinues(t *testing.T) {
	old := shakeHands(t, setup{}.config(), gracefulOpen(gracefulBoth))
	for caps, want := range map[string]bool{gracefulBoth: true, gracefulNone: true, "": true, "4600": true} {
		if got := shakeHands(t, setup{}.config(), gracefulOpen(caps)).Continues(old); got != want {
			t.Errorf("%s: %v", caps, got)
		}
	}
	for name, edit := range map[string]func(o *Open){
		"another router ID": func(o *Open) { o.RouterID = netip.MustParseAddr("10.0.0.3") },
		"no IPv6":           func(o *Open) { o.IPv6 = false },
		"no next hops":      func(o *Open) { o.NextHopIPv6 = false },
		"short hold time":   func(o *Open) { o.HoldTime = 3 },
		"another AS":        func(o *Open) { o.ASN = 64667 },
		"no 4-octet AS":     func(o *Open) { o.FourOctetAS = false },
	} {
		_, o := setup{}.opens()
		edit(&o)
		if shakeHands(t, setup{}.config(), appendOpen(nil, &o)).Continues(old) {
			t.Error(name)
		}
	}
	_, o := setup{}.opens()
	o.HoldTime = 180 // both are longer than this end's
	if !shakeHands(t, setup{}.config(), appendOpen(nil, &o)).Continues(old) {
		t.Error("a longer hold time")
	}
}
