//go:build !race

// Without the race detector: it multiplies memory, and when a hundred sessions
// end at once it sees GoBGP (4.8.0, handleFSMMessage and prePolicyFilterpath)
// write and read the copies of one neighbor's AfiSafis.

package engine

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/osrg/gobgp/v4/api"
)

// TestMemoryOfIdleNeighbors measures established neighbors with nothing to say.
// In GoBGP as released, 392 KB of it are two empty tables, each of 2048 shards
// with a lock and a map; in the copy that Warren is built with they have 64.
// What this package adds, and the far ends in this process, is small.
func TestMemoryOfIdleNeighbors(t *testing.T) {
	const n = 100
	limit := 120 << 10
	if !amended {
		limit = 480 << 10
	}
	s := startSpeaker(t, 64512, "10.0.0.1")
	measure := func() int {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc + m.StackInuse)
	}
	before, goroutines := measure(), runtime.NumGoroutine()
	peers := make([]*rawPeer, n)
	for i := range peers {
		name := fmt.Sprintf("p%d", i)
		local, peer := netip.AddrFrom4([4]byte{127, testNet, byte(i), 101}), netip.AddrFrom4([4]byte{127, testNet, byte(i), 102})
		if err := s.AddNeighbor(t.Context(), Neighbor{Name: name, LocalAddr: local, PeerAddr: peer, ASN: 64513,
			Import: Policy{Prefixes: []Filter{filter(fmt.Sprintf("10.%d.0.0/16", i), 0, 24)}}, Export: Policy{Own: true}, MaxPrefixes: 1000}); err != nil {
			t.Fatal(err)
		}
		waitState(t, s, name, "active")
		peers[i] = dialRaw(t, peer, local)
		peers[i].establish(64513, netip.AddrFrom4([4]byte{10, 0, 1, byte(i)}).String())
		waitState(t, s, name, "established")
	}
	each := (measure() - before) / n
	t.Logf("%d neighbors: %d KB of heap and stack and %.1f goroutines each", n, each>>10, float64(runtime.NumGoroutine()-goroutines)/n)
	if each > limit {
		t.Errorf("%d bytes each, want at most %d", each, limit)
	}

	start := time.Now()
	peers[n-1].update(64513, somePrefixes(n-1, 250), nil)
	last := fmt.Sprintf("p%d", n-1)
	eventually(t, 40*time.Second, func() string {
		if got := len(s.Routes()); got != 250 {
			return fmt.Sprintf("%d routes", got)
		}
		return ""
	})
	t.Logf("250 prefixes from %s were routes after %v", last, time.Since(start))
	start = time.Now()
	if err := s.SetAnnounced(t.Context(), manyPrefixes(0, 100)); err != nil {
		t.Fatal(err)
	}
	t.Logf("announcing 100 prefixes to %d neighbors took %v", n, time.Since(start))
}

func somePrefixes(i, n int) []netip.Prefix {
	ps := make([]netip.Prefix, n)
	for j := range ps {
		ps[j] = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i), byte(j), 0}), 24)
	}
	return ps
}

// TestMemoryIsGivenBack has a peer announce a large table that is accepted, and go: the
// system has the memory back soon.
func TestMemoryIsGivenBack(t *testing.T) {
	const n, slack = 100000, 40 // MB
	s := startSpeaker(t, 64512, "10.0.0.1")
	p := rawSession(t, s, "b", 64513, "10.0.0.2", nil)
	debug.FreeOSMemory()
	before := residentMB(t)
	p.update(64513, manyPrefixes(0, n), nil)
	eventually(t, 2*time.Minute, func() string {
		if st := statusOf(s, "b"); st.Accepted != n || len(s.Routes()) != n {
			return fmt.Sprintf("%+v", st)
		}
		return ""
	})
	full := residentMB(t)
	p.conn.Close()
	eventually(t, 2*time.Minute, func() string {
		if now := residentMB(t); now > before+slack {
			return fmt.Sprintf("%d MB before, %d with the table, still %d", before, full, now)
		}
		return ""
	})
	t.Logf("%d MB before, %d with the table, %d after", before, full, residentMB(t))
	if full < before+2*slack {
		t.Errorf("the table takes no more than %d MB: this shows nothing", full-before)
	}
}

