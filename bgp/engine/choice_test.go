package engine

import (
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// A hearer is a raw peer that remembers what it is told: the length of the path to each prefix.
type hearer struct {
	mu    sync.Mutex
	paths map[netip.Prefix]int
	count int // of UPDATEs that withdraw something
}

// listenTo makes a neighbor that is sent all routes, and listens.
func listenTo(t *testing.T, s *Speaker, name string, asn uint32, id string) *hearer {
	t.Helper()
	local, peer := addRaw(t, s, name, asn, func(n *Neighbor) { n.Export = Policy{Any: true} })
	p := dialWhenActive(t, s, name, peer, local)
	p.establish(asn, id)
	waitState(t, s, name, "established")
	p.keepAlive()
	l := &hearer{paths: map[netip.Prefix]int{}}
	go func() {
		for {
			m := p.readForever()
			if m == nil {
				return
			}
			if u, ok := m.Body.(*gobgp.BGPUpdate); ok {
				l.take(u)
			}
		}
	}()
	return l
}

// readForever is read without a bound for the wait.
func (p *rawPeer) readForever() *gobgp.BGPMessage {
	p.conn.SetReadDeadline(time.Time{})
	header := make([]byte, gobgp.BGP_HEADER_LENGTH)
	if _, err := io.ReadFull(p.conn, header); err != nil {
		return nil
	}
	body := make([]byte, int(header[16])<<8|int(header[17])-len(header))
	if _, err := io.ReadFull(p.conn, body); err != nil {
		return nil
	}
	m, err := gobgp.ParseBGPMessage(append(header, body...))
	if err != nil {
		return nil
	}
	return m
}

func (l *hearer) take(u *gobgp.BGPUpdate) {
	l.mu.Lock()
	defer l.mu.Unlock()
	gone, come, length := u.WithdrawnRoutes, u.NLRI, 0
	for _, a := range u.PathAttributes {
		switch a := a.(type) {
		case *gobgp.PathAttributeMpUnreachNLRI:
			gone = append(gone, a.Value...)
		case *gobgp.PathAttributeMpReachNLRI:
			come = append(come, a.Value...)
		case *gobgp.PathAttributeAsPath:
			for _, s := range a.Value {
				length += len(s.GetAS())
			}
		}
	}
	if len(gone) > 0 {
		l.count++
	}
	for _, n := range gone {
		delete(l.paths, netip.MustParsePrefix(n.NLRI.String()))
	}
	for _, n := range come {
		l.paths[netip.MustParsePrefix(n.NLRI.String())] = length - 1 // this router's own number
	}
}

func (l *hearer) heard() (paths map[netip.Prefix]int, withdrawals int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.paths), l.count
}

