package flow

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

// sends is a Sender that notes what was sent.
type sends struct {
	t      *testing.T
	bursts [][][]byte // messages of each
	to     []netip.AddrPort
	err    error

	classes []uint8 // of each burst
}

func (s *sends) Send(b *Burst, to netip.AddrPort, _ netip.Addr) error {
	s.t.Helper()
	var msgs [][]byte
	bytes := 0
	for _, p := range b.parts {
		bytes += len(p)
		for msg := range slices.Chunk(p, b.size) {
			msgs = append(msgs, slices.Clone(msg))
		}
	}
	for _, msg := range msgs[:len(msgs)-1] {
		if len(msg) != b.size {
			s.t.Errorf("a message of %d bytes amid those of %d", len(msg), b.size)
		}
	}
	if len(b.parts) > maxParts || len(msgs) != b.count || b.count > maxSegments || bytes != b.bytes || bytes > MaxDatagram {
		s.t.Errorf("burst of %d parts, %d messages (%d) and %d bytes (%d)", len(b.parts), len(msgs), b.count, bytes, b.bytes)
	}
	s.bursts = append(s.bursts, msgs)
	s.to = append(s.to, to)
	s.classes = append(s.classes, b.class)
	return s.err
}

func newSender(t *testing.T) (*sender, *sends) {
	e, _ := newPair(t, nearAddr, farAddr)
	x := &sends{t: t}
	e.tunnel.Out = x
	return &sender{tunnel: e.tunnel}, x
}

// batchOf is messages of some lengths, numbered from first on.
func batchOf(first uint32, lengths ...int) *outboundBatch {
	b := newOutboundBatch()
	b.releaseRead()
	b.sealed.to = farAddr
	for i, n := range lengths {
		binary.BigEndian.PutUint32(b.sealed.room(n), first+uint32(i))
		b.sealed.add(n, 0)
	}
	return b
}

// Whatever is handed to a sender leaves, in order and in bursts that the kernel takes,
// and nothing is held when nothing else comes.
func TestSenderSendsAll(t *testing.T) {
	s, x := newSender(t)
	r := rand.New(rand.NewPCG(1, 2))
	var want []int
	for range 2000 {
		var lengths []int
		for range r.IntN(4) {
			lengths = append(lengths, slices.Repeat([]int{32 + r.IntN(3)*500}, r.IntN(60))...)
			lengths = append(lengths, 32+r.IntN(1400))
		}
		more := r.IntN(4) > 0
		s.hand(batchOf(uint32(len(want)), lengths...), more)
		want = append(want, lengths...)
		if !more && (len(s.held) > 0 || s.next.count > 0) {
			t.Fatalf("%d batches and %d messages held", len(s.held), s.next.count)
		}
		if len(s.held) > maxParts {
			t.Fatalf("%d batches held", len(s.held))
		}
	}
	s.hand(batchOf(0), false)
	got := slices.Concat(x.bursts...)
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
func TestSenderFillsBursts(t *testing.T) {
	const batches, each, size = 10, 46, 1452
	s, x := newSender(t)
	for i := range batches {
		s.hand(batchOf(0, slices.Repeat([]int{size}, each)...), i < batches-1)
	}
	most := MaxDatagram / size
	if want := (batches*each + most - 1) / most; len(x.bursts) != want {
		t.Errorf("%d sends, want %d", len(x.bursts), want)
	}
}

// What nothing can be added to does not wait.
func TestSenderSendsWhatIsFull(t *testing.T) {
	for _, lengths := range [][]int{slices.Repeat([]int{100}, maxSegments), slices.Repeat([]int{1452}, 45), {1000, 1000, 999}} {
		s, x := newSender(t)
		s.hand(batchOf(0, lengths...), true)
		if len(x.bursts) != 1 || len(s.held) != 0 {
			t.Errorf("%d messages of %d bytes: %d sends, %d batches held", len(lengths), lengths[0], len(x.bursts), len(s.held))
		}
	}
}

// A peer that roams gets at its old address what was sealed before.
func TestSenderFollowsThePeer(t *testing.T) {
	s, x := newSender(t)
	s.hand(batchOf(0, 100, 100), true)
	elsewhere := netip.MustParseAddrPort("198.51.100.1:7")
	b := batchOf(2, 100)
	b.sealed.to = elsewhere
	s.hand(b, false)
	if !slices.Equal(x.to, []netip.AddrPort{farAddr, elsewhere}) || len(x.bursts[0]) != 2 || len(x.bursts[1]) != 1 {
		t.Errorf("%d messages to %v", len(slices.Concat(x.bursts...)), x.to)
	}
}

func TestSenderCountsDrops(t *testing.T) {
	s, x := newSender(t)
	x.err = errors.New("the wire is cut")
	s.hand(batchOf(0, 100, 100), true)
	s.hand(batchOf(2, 100, 90), false)
	if got := s.tunnel.Counters.Drops.Load(); got != 4 {
		t.Errorf("%d dropped, want 4", got)
	}
}

// A burst arrives as its messages, with the kernel's help or without.
func TestSocketSendsBursts(t *testing.T) {
	listen := func() *net.UDPConn {
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	s, far := NewSocket(listen()), listen()
	if err := far.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	for _, noGSO := range []bool{false, true} {
		s.refuse(far.LocalAddr().(*net.UDPAddr).AddrPort(), noGSO)
		var b Burst
		var want [][]byte
		for _, n := range []int{2, 3, 1} {
			o := batchOf(uint32(len(want)), slices.Repeat([]int{200}, n)...).sealed
			want = slices.AppendSeq(want, slices.Chunk(bytes.Clone(o.runs[0].msgs), 200))
			if !b.take(&o.runs[0]) {
				t.Fatal("no room")
			}
		}
		if err := s.Send(&b, far.LocalAddr().(*net.UDPAddr).AddrPort(), netip.Addr{}); err != nil {
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
