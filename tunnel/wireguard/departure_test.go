package wireguard

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// sends is an exit that notes what was sent.
type sends struct {
	t      *testing.T
	trains [][][]byte // messages of each
	to     []netip.AddrPort
	err    error
}

func (s *sends) problem() error { return nil }

func (s *sends) send(tr *train, to netip.AddrPort, _ netip.Addr) error {
	s.t.Helper()
	var msgs [][]byte
	bytes := 0
	for _, p := range tr.parts {
		bytes += len(p)
		for msg := range slices.Chunk(p, tr.size) {
			msgs = append(msgs, slices.Clone(msg))
		}
	}
	for _, msg := range msgs[:len(msgs)-1] {
		if len(msg) != tr.size {
			s.t.Errorf("a message of %d bytes amid those of %d", len(msg), tr.size)
		}
	}
	if len(tr.parts) > maxParts || len(msgs) != tr.count || tr.count > maxSegments || bytes != tr.bytes || bytes > maxDatagram {
		s.t.Errorf("train of %d parts, %d messages (%d) and %d bytes (%d)", len(tr.parts), len(msgs), tr.count, bytes, tr.bytes)
	}
	s.trains = append(s.trains, msgs)
	s.to = append(s.to, to)
	return s.err
}

func newDeparture(t *testing.T) (*departure, *sends) {
	s := newStage(t, LinkConfig{}, 0)
	x := &sends{t: t}
	s.l.out = x
	return &departure{link: s.l}, x
}

// batchOf is messages of some lengths, numbered from first on.
func batchOf(first uint32, lengths ...int) *batch {
	b := newBatch()
	b.letRead()
	b.sealed.to = farAddr
	for i, n := range lengths {
		binary.BigEndian.PutUint32(b.sealed.room(n), first+uint32(i))
		b.sealed.add(n)
	}
	return b
}

// Whatever is handed to a departure leaves, in order and in trains that the kernel takes,
// and nothing is held when nothing else comes.
func TestDepartureSendsAll(t *testing.T) {
	d, x := newDeparture(t)
	r := rand.New(rand.NewPCG(1, 2))
	var want []int
	for range 2000 {
		var lengths []int
		for range r.IntN(4) {
			lengths = append(lengths, slices.Repeat([]int{32 + r.IntN(3)*500}, r.IntN(60))...)
			lengths = append(lengths, 32+r.IntN(1400))
		}
		more := r.IntN(4) > 0
		d.hand(batchOf(uint32(len(want)), lengths...), more)
		want = append(want, lengths...)
		if !more && (len(d.held) > 0 || d.next.count > 0) {
			t.Fatalf("%d batches and %d messages held", len(d.held), d.next.count)
		}
		if len(d.held) > maxParts {
			t.Fatalf("%d batches held", len(d.held))
		}
	}
	d.hand(batchOf(0), false)
	got := slices.Concat(x.trains...)
	if len(got) != len(want) {
		t.Fatalf("%d messages of %d left", len(got), len(want))
	}
	for i, msg := range got {
		if n := binary.BigEndian.Uint32(msg); int(n) != i || len(msg) != want[i] {
			t.Fatalf("message %d of %d bytes came as %d with %d", i, want[i], n, len(msg))
		}
	}
}

// The rest of what the kernel made of a flow leaves with what comes next.
func TestDepartureFillsTrains(t *testing.T) {
	const batches, each, size = 10, 46, 1452
	d, x := newDeparture(t)
	for i := range batches {
		d.hand(batchOf(0, slices.Repeat([]int{size}, each)...), i < batches-1)
	}
	most := maxDatagram / size
	if want := (batches*each + most - 1) / most; len(x.trains) != want {
		t.Errorf("%d sends, want %d", len(x.trains), want)
	}
}

// What nothing can be added to does not wait.
func TestDepartureSendsWhatIsFull(t *testing.T) {
	for _, lengths := range [][]int{slices.Repeat([]int{100}, maxSegments), slices.Repeat([]int{1452}, 45), {1000, 1000, 999}} {
		d, x := newDeparture(t)
		d.hand(batchOf(0, lengths...), true)
		if len(x.trains) != 1 || len(d.held) != 0 {
			t.Errorf("%d messages of %d bytes: %d sends, %d batches held", len(lengths), lengths[0], len(x.trains), len(d.held))
		}
	}
}

// A peer that roams gets at its old address what was sealed before.
func TestDepartureFollowsThePeer(t *testing.T) {
	d, x := newDeparture(t)
	d.hand(batchOf(0, 100, 100), true)
	elsewhere := netip.MustParseAddrPort("198.51.100.1:7")
	b := batchOf(2, 100)
	b.sealed.to = elsewhere
	d.hand(b, false)
	if !slices.Equal(x.to, []netip.AddrPort{farAddr, elsewhere}) || len(x.trains[0]) != 2 || len(x.trains[1]) != 1 {
		t.Errorf("%d messages to %v", len(slices.Concat(x.trains...)), x.to)
	}
}

func TestDepartureCountsDrops(t *testing.T) {
	d, x := newDeparture(t)
	x.err = errors.New("the wire is cut")
	d.hand(batchOf(0, 100, 100), true)
	d.hand(batchOf(2, 100, 90), false)
	if got := d.link.counters.Drops.Load(); got != 4 {
		t.Errorf("%d dropped, want 4", got)
	}
}

// A train arrives as its messages, with the kernel's help or without.
func TestSocketSendsTrains(t *testing.T) {
	listen := func() *net.UDPConn {
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	s, far := newSocket(listen()), listen()
	if err := far.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	for _, noGSO := range []bool{false, true} {
		s.noGSO.Store(noGSO)
		var tr train
		var want [][]byte
		for _, n := range []int{2, 3, 1} {
			o := batchOf(uint32(len(want)), slices.Repeat([]int{200}, n)...).sealed
			want = slices.AppendSeq(want, slices.Chunk(bytes.Clone(o.runs[0].msgs), 200))
			if !tr.take(&o.runs[0]) {
				t.Fatal("no room")
			}
		}
		if err := s.send(&tr, far.LocalAddr().(*net.UDPAddr).AddrPort(), netip.Addr{}); err != nil {
			t.Fatal(err)
		}
		for i, msg := range want {
			buf := make([]byte, 2000)
			n, err := far.Read(buf)
			if err != nil || !bytes.Equal(buf[:n], msg) {
				t.Fatalf("without GSO %v: message %d: %d bytes, %v", noGSO, i, n, err)
			}
		}
	}
}