// inGoBGP counts the paths that GoBGP has to each IPv4 prefix.
func inGoBGP(t *testing.T, s *Speaker) map[netip.Prefix]int {
	t.Helper()
	all := map[netip.Prefix]int{}
	req := apiutil.ListPathRequest{TableType: api.TableType_TABLE_TYPE_GLOBAL, Family: gobgp.RF_IPv4_UC}
	err := s.server.ListPath(req, func(p gobgp.NLRI, paths []*apiutil.Path) {
		all[netip.MustParsePrefix(p.String())] = len(paths)
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestGoBGPHasTheBestTwo has four neighbors announce the same: GoBGP is given the two best, all four
// are ways, and what becomes better, or the best because others go, is given and announced. When the
// best goes nobody is told that the prefix is gone.
func TestGoBGPHasTheBestTwo(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1")
	l := listenTo(t, s, "listener", 64600, "10.0.0.99")
	v := wayView{}
	peers := map[string]*rawPeer{}
	path := func(name string, length int) []uint32 {
		return slices.Repeat([]uint32{64513 + uint32(name[0]-'a')}, length)
	}
	one := netip.MustParsePrefix(both4)
	want := func(ways string, given, length int) {
		t.Helper()
		v.want(t, s, both4, ways)
		eventually(t, 40*time.Second, func() string {
			has := inGoBGP(t, s)[one]
			if told, _ := l.heard(); has != given || told[one] != length {
				return fmt.Sprintf("%s: GoBGP has %d paths, want %d; told is one of length %d, want %d", ways, has, given, told[one], length)
			}
			return ""
		})
	}
	for i, name := range []string{"a", "b", "c", "d"} {
		peers[name] = rawSession(t, s, name, 64513+uint32(i), fmt.Sprintf("10.0.0.%d", 10+i), nil)
		peers[name].updatePath(path(name, 1+i), prefixes(both4), nil)
		want([]string{"a |", "a | b", "a | b c", "a | b c d"}[i], min(i+1, 2), 1)
	}
	peers["a"].updatePath(nil, nil, prefixes(both4))
	want("b | c d", 2, 2)
	peers["d"].updatePath(path("d", 1), prefixes(both4), nil) // withheld until now; the others stay
	want("d | b c", 3, 1)
	peers["b"].conn.Close()
	want("d | c", 2, 1)
	peers["a"].updatePath(path("a", 4), prefixes(both4), nil)
	want("d | c a", 2, 1)
	peers["d"].updatePath(path("d", 6), prefixes(both4), nil) // GoBGP has it, and it is the worst now
	want("c | a d", 3, 3)
	if err := s.SetPolicy(t.Context(), "c", Policy{}, Policy{}, 0, 0); err != nil {
		t.Fatal(err)
	}
	want("a | d", 2, 4)
	peers["a"].conn.Close()
	peers["d"].conn.Close()
	want("|", 0, 0)
	if _, withdrawals := l.heard(); withdrawals != 1 {
		t.Errorf("%d UPDATEs with withdrawals, want one at the end", withdrawals)
	}
}

// TestChoiceAgainstAModel has six peers announce, withdraw, go and come at random: in the end others
// are told the shortest path to each prefix that is announced, and no other prefix.
func TestChoiceAgainstAModel(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1")
	l := listenTo(t, s, "listener", 64600, "10.0.0.99")
	r := rand.New(rand.NewPCG(3, 5))
	peers := make([]*modelPeer, 6)
	up := func(i int) {
		p := peers[i]
		p.conn = dialWhenActive(t, s, p.name, p.peer, p.local)
		p.conn.establish(p.asn, fmt.Sprintf("10.0.2.%d", 1+i))
		p.conn.serve()
		waitState(t, s, p.name, "established")
		for x, path := range p.paths {
			p.conn.updatePath(path, []netip.Prefix{x}, nil)
		}
	}
	for i := range peers {
		p := &modelPeer{name: string(rune('a' + i)), asn: 64513 + uint32(i), paths: map[netip.Prefix][]uint32{}}
		p.local, p.peer = addRaw(t, s, p.name, p.asn, nil)
		peers[i] = p
		up(i)
	}
	universe := manyPrefixes(0, 8)
	withheld := 0
	for round := range 40 {
		for range 1 + r.IntN(30) {
			p, x := peers[r.IntN(len(peers))], universe[r.IntN(len(universe))]
			if r.IntN(4) == 0 {
				p.conn.update(p.asn, nil, []netip.Prefix{x})
				delete(p.paths, x)
				continue
			}
			p.paths[x] = slices.Repeat([]uint32{p.asn}, 1+r.IntN(5))
			p.conn.updatePath(p.paths[x], []netip.Prefix{x}, nil)
		}
		gone := -1
		if round%8 == 7 { // not so often that the speaker makes them wait
			gone = r.IntN(len(peers))
			peers[gone].conn.conn.Close()
			clear(peers[gone].paths)
		}
		want := map[netip.Prefix]int{}
		all := 0
		for _, p := range peers {
			all += len(p.paths)
			for x, path := range p.paths {
				if shortest, ok := want[x]; !ok || len(path) < shortest {
					want[x] = len(path)
				}
			}
		}
		eventually(t, 40*time.Second, func() string {
			for i, p := range peers {
				if i != gone && statusOf(s, p.name).State != stateEstablished { // on a machine that stands still for a while
					up(i)
				}
			}
			if is, _ := l.heard(); !maps.Equal(is, want) {
				return fmt.Sprintf("round %d: told is %v, want %v", round, is, want)
			}
			return ""
		})
		given := 0
		for _, n := range inGoBGP(t, s) {
			given += n
		}
		withheld += all - given
		if gone >= 0 {
			up(gone)
		}
	}
	if withheld == 0 {
		t.Error("nothing was ever withheld from GoBGP")
	}
}