// TestMemoryOfWithdrawnTable has a peer withdraw a large table but for a few prefixes, in a session
// that goes on: neither here nor in GoBGP anything is left that is as large as the table was.
func TestMemoryOfWithdrawnTable(t *testing.T) {
	const n, kept, most = 100000, 10, 80 // bytes a prefix
	s := startSpeaker(t, 64512, "10.0.0.1")
	p := rawSession(t, s, "b", 64513, "10.0.0.2", nil)
	heap := func() int {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	before := heap()
	have := func(want int) {
		t.Helper()
		eventually(t, 2*time.Minute, func() string {
			s.TakeChanges()
			if got := len(s.Routes()); got != want {
				return fmt.Sprintf("%d routes, want %d", got, want)
			}
			return ""
		})
	}
	p.update(64513, manyPrefixes(0, n), nil)
	have(n)
	full := heap() - before
	p.update(64513, nil, manyPrefixes(0, n-kept))
	have(kept)
	eventually(t, time.Minute, func() string { // GoBGP is slower
		if left := heap() - before; left > n*most {
			return fmt.Sprintf("%d bytes a prefix of the heap with the table, still %d", full/n, left/n)
		}
		return ""
	})
	t.Logf("%d bytes a prefix of the heap with the table, %d left", full/n, (heap()-before)/n)
	if full < 4*n*most {
		t.Errorf("%d bytes a prefix with the table: this shows nothing", full/n)
	}
}

// TestMemoryOfRefusedPrefixes has a peer announce much more than is accepted.
func TestMemoryOfRefusedPrefixes(t *testing.T) {
	const n, limit = 200000, 250 // bytes each
	s := startSpeaker(t, 64512, "10.0.0.1")
	p := rawSession(t, s, "b", 64513, "10.0.0.2", func(n *Neighbor) { n.MaxPrefixes = 10 })
	debug.FreeOSMemory()
	heap := func() int {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	before := heap()
	p.update(64513, manyPrefixes(0, n), nil)
	eventually(t, 2*time.Minute, func() string {
		if st := statusOf(s, "b"); st.Received != n || st.Refused != n-10 {
			return fmt.Sprintf("%+v", st)
		}
		return ""
	})
	each := (heap() - before) / n
	t.Logf("%d bytes for each refused prefix", each)
	if each > limit {
		t.Errorf("a refused prefix costs %d bytes, more than %d", each, limit)
	}
}

// TestGarbageOfRejectedPaths has a peer announce a table that the other neighbors are not sent, with one and with
// several of them: what GoBGP makes for each of them and throws away is little.
func TestGarbageOfRejectedPaths(t *testing.T) {
	const n, few, many = 5000, 1, 9
	limit := 250 // bytes for each prefix and neighbor
	if !amended {
		limit = 1000
	}
	garbage := func(others int) int {
		s := startSpeaker(t, 64512, "10.0.0.1")
		for i := range others {
			rawSession(t, s, fmt.Sprintf("o%d", i), 64600+uint32(i), fmt.Sprintf("10.0.1.%d", i+1), nil)
		}
		p := rawSession(t, s, "b", 64513, "10.0.0.2", nil)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		p.update(64513, manyPrefixes(0, n), nil)
		eventually(t, time.Minute, func() string { // asking GoBGP would make garbage too
			s.mu.Lock()
			defer s.mu.Unlock()
			if got := s.neighbors["b"].routes; got != n {
				return fmt.Sprintf("GoBGP has said of %d routes that they are best, not of %d", got, n)
			}
			return ""
		})
		runtime.ReadMemStats(&after)
		return int(after.TotalAlloc-before.TotalAlloc) / n
	}
	each := (garbage(many) - garbage(few)) / (many - few)
	t.Logf("%d bytes for each prefix and neighbor", each)
	if each > limit {
		t.Errorf("a path that a neighbor is not sent costs %d bytes, more than %d", each, limit)
	}
}

// residentMB is what the process has in memory.
func residentMB(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	var size, resident int
	if _, err := fmt.Sscan(string(text), &size, &resident); err != nil {
		t.Fatal(err)
	}
	return resident * os.Getpagesize() >> 20
}

// BenchmarkImport is one peer's table with few and with many other neighbors,
// whose policies GoBGP walks for each path.
func BenchmarkImport(b *testing.B) {
	for _, others := range []int{0, 200, 1000} {
		b.Run(fmt.Sprintf("others=%d", others), func(b *testing.B) {
			s := startSpeaker(b, 64512, "10.0.0.1")
			for i := range others {
				a := [4]byte{127, testNet, byte(200 + i/60), byte(i%60*4 + 1)}
				n := Neighbor{Name: fmt.Sprintf("o%d", i), LocalAddr: netip.AddrFrom4(a), PeerAddr: netip.AddrFrom4(a).Next(), ASN: 64513,
					Import: Policy{Prefixes: []Filter{filter("10.0.0.0/8", 0, 24)}}, Export: Policy{Own: true}}
				if err := s.AddNeighbor(b.Context(), n); err != nil {
					b.Fatal(err)
				}
			}
			p := rawSession(b, s, "b", 64513, "10.0.0.2", func(n *Neighbor) {
				n.Import = Policy{Prefixes: []Filter{filter("20.0.0.0/8", 0, 32)}}
			})
			const batch = 20000
			for b.Loop() {
				p.update(64513, manyPrefixes(0, batch), nil)
				waitCount(b, s, batch)
				b.StopTimer()
				p.update(64513, nil, manyPrefixes(0, batch))
				waitCount(b, s, 0)
				b.StartTimer()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/batch, "ns/prefix")
		})
	}
}

func waitCount(b *testing.B, s *Speaker, want int) {
	b.Helper()
	eventually(b, time.Minute, func() string {
		s.mu.Lock()
		got := s.rib.known.Len()
		s.mu.Unlock()
		if got != want {
			return fmt.Sprintf("%d routes, not %d", got, want)
		}
		return ""
	})
}

// TestMemoryOfUnreadStreams measures 1,500 RPCs that nobody reads, their clients included, which
// are in this process too.
func TestMemoryOfUnreadStreams(t *testing.T) {
	const prefixes, limit = 20000, 150 << 20
	s := startSpeaker(t, 64512, "10.0.0.1")
	if err := s.SetAnnounced(t.Context(), hostRoutes(prefixes)); err != nil {
		t.Fatal(err)
	}
	addr := serveInspection(t, s.inspection, 64)
	measure := func() int {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapInuse + m.StackInuse)
	}
	before, most := measure(), 0
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	attackUnread(ctx, t, addr, 250, 6)
	news := hostRoutes(prefixes + 5000)
	for n := range 10 { // and there is something to watch
		if err := s.SetAnnounced(t.Context(), news[:prefixes+500*n]); err != nil {
			t.Fatal(err)
		}
		most = max(most, measure()-before)
		time.Sleep(300 * time.Millisecond)
	}
	t.Logf("%d MB at most", most>>20)
	if most > limit {
		t.Errorf("%d bytes, want at most %d", most, limit)
	}
	reads, enough := context.WithTimeout(ctx, 2*time.Minute)
	defer enough()
	client := inspectClient(t, addr)
	if all, err := patiently(reads, func() ([]*api.ListPeerResponse, error) {
		return collect(client.ListPeer(reads, &api.ListPeerRequest{}))
	}); err != nil {
		t.Errorf("a client that reads: %v, %v", all, err)
	}
}
