package engine

import (
	"fmt"
	"strings"
	"testing"
	"time"

	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"warren/bgp"
)

// linked is two speakers with two sessions between them: b1 and b2 at a, a1 and a2 at b.
type linked struct{ a, b *Speaker }

func link(t *testing.T, asnB uint32) linked {
	t.Helper()
	l := linked{startSpeaker(t, 64512, "10.0.0.1"), startSpeaker(t, asnB, "10.0.0.2")}
	for i := range 2 {
		addrA, addrB := testAddrs()
		policies := func(name string) func(*Neighbor) {
			return func(n *Neighbor) { n.Name = fmt.Sprint(name, i+1) }
		}
		connectAt(t, l.a, l.b, addrA, addrB, policies("b"), policies("a"))
	}
	for i := range 2 {
		waitState(t, l.a, fmt.Sprint("b", i+1), "established")
		waitState(t, l.b, fmt.Sprint("a", i+1), "established")
	}
	if err := l.a.SetAnnounced(t.Context(), prefixes("10.1.0.0/16", "2001:db8:1::/48")); err != nil {
		t.Fatal(err)
	}
	if err := l.b.SetAnnounced(t.Context(), prefixes("10.2.0.0/16", "2001:db8:2::/48")); err != nil {
		t.Fatal(err)
	}
	return l
}

