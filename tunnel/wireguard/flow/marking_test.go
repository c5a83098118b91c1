package flow

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"warren/internal/skip"
	"warren/tunnel/internal/ecn"
	"warren/tunnel/internal/segment"
	"warren/tunnel/tun"
	"warren/tunnel/wireguard/flow/flowtest"
)

// classed is a frame of one packet of a family, 4 or 6, with a traffic class and right checksums.
func classed(version int, class uint8) []byte {
	if version == 6 {
		f := make([]byte, tun.HeaderLen+100)
		p := f[tun.HeaderLen:]
		p[0], p[1], p[6], p[7] = 6<<4|class>>4, class<<4, 59, 64 // no next header
		binary.BigEndian.PutUint16(p[4:], uint16(len(p)-40))
		return f
	}
	f := flowtest.UDP(100, 0)
	p := f[tun.HeaderLen:]
	p[1] = class
	binary.BigEndian.PutUint16(p[10:], ^headerSum(p))
	return f
}

// headerSum is that of an IPv4 header without options (RFC 1071); 0xffff: its checksum is right.
func headerSum(p []byte) uint16 {
	var s uint32
	for i := 0; i < 20; i += 2 {
		s += uint32(binary.BigEndian.Uint16(p[i:]))
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

// sealFrames seals frames as if they had been read at once.
func (e *end) sealFrames(frames ...[]byte) *outboundBatch {
	e.t.Helper()
	b := newOutboundBatch()
	for _, f := range frames {
		n := copy(b.read[b.n:], f)
		s, err := segment.Parse(b.read[b.n : b.n+n])
		if err != nil {
			e.t.Fatal(err)
		}
		b.n += n
		b.frames = append(b.frames, s)
	}
	e.tunnel.seal(b)
	return b
}

// Outer packets have what the marking says, by what is in them: each of the 256 classes, in both
// families.
func TestOuterPacketsAreMarked(t *testing.T) {
	e, _ := newPair(t, nearAddr, farAddr)
	for name, c := range map[string]struct {
		set  Marking
		want func(inner uint8) uint8
		own  uint8 // of what holds no packet of anybody else
	}{
		"nothing leaks": {Marking{}, func(uint8) uint8 { return 0 }, 0},
		"ecn":           {Marking{ECN: true}, func(inner uint8) uint8 { return inner & 3 }, 0},
		"fixed dscp":    {Marking{DSCP: 46}, func(uint8) uint8 { return 46 << 2 }, 46 << 2},
		"both":          {Marking{ECN: true, DSCP: 63}, func(inner uint8) uint8 { return 63<<2 | inner&3 }, 63 << 2},
		"copied dscp":   {Marking{CopyDSCP: true}, func(inner uint8) uint8 { return inner & 0xfc }, 0},
		"all":           {Marking{ECN: true, CopyDSCP: true}, func(inner uint8) uint8 { return inner }, 0},
	} {
		e.tunnel.SetMarking(c.set)
		for _, version := range []int{4, 6} {
			for inner := range 256 {
				b := e.sealFrames(classed(version, uint8(inner)))
				if got := b.sealed.runs[0].class; len(b.sealed.runs) != 1 || got != c.want(uint8(inner)) {
					t.Errorf("%s, IPv%d: a packet with %08b leaves with %08b in %d runs, want %08b", name, version, inner, got, len(b.sealed.runs), c.want(uint8(inner)))
				}
				b.release()
			}
		}
		if got := e.tunnel.Single(nil).class; got != c.own {
			t.Errorf("%s: messages of the tunnel's own leave with %08b, want %08b", name, got, c.own)
		}
	}
}

// A frame that is cut has one class, and frames of several classes do not share a send.
func TestRunsAreOfOneClass(t *testing.T) {
	e, _ := newPair(t, nearAddr, farAddr)
	tcp := func(class uint8) []byte {
		f := flowtest.TCP(0, 3*1360)
		f[tun.HeaderLen+1] = class
		return f
	}
	for _, c := range []struct {
		marking Marking
		classes []uint8
		counts  []int
	}{
		{Marking{}, []uint8{0}, []int{12}},
		{Marking{ECN: true}, []uint8{0, 2, 3}, []int{3, 6, 3}},
		{Marking{ECN: true, CopyDSCP: true}, []uint8{0xb8, 0xba, 2, 3}, []int{3, 3, 3, 3}},
	} {
		e.tunnel.SetMarking(c.marking)
		b := e.sealFrames(tcp(0xb8), tcp(0xba), tcp(2), tcp(3))
		var classes []uint8
		var counts []int
		for _, r := range b.sealed.runs {
			classes, counts = append(classes, r.class), append(counts, r.count)
		}
		if !slices.Equal(classes, c.classes) || !slices.Equal(counts, c.counts) {
			t.Errorf("%+v: classes %v of %v messages, want %v of %v", c.marking, classes, counts, c.classes, c.counts)
		}
		b.release()
	}
}

// Whatever the classes of messages are, each leaves in its turn, in a burst of its class.
func TestBurstsAreOfOneClass(t *testing.T) {
	s, x := newSender(t)
	r := rand.New(rand.NewPCG(3168, 1))
	var want []uint8
	for i := range 500 {
		b := newOutboundBatch()
		b.releaseRead()
		b.sealed.to = farAddr
		class := uint8(r.Uint32())
		for range 1 + r.IntN(80) {
			if r.IntN(8) == 0 {
				class = uint8(r.Uint32())
			}
			room := b.sealed.room(200)
			binary.BigEndian.PutUint32(room, uint32(len(want)))
			b.sealed.add(200, class)
			want = append(want, class)
		}
		s.hand(b, i < 499 && r.IntN(3) > 0)
	}
	n := 0
	for i, msgs := range x.bursts {
		for _, msg := range msgs {
			if number := int(binary.BigEndian.Uint32(msg)); number != n || x.classes[i] != want[n] {
				t.Fatalf("message %d left as %d with %08b, want %08b", number, n, x.classes[i], want[n])
			}
			n++
		}
	}
	if n != len(want) {
		t.Errorf("%d messages left of %d", n, len(want))
	}
}

// listenOn returns a socket on loopback.
func listenOn(t *testing.T, network, host string) *Socket {
	t.Helper()
	c, err := net.ListenPacket(network, net.JoinHostPort(host, "0"))
	if err != nil {
		skip.OutsideCI(t, "%v", err)
	}
	t.Cleanup(func() { c.Close() })
	s := NewSocket(c.(*net.UDPConn))
	if err := Prepare(network, s.raw); err != nil {
		t.Fatal(err)
	}
	if err := s.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return s
}

// classIn returns the traffic class that the kernel tells of.
func classIn(t *testing.T, oob []byte) (class uint8) {
	t.Helper()
	all, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		switch {
		case m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_TOS:
			class = m.Data[0]
		case m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_TCLASS:
			class = uint8(binary.NativeEndian.Uint32(m.Data))
		}
	}
	return class
}

// The kernel sends what a burst says, all of its messages alike, and tells of what came: with its
// help in cutting and joining or without, from a chosen address or not.
func TestSocketsMark(t *testing.T) {
	for network, host := range map[string]string{"udp4": "127.0.0.1", "udp6": "::1"} {
		t.Run(network, func(t *testing.T) {
			s, far := listenOn(t, network, host), listenOn(t, network, host)
			var in incoming
			buf := make([]byte, 4000)
			for class := range 256 {
				for _, noGSO := range []bool{false, true} {
					s.refuse(addrOf(far), noGSO)
					for _, count := range []int{1, 3} {
						from := netip.Addr{}
						if class%2 == 1 {
							from = netip.MustParseAddr(host)
						}
						b := &Burst{parts: [][]byte{make([]byte, 100*count)}, size: 100, count: count, bytes: 100 * count, class: uint8(class)}
						if err := s.Send(b, addrOf(far), from); err != nil {
							t.Fatal(err)
						}
						for got := 0; got < 100*count; {
							var g datagrams
							var failed error
							err := far.raw.Read(func(fd uintptr) bool {
								g, failed = in.receive(int(fd), buf)
								return !errors.Is(failed, unix.EAGAIN)
							})
							if err != nil || failed != nil {
								t.Fatalf("class %08b: %v, %v", class, err, failed)
							}
							if whole := classIn(t, in.oob[:in.header.Controllen]); whole != uint8(class) || g.ecn != ecn.Of(uint8(class)) || !g.local.IsValid() || g.size != 100 {
								t.Fatalf("sent with %08b, without GSO %v: %d bytes came with %08b, taken for %02b, in messages of %d", class, noGSO, g.n, whole, g.ecn, g.size)
							}
							got += g.n
						}
					}
				}
			}
		})
	}
}

// Each of the 16 combinations of what a packet and its outer packet say becomes what RFC 6040 has
// in section 4.2, in both families, and is counted. DSCP is not changed.
func TestMarksArriveInside(t *testing.T) {
	const refused = 0xff
	// Rows: Not-ECT, ECT(1), ECT(0), CE in the packet; columns: the same of the outer one.
	leaves := [4][4]uint8{
		{0b00, 0b00, 0b00, refused},
		{0b01, 0b01, 0b01, 0b11},
		{0b10, 0b01, 0b10, 0b11},
		{0b11, 0b11, 0b11, 0b11},
	}
	near, far := newPair(t, nearAddr, farAddr)
	for _, version := range []int{4, 6} {
		for inner := range uint8(4) {
			for outer := range uint8(4) {
				name := fmt.Sprintf("IPv%d, %02b in %02b", version, inner, outer)
				before := near.tunnel.Counters.Stats()
				a := newInboundBatch()
				n := copy(a.buf[:], far.seal(classed(version, 46<<2|inner), mtu))
				a.add(datagrams{n: n, size: n, from: farAddr, ecn: ecn.Codepoint(outer)})
				newInbound(near.f, nil, nil).open(a)
				got, want := near.tunnel.Counters.Stats(), before
				if leaves[inner][outer] == refused {
					if want.Drops++; len(a.frames) != 0 {
						t.Errorf("%s: delivered", name)
					}
				} else {
					want.RxPackets++
					want.RxBytes += 100
					if outer == 3 && inner != 3 {
						want.RxMarked++
					}
					if len(a.frames) != 1 {
						t.Fatalf("%s: not delivered", name)
					}
					p := a.frames[0].Flush()[tun.HeaderLen:]
					if class := ecn.Class(p); class != 46<<2|leaves[inner][outer] || version == 4 && headerSum(p) != 0xffff {
						t.Errorf("%s: delivered with %08b, header sum %x", name, class, headerSum(p))
					}
				}
				if got != want {
					t.Errorf("%s: counted %+v, want %+v", name, got, want)
				}
			}
		}
	}
}

// Segments that came with one mark are joined to a frame that has it, and those with different
// marks are not joined with one another.
func TestMarkedSegmentsAreJoined(t *testing.T) {
	near, far := newPair(t, nearAddr, farAddr)
	for _, c := range []struct {
		outer  []ecn.Codepoint // of each of three segments, with ECT(0) in all of them
		joined []int           // how many are in each frame
		inside []uint8
	}{
		{[]ecn.Codepoint{ecn.NotECT, ecn.NotECT, ecn.NotECT}, []int{3}, []uint8{0b10}},
		{[]ecn.Codepoint{ecn.CE, ecn.CE, ecn.CE}, []int{3}, []uint8{0b11}},
		{[]ecn.Codepoint{ecn.ECT1, ecn.ECT1, ecn.ECT1}, []int{3}, []uint8{0b01}},
		{[]ecn.Codepoint{ecn.ECT0, ecn.CE, ecn.CE}, []int{1, 2}, []uint8{0b10, 0b11}},
		{[]ecn.Codepoint{ecn.CE, ecn.ECT0, ecn.CE}, []int{1, 1, 1}, []uint8{0b11, 0b10, 0b11}},
		{[]ecn.Codepoint{ecn.NotECT, ecn.ECT0, ecn.CE}, []int{2, 1}, []uint8{0b10, 0b11}},
	} {
		f := flowtest.TCP(0, 3*1360)
		f[tun.HeaderLen+1] = 46<<2 | 0b10
		b := far.sealFrames(f)
		if len(b.sealed.runs) != 1 || b.sealed.runs[0].count != 3 {
			t.Fatalf("%+v", b.sealed.runs)
		}
		a := newInboundBatch()
		at := 0
		for i, msg := range slices.Collect(slices.Chunk(b.sealed.runs[0].msgs, b.sealed.runs[0].size)) {
			at += copy(a.buf[at:], msg)
			a.add(datagrams{n: len(msg), size: len(msg), from: farAddr, ecn: c.outer[i]})
		}
		newInbound(near.f, nil, nil).open(a)
		if len(a.frames) != len(c.joined) {
			t.Fatalf("%v: %d frames, want %d", c.outer, len(a.frames), len(c.joined))
		}
		for i := range a.frames {
			frame := a.frames[i].Flush()
			p := frame[tun.HeaderLen:]
			if got := len(p) - 40; got != c.joined[i]*1360 || p[1] != 46<<2|c.inside[i] || headerSum(p) != 0xffff {
				t.Errorf("%v: frame %d has %d bytes, class %08b, header sum %x", c.outer, i, got, p[1], headerSum(p))
			}
			// The kernel would take it as it is, and so it is cut to segments with one class.
			if err := tun.Check(frame, mtu); err != nil {
				t.Errorf("%v: frame %d: %v", c.outer, i, err)
			}
		}
		a.release()
		b.release()
	}
}

// The log is told of wrong marks once a minute, however many the path sets.
func TestWrongMarksAreToldSeldom(t *testing.T) {
	near, far := newPair(t, nearAddr, farAddr)
	var log strings.Builder
	near.tunnel.Logger = slog.New(slog.NewTextHandler(&log, nil))
	now := time.Now()
	near.f.Now = func() time.Time { return now }
	arrive := func() {
		a := newInboundBatch()
		n := copy(a.buf[:], far.seal(classed(4, 0), mtu))
		a.add(datagrams{n: n, size: n, from: farAddr, ecn: ecn.CE})
		newInbound(near.f, nil, nil).open(a)
		a.release()
	}
	for i, want := range []int{1, 1, 2} {
		for range 100 {
			arrive()
		}
		if got := strings.Count(log.String(), "mark of congestion"); got != want {
			t.Errorf("%d lines after %d half minutes, want %d:\n%s", got, i, want, log.String())
		}
		now = now.Add(wronglyMarkedEvery / 2)
	}
	if got := near.tunnel.Counters.Stats(); got.Drops != 300 || got.RxPackets != 0 {
		t.Errorf("%+v", got)
	}
}

// What one end's kernel gives arrives at the other's with its marks, over real sockets: the classes
// of a flow that changes them often, each packet in its order.
func TestMarksCrossATunnel(t *testing.T) {
	a, b := newRunningPair(t)
	a.tunnel.SetMarking(Marking{ECN: true, CopyDSCP: true})
	var want []uint8
	for i := range 40 {
		class := uint8(i*37) &^ 1 // Not-ECT or ECT(0)
		want = append(want, class)
		a.dev.Frames <- classed(4+2*(i%2), class)
	}
	var got []uint8
	for deadline := time.Now().Add(patience); len(got) < len(want); time.Sleep(100 * time.Microsecond) {
		written, _ := b.dev.Take()
		for _, f := range written {
			got = append(got, ecn.Class(f[tun.HeaderLen:]))
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d packets came", len(got), len(want))
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("classes %v, want %v", got, want)
	}
	if s := b.tunnel.Counters.Stats(); s.Drops != 0 || s.RxMarked != 0 {
		t.Errorf("%+v", s)
	}
}
