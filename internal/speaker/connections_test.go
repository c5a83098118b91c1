package speaker

import (
	"context"
	"math"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"warren/bgp"
	"warren/bgp/sockets"
	"warren/internal/speaker/wire"
)

// A stranger is a process that somebody else has taken over: the other end of this one's sockets.
type stranger struct {
	t       *testing.T
	p       *process
	packets *wire.Packets
	broken  chan error
}

func newStranger(t *testing.T, neighbors ...bgp.Neighbor) *stranger {
	t.Helper()
	s := New(Config{ASN: 64512, RouterID: netip.MustParseAddr("10.0.0.1"), sockets: sockets.On(testPort + 1)})
	s.Want(bgp.Wanted{Neighbors: neighbors})
	ours, theirs, err := wire.Pair(unix.SOCK_SEQPACKET)
	if err != nil {
		t.Fatal(err)
	}
	x := &stranger{t: t, p: newProcess(s), broken: make(chan error, 1)}
	x.p.ended, x.p.end = context.WithCancelCause(t.Context())
	if x.p.packets, err = wire.NewPackets(ours); err != nil {
		t.Fatal(err)
	}
	if x.packets, err = wire.NewPackets(theirs); err != nil {
		t.Fatal(err)
	}
	go func() { x.broken <- x.p.open() }()
	t.Cleanup(func() {
		x.p.end(nil)
		x.packets.Close()
		x.p.packets.Close()
		x.p.pool.Close()
	})
	return x
}

func (x *stranger) ask(req wire.Request) (wire.Answer, net.Listener) {
	x.t.Helper()
	if err := x.packets.Send(req, nil); err != nil {
		x.t.Fatal(err)
	}
	return x.answer()
}

func (x *stranger) answer() (wire.Answer, net.Listener) {
	x.t.Helper()
	var is wire.Answer
	f, err := x.packets.Receive(&is)
	if err != nil {
		x.t.Fatal(err)
	}
	if f == nil {
		return is, nil
	}
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		x.t.Fatal(err)
	}
	x.t.Cleanup(func() { l.Close() })
	return is, l
}

// What is opened is for neighbors that are wanted, at their addresses, and bounded.
func TestOpensOnlyWhatIsWanted(t *testing.T) {
	n := bgp.Neighbor{Name: "b", LocalAddr: netip.MustParseAddr("127.9.4.1"), PeerAddr: netip.MustParseAddr("127.9.4.2"), ASN: 64513}
	x := newStranger(t, n)
	id := x.p.s.table.wanted["b"].id
	is, l := x.ask(wire.Request{Op: wire.OpListen, Call: 1, Neighbor: id})
	if l == nil || is.Error != "" {
		t.Fatalf("no listener: %+v", is)
	}
	if got := l.Addr().(*net.TCPAddr).AddrPort(); got != netip.AddrPortFrom(n.LocalAddr, testPort+1) {
		t.Errorf("the listener is at %v", got)
	}
	for _, other := range []uint32{0, id + 1, 1 << 31} {
		if is, l := x.ask(wire.Request{Op: wire.OpListen, Call: 2, Neighbor: other}); l != nil || is.Error == "" || !is.Canceled {
			t.Errorf("neighbor %d has a listener: %+v", other, is)
		}
	}
	if is, l := x.ask(wire.Request{Op: wire.OpDial, Call: 3, Neighbor: id, Timeout: time.Hour}); l != nil || is.Error == "" || is.Timeout {
		t.Errorf("a dial that is refused: %+v", is)
	}

	// However much is asked for, it is bounded.
	const many = 200
	refused := 0
	for call := range uint32(many) {
		if is, _ := x.ask(wire.Request{Op: wire.OpDial, Call: 10 + call, Neighbor: id}); is.Error == errTooMany.Error() {
			refused++
		}
	}
	if refused == 0 {
		t.Errorf("%d connections at once are not too many", many)
	}

	// A neighbor that is not wanted any more has nothing any more, in another session neither.
	n.Generation++
	x.p.s.Want(bgp.Wanted{Neighbors: []bgp.Neighbor{n}})
	if is, l := x.ask(wire.Request{Op: wire.OpListen, Call: 500, Neighbor: id}); l != nil || !is.Canceled {
		t.Errorf("the session before has a listener: %+v", is)
	}
}