// prefer sets the preferences of both sessions at one end.
func prefer(t *testing.T, s *Speaker, name string, preferences ...int) {
	t.Helper()
	s.edit(func(all map[string]*Neighbor, _ *Wanted) {
		for i, p := range preferences {
			n := *all[fmt.Sprint(name, i+1)]
			n.Preference = p
			all[n.Name] = &n
		}
	})
	if err := s.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// want waits for the ways at both ends, of both families.
func (l linked) want(t *testing.T, atA, atB string) {
	t.Helper()
	for _, w := range []struct {
		s      *Speaker
		prefix string
		ways   string
	}{
		{l.a, "10.2.0.0/16", atA}, {l.a, "2001:db8:2::/48", atA}, {l.b, "10.1.0.0/16", atB}, {l.b, "2001:db8:1::/48", atB},
	} {
		p := prefixes(w.prefix)[0]
		eventually(t, time.Minute, func() string {
			if is := (wayView{p: w.s.Routes()[p].Ways}).text(p); is != w.ways {
				return fmt.Sprintf("%s: %q, want %q", p, is, w.ways)
			}
			return ""
		})
	}
}

// TestPreference has one end of two sessions prefer one of them, and change its mind: the other end, which has no
// preference, follows, and no session is lost. With none, or the same, both are used.
func TestPreference(t *testing.T) {
	for name, asn := range map[string]uint32{"eBGP": 64513, "iBGP": 64512} {
		t.Run(name, func(t *testing.T) {
			l := link(t, asn)
			l.want(t, "b1 b2 |", "a1 a2 |")
			since := statusOf(l.a, "b1").Since
			prefer(t, l.a, "b", 10, 0)
			l.want(t, "b1 | b2", "a1 | a2")
			prefer(t, l.a, "b", 10, 255)
			l.want(t, "b2 | b1", "a2 | a1")
			prefer(t, l.a, "b", 20, 20)
			l.want(t, "b1 b2 |", "a1 a2 |")
			prefer(t, l.b, "a", 0, 1)
			l.want(t, "b2 | b1", "a2 | a1")
			prefer(t, l.b, "a", 0, 0)
			prefer(t, l.a, "b", 0, 0)
			l.want(t, "b1 b2 |", "a1 a2 |")
			if st := statusOf(l.a, "b1"); !st.Since.Equal(since) {
				t.Error("the session is another one")
			}
		})
	}
}

// A told is what a raw peer was told of a prefix.
type toldPath struct {
	path      string
	med       int64 // -1: none
	localPref int   // -1: none
}

// hears reads until the peer was told of a prefix as wanted.
func hears(t *testing.T, p *rawPeer, want toldPath) {
	t.Helper()
	var is toldPath
	for {
		m := p.read()
		if m == nil {
			t.Fatalf("the connection ended; told last: %+v, want %+v", is, want)
		}
		u, ok := m.Body.(*gobgp.BGPUpdate)
		if !ok || len(u.NLRI) == 0 {
			continue
		}
		is = toldPath{med: -1, localPref: -1}
		for _, a := range u.PathAttributes {
			switch a := a.(type) {
			case *gobgp.PathAttributeAsPath:
				for _, segment := range a.Value {
					is.path += strings.Trim(fmt.Sprint(segment.GetAS()), "[]")
				}
			case *gobgp.PathAttributeMultiExitDisc:
				is.med = int64(a.Value)
			case *gobgp.PathAttributeLocalPref:
				is.localPref = int(a.Value)
			}
		}
		if is == want {
			return
		}
	}
}

// TestPreferenceOnTheWire has what peers are told: nothing else than before without a preference.
func TestPreferenceOnTheWire(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1")
	if err := s.SetAnnounced(t.Context(), prefixes("10.1.0.0/16")); err != nil {
		t.Fatal(err)
	}
	peers := map[string]*rawPeer{}
	for i, name := range []string{"b1", "c1", "i1"} {
		asn := []uint32{64513, 64514, 64512}[i]
		local, peer := addRaw(t, s, name, asn, nil)
		p := dialWhenActive(t, s, name, peer, local)
		p.establish(asn, fmt.Sprintf("10.0.0.%d", i+2))
		p.keepAlive()
		peers[name] = p
		waitState(t, s, name, "established")
	}
	usual := func() {
		t.Helper()
		hears(t, peers["b1"], toldPath{"64512", -1, -1})
		hears(t, peers["c1"], toldPath{"64512", -1, -1})
		hears(t, peers["i1"], toldPath{"", -1, 100})
	}
	usual()
	prefer(t, s, "b", 10)
	hears(t, peers["b1"], toldPath{"64512", 245, -1})
	hears(t, peers["c1"], toldPath{"64512 64512", -1, -1})
	prefer(t, s, "i", 7)
	hears(t, peers["i1"], toldPath{"", -1, 107})
	prefer(t, s, "b", 0)
	prefer(t, s, "i", 0)
	usual()
}

func TestSignals(t *testing.T) {
	n := func(asn uint32, preference int) Neighbor { return Neighbor{ASN: asn, Preference: preference} }
	w := Wanted{
		Neighbors: []Neighbor{n(1, 10), n(1, 0), n(2, 0), n(3, 5), n(4, 10), n(9, 200)},
		Absent:    []bgp.Absent{{ASN: 2, Preference: 3}, {ASN: 9, Preference: 255}},
	}
	for _, c := range []struct {
		n    Neighbor
		want signal
	}{
		{n(1, 10), signal{true, 245, 0}}, {n(1, 0), signal{true, 255, 0}}, {n(4, 10), signal{true, 245, 0}},
		{n(3, 5), signal{true, 250, 1}}, {n(2, 0), signal{true, 255, 2}}, {n(9, 200), signal{}},
	} {
		if is := newRanks(9, &w).signal(&c.n); is != c.want {
			t.Errorf("AS %d, preference %d: %+v, want %+v", c.n.ASN, c.n.Preference, is, c.want)
		}
	}
	for i := range 20 {
		w.Neighbors = append(w.Neighbors, n(uint32(100+i), 100+i))
	}
	last := n(5, 0)
	w.Neighbors = append(w.Neighbors, last)
	if is := newRanks(9, &w).signal(&last); is != (signal{prepend: maxPrepended}) {
		t.Errorf("the last: %+v", is)
	}
	if r := newRanks(9, &Wanted{Neighbors: []Neighbor{n(1, 0), n(2, 0), n(9, 255)}}); r != nil || r.signal(&last) != (signal{}) {
		t.Errorf("without preferences: %+v", r)
	}
}

func TestRaisedLocalPref(t *testing.T) {
	nlri := (&rawPeer{t: t}).nlri(prefixes("10.1.0.0/16")[0])
	for _, c := range []struct{ is, by, want uint32 }{{100, 10, 110}, {1<<32 - 2, 10, 1<<32 - 1}, {0, 10, 0}} {
		m, err := gobgp.NewBGPUpdateMessage([]gobgp.PathNLRI{nlri}, []gobgp.PathAttributeInterface{
			gobgp.NewPathAttributeOrigin(0), gobgp.NewPathAttributeLocalPref(c.is), gobgp.NewPathAttributeMultiExitDisc(7),
		}, []gobgp.PathNLRI{nlri}).Serialize()
		if err != nil {
			t.Fatal(err)
		}
		was := string(m)
		out := withLocalPref(m, outgoing{raise: c.by})
		got, err := gobgp.ParseBGPMessage(out)
		if err != nil || string(m) != was {
			t.Fatalf("%v, or the message itself was changed", err)
		}
		if lp := got.Body.(*gobgp.BGPUpdate).PathAttributes[1].(*gobgp.PathAttributeLocalPref).Value; lp != c.want {
			t.Errorf("%d and %d: %d, want %d", c.is, c.by, lp, c.want)
		}
		for cut := range len(m) { // GoBGP sends no such thing: it must not end the process all the same
			withLocalPref(m[:cut], outgoing{raise: c.by})
		}
	}
}
