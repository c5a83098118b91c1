package judge

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

// A model does what the tables and limits have to do, in the plainest way.
type model struct {
	max    int
	pass   map[netip.Prefix]bool
	routes []modelRoute // in order of arrival
}

type modelRoute struct {
	prefix   netip.Prefix
	med      uint32
	accepted bool
}

func (m *model) find(p netip.Prefix) int {
	return slices.IndexFunc(m.routes, func(r modelRoute) bool { return r.prefix == p })
}

func (m *model) withdraw(p netip.Prefix) {
	if i := m.find(p); i >= 0 {
		m.routes = slices.Delete(m.routes, i, i+1)
	}
}

func (m *model) announce(p netip.Prefix, med uint32) {
	if i := m.find(p); i >= 0 {
		m.routes[i].med = med
		return
	}
	m.routes = append(m.routes, modelRoute{p, med, false})
	m.fill()
}

// fill lets in those that came first.
func (m *model) fill() {
	n := m.count(true)
	for i := range m.routes {
		r := &m.routes[i]
		if !r.accepted && m.pass[r.prefix] && (m.max == 0 || n < m.max) {
			r.accepted = true
			n++
		}
	}
}

// count counts what is accepted, or what waits.
func (m *model) count(accepted bool) int {
	n := 0
	for _, r := range m.routes {
		if m.pass[r.prefix] && r.accepted == accepted {
			n++
		}
	}
	return n
}

// repolicy applies another policy.
func (m *model) repolicy(max int) {
	m.max = max
	n := 0
	for i := range m.routes {
		r := &m.routes[i]
		r.accepted = r.accepted && m.pass[r.prefix] && (max == 0 || n < max)
		if r.accepted {
			n++
		}
	}
	m.fill()
}

// someRoutes are the prefixes of the model's tests, by family.
func someRoutes(f int) []netip.Prefix {
	var ps []netip.Prefix
	for i := range 24 {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i), 0, 0}), 16+i%16).Masked()
		if f == IPv6 {
			p = netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, byte(i), 9: byte(i)}), 24+4*i).Masked()
		}
		ps = append(ps, p)
	}
	return ps
}

// fieldOf writes prefixes as in an NLRI field.
func fieldOf(ps ...netip.Prefix) (b []byte) {
	for _, p := range ps {
		b = append(b, byte(p.Bits()))
		b = append(b, p.Addr().AsSlice()[:(p.Bits()+7)/8]...)
	}
	return b
}

func medAttr(med uint32) string { return attr(0x80, attrMED, fmt.Sprintf("%08x", med)) }

// write writes an UPDATE that withdraws and announces prefixes of a family.
func write(f int, withdrawn, announced []netip.Prefix, med uint32) []byte {
	hexed := func(b []byte) string { return fmt.Sprintf("%x", b) }
	switch {
	case f == IPv4 && len(announced) == 0:
		return updateMessage(fieldOf(withdrawn...), nil, nil)
	case f == IPv4:
		return updateMessage(fieldOf(withdrawn...), unhex(usual+medAttr(med)), fieldOf(announced...))
	}
	attrs := ""
	if len(withdrawn) > 0 {
		attrs = attr(0x80, attrMPUnreach, "000201"+hexed(fieldOf(withdrawn...)))
	}
	if len(announced) > 0 {
		attrs += origin + path + medAttr(med) + attr(0x80, attrMPReach, "000201"+"10"+hop6+"00"+hexed(fieldOf(announced...)))
	}
	return updateMessage(nil, unhex(attrs), nil)
}

// want is what a reader has to have.
func (m *model) want(f int) map[netip.Prefix]string {
	want := map[netip.Prefix]string{}
	for _, r := range m.routes {
		if r.accepted {
			via := ""
			if f == IPv6 {
				via = " via 2001:db8::1"
			}
			want[r.prefix] = fmt.Sprintf("+%s 4=%08x", via, r.med)
		}
	}
	return want
}

// TestModel compares the tables and limits with the model over random UPDATEs
// and policies.
func TestModel(t *testing.T) {
	for seed := range uint64(150) {
		f := int(seed % 2)
		rnd := rand.New(rand.NewPCG(seed, 1))
		routes := someRoutes(f)
		m := &model{max: rnd.IntN(12), pass: map[netip.Prefix]bool{}}
		for _, p := range routes {
			m.pass[p] = rnd.IntN(4) > 0
		}
		accept := func(p netip.Prefix) bool { return m.pass[p] }
		u := setup{plain: true, policy: &Policy{Accept: accept, MaxPrefixes: m.max}}
		s, r := u.establish(t), u.reader()
		for step := range 120 {
			var out []byte
			var err error
			if rnd.IntN(5) == 0 {
				// Some prefixes pass or fail now, and the limit may differ.
				changed := map[netip.Prefix]bool{}
				for range rnd.IntN(4) {
					p := routes[rnd.IntN(len(routes))]
					m.pass[p], changed[p] = rnd.IntN(3) > 0, true
				}
				if rnd.IntN(2) == 0 {
					m.max = rnd.IntN(12)
				}
				affected := func(p netip.Prefix) bool { return changed[p] }
				if rnd.IntN(3) == 0 {
					affected = nil
				}
				m.repolicy(m.max)
				out, err = s.SetPolicy(nil, Policy{Accept: accept, MaxPrefixes: m.max}, affected)
			} else {
				out, err = m.randomUpdate(s, rnd, f, routes)
			}
			if err != nil {
				t.Fatal(err)
			}
			r.readAll(t, out)
			if want := m.want(f); !equalRoutes(r.routes, want) {
				t.Fatalf("seed %d, step %d: handed on is\n%v\nnot\n%v", seed, step, r.routes, want)
			}
			want := FamilyCounts{len(m.routes), m.count(true), m.count(false), 0, 0}
			if got := s.Counts().Families[f]; got != want {
				t.Fatalf("seed %d, step %d: counts are %+v, not %+v", seed, step, got, want)
			}
			checkCounts(t, s, r)
		}
	}
}

// randomUpdate gives the same UPDATE to the model and the session.
func (m *model) randomUpdate(s *Session, rnd *rand.Rand, f int, routes []netip.Prefix) ([]byte, error) {
	some := func() (ps []netip.Prefix) {
		for range rnd.IntN(5) {
			ps = append(ps, routes[rnd.IntN(len(routes))])
		}
		return ps
	}
	withdrawn, announced, med := some(), some(), uint32(rnd.IntN(4))
	if len(withdrawn)+len(announced) == 0 {
		return nil, nil
	}
	for _, p := range withdrawn {
		if !slices.Contains(announced, p) {
			m.withdraw(p)
		}
	}
	m.fill()
	for _, p := range announced {
		m.announce(p, med)
	}
	return s.FromPeer(nil, write(f, withdrawn, announced, med))
}

func equalRoutes(a, b map[netip.Prefix]string) bool {
	if len(a) != len(b) {
		return false
	}
	for p, x := range a {
		if b[p] != x {
			return false
		}
	}
	return true
}