// TestNeighborsOfOneAddress: neighbors on one network come to one address, and each has a
// listener there as long as it is wanted.
func TestNeighborsOfOneAddress(t *testing.T) {
	local := netip.MustParseAddr("127.9.5.1")
	on := func(name, peer string) bgp.Neighbor {
		return bgp.Neighbor{Name: name, LocalAddr: local, PeerAddr: netip.MustParseAddr(peer), ASN: 64513, Network: []netip.Prefix{netip.PrefixFrom(local, 24)}}
	}
	a, b := on("a", "127.9.5.2"), on("b", "127.9.5.3")
	x := newStranger(t, a, b)
	for call, name := range []string{"a", "b"} {
		is, l := x.ask(wire.Request{Op: wire.OpListen, Call: uint32(call + 1), Neighbor: x.p.s.table.wanted[name].id})
		if l == nil {
			t.Fatalf("%s has no listener: %+v", name, is)
		}
		l.Close()
	}
	free := func() bool {
		l, err := sockets.On(testPort+1).Listen(t.Context(), &a)
		if err != nil {
			return false
		}
		l.Close()
		return true
	}
	x.p.s.Want(bgp.Wanted{Neighbors: []bgp.Neighbor{b}})
	if err := x.p.pool.Keep(x.p.s.neighborsOnLANs); err != nil || free() {
		t.Errorf("the address is free while b is wanted: %v", err)
	}
	x.p.s.Want(bgp.Wanted{})
	if err := x.p.pool.Keep(x.p.s.neighborsOnLANs); err != nil {
		t.Error(err)
	}
	// The descriptors that were sent hold the address too, until they are closed.
	for deadline := time.Now().Add(30 * time.Second); !free(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the address is not free")
		}
	}
}

// TestTTLSecurityIsReloaded: neighbors of one address that all get another ttl_security have listeners again,
// also where they ask for them before what is not wanted any more was closed.
func TestTTLSecurityIsReloaded(t *testing.T) {
	local := netip.MustParseAddr("127.9.6.1")
	var all []bgp.Neighbor
	for i, name := range []string{"a", "b"} {
		peer := netip.AddrFrom4([4]byte{127, 9, 6, byte(i + 2)})
		all = append(all, bgp.Neighbor{Name: name, LocalAddr: local, PeerAddr: peer, ASN: 64513, Network: []netip.Prefix{netip.PrefixFrom(local, 24)}})
	}
	x := newStranger(t, all...)
	call := uint32(0)
	listens := func(name string) {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
			call++
			is, l := x.ask(wire.Request{Op: wire.OpListen, Call: call, Neighbor: x.p.s.table.wanted[name].id})
			switch {
			case l != nil:
				l.Close()
				return
			// The descriptor that was sent before may not be closed yet at this end.
			case !strings.Contains(is.Error, "in use") || time.Now().After(deadline):
				t.Fatalf("%s has no listener: %+v", name, is)
			}
		}
	}
	for range 3 {
		listens("a")
		listens("b")
		for i := range all {
			all[i].TTLSecurity = !all[i].TTLSecurity
			all[i].Generation++
		}
		x.p.s.Want(bgp.Wanted{Neighbors: all})
	}
}

// A request that cannot be ends the process.
func TestAsksForWhatCannotBe(t *testing.T) {
	for _, req := range []wire.Request{{Op: "exec", Call: 1}, {Op: wire.OpListen}, {}} {
		x := newStranger(t)
		if err := x.packets.Send(req, nil); err != nil {
			t.Fatal(err)
		}
		if err := <-x.broken; err == nil {
			t.Errorf("%+v is answered", req)
		}
	}
}

// So does what cannot be told.
func FuzzTake(f *testing.F) {
	event, _ := wire.Append(nil, wire.KindEvent, wire.Event{ID: 1, Kind: bgp.SessionDown})
	status, _ := wire.Append(nil, wire.KindNeighbors, wire.Neighbors{Changed: []wire.Status{{ID: 1, NeighborStatus: bgp.NeighborStatus{State: "established"}}}})
	f.Add(uint8(wire.KindRoutes), []byte{1, 1, 2, 16, 10, 1})
	f.Add(uint8(wire.KindEvent), event[5:])
	f.Add(uint8(wire.KindNeighbors), status[5:])
	f.Add(uint8(wire.KindSettled), []byte(`{"Serial":18446744073709551615}`))
	f.Add(uint8(wire.KindServing), []byte(`{"Listener":1,"Error":"x"}`))
	f.Fuzz(func(t *testing.T, kind uint8, payload []byte) {
		s := New(Config{ASN: 64512, RouterID: netip.MustParseAddr("10.0.0.1"), MemoryMax: 1})
		n := neighbor("a", 1)
		n.LocalAddr, n.PeerAddr = netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2")
		n.Import = bgp.Policy{Prefixes: []bgp.Filter{{Prefix: prefix("10.0.0.0/8"), Le: 32}}}
		s.Want(bgp.Wanted{Neighbors: []bgp.Neighbor{n}})
		p := newProcess(s)
		_ = p.take(wire.Kind(kind), payload)
		changes, _ := s.TakeChanges(math.MaxInt)
		for prefix, r := range changes {
			if len(r.Ways) != 1 || r.Ways[0] != (bgp.Way{Neighbor: "a"}) || !n.Import.Matches(prefix, false) {
				t.Fatalf("%v by %v is there", prefix, r.Ways)
			}
		}
		if st := s.Neighbors(); len(st) != 1 || st[0].Name != "a" || st[0].ASN != n.ASN {
			t.Fatalf("the neighbors are %+v", st)
		}
		if s.settled.serial > s.wanted.serial {
			t.Fatal("more is settled than was wanted")
		}
	})
}
