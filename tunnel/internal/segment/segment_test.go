package segment

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"warren/tunnel/tun"
)

// flow describes the packets of a test.
type flow struct {
	v6      bool
	udp     bool
	options []byte // of TCP
	flags   byte
	seq     uint32
	id      uint16
}

// packet is one finished packet.
func (f flow) packet(payload []byte) []byte {
	ip, l4 := 20, 20+len(f.options)
	if f.v6 {
		ip = 40
	}
	protocol, sumAt := byte(unix.IPPROTO_TCP), ip+16
	if f.udp {
		protocol, sumAt, l4 = unix.IPPROTO_UDP, ip+6, 8
	}
	p := make([]byte, ip+l4, ip+l4+len(payload))
	p = append(p, payload...)
	if f.v6 {
		p[0], p[6], p[7], p[23], p[39] = 0x60, protocol, 64, 1, 2
		binary.BigEndian.PutUint16(p[4:], uint16(len(p)-40))
	} else {
		copy(p, []byte{0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2})
		binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
		binary.BigEndian.PutUint16(p[4:], f.id)
		binary.BigEndian.PutUint16(p[10:], ^naiveSum(p[:20]))
	}
	h := p[ip:]
	copy(h, []byte{0x12, 0x34, 0x56, 0x78})
	if f.udp {
		binary.BigEndian.PutUint16(h[4:], uint16(len(h)))
	} else {
		binary.BigEndian.PutUint32(h[4:], f.seq)
		h[11], h[12], h[13], h[14] = 9, byte(l4/4)<<4, f.flags, 7
		copy(h[20:], f.options)
	}
	binary.BigEndian.PutUint16(p[sumAt:], naiveTransport(p, protocol, ip, sumAt))
	return p
}

// frame is what a kernel gives for a payload that is to be cut, and the packets that
// it means.
func (f flow) frame(payload []byte, size int) (frame []byte, packets [][]byte) {
	whole := f.packet(payload)
	start, sumAt, protocol, typ := 20, 36, byte(unix.IPPROTO_TCP), byte(unix.VIRTIO_NET_HDR_GSO_TCPV4)
	if f.v6 {
		start, sumAt, typ = 40, 56, unix.VIRTIO_NET_HDR_GSO_TCPV6
	}
	if f.udp {
		sumAt, protocol, typ = start+6, unix.IPPROTO_UDP, unix.VIRTIO_NET_HDR_GSO_UDP_L4
	}
	binary.BigEndian.PutUint16(whole[sumAt:], fold(pseudo(whole, protocol, len(whole)-start)))
	h := make([]byte, tun.HeaderLen)
	h[offFlags], h[offGSOType] = unix.VIRTIO_NET_HDR_F_NEEDS_CSUM, typ
	binary.LittleEndian.PutUint16(h[offGSOSize:], uint16(size))
	binary.LittleEndian.PutUint16(h[offCsumStart:], uint16(start))
	binary.LittleEndian.PutUint16(h[offCsumOffst:], uint16(sumAt-start))
	for at := 0; at < len(payload); at += size {
		one := f
		end := min(at+size, len(payload))
		one.seq, one.id = f.seq+uint32(at), f.id+uint16(at/size)
		if end < len(payload) {
			one.flags &^= tcpFIN | tcpPSH
		}
		if at > 0 {
			one.flags &^= tcpCWR
		}
		packets = append(packets, one.packet(payload[at:end]))
	}
	return append(h, whole...), packets
}

func split(t testing.TB, frame []byte) (packets [][]byte) {
	t.Helper()
	s, err := Parse(bytes.Clone(frame))
	if err != nil {
		t.Fatal(err)
	}
	for {
		p := make([]byte, s.Longest())
		n := s.Next(p)
		if n == 0 {
			break
		}
		packets = append(packets, p[:n])
	}
	if len(packets) != s.Count() {
		t.Fatalf("%d packets, Count says %d", len(packets), s.Count())
	}
	return packets
}

func join(packets [][]byte) (frames [][]byte) {
	var j Joiner
	j.Use(make([]byte, tun.MaxFrame))
	for _, p := range packets {
		if !j.Add(p) {
			frames = append(frames, bytes.Clone(j.Flush()))
			if !j.Add(p) {
				panic("a packet is not taken after a flush")
			}
		}
	}
	if f := j.Flush(); len(f) > 0 {
		frames = append(frames, bytes.Clone(f))
	}
	return frames
}

func same(t *testing.T, got, want [][]byte) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d packets, want %d", len(got), len(want))
	}
	for i := range got {
		if !bytes.Equal(got[i], want[i]) {
			t.Fatalf("packet %d of %d:\n%x, want\n%x", i, len(got), got[i], want[i])
		}
	}
}

func random(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func TestSplitAndJoinAgainstNaive(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	for range 400 {
		f := flow{
			v6: r.IntN(2) == 0, udp: r.IntN(4) == 0, options: random(r, 4*r.IntN(11)),
			flags: tcpACK, seq: r.Uint32(), id: uint16(r.Uint32()),
		}
		if r.IntN(3) == 0 {
			f.flags |= []byte{tcpPSH, tcpFIN, tcpCWR, tcpPSH | tcpFIN}[r.IntN(4)]
		}
		size := 600 + r.IntN(900)
		frame, want := f.frame(random(r, size+1+r.IntN(50*size)), size)
		if len(frame) > tun.MaxFrame {
			continue
		}
		same(t, split(t, frame), want)

		frames := join(want)
		var again [][]byte
		for _, fr := range frames {
			again = append(again, split(t, fr)...)
		}
		same(t, again, want)
		if !f.udp && f.flags&^tcpPSH == tcpACK && (len(frames) != 1 || !bytes.Equal(frames[0][tun.HeaderLen:], frame[tun.HeaderLen:])) {
			t.Fatalf("%d segments made %d frames, or another one", len(want), len(frames))
		}
	}
}

// A frame that is one packet, whose checksum the kernel left.
func TestCompleteChecksum(t *testing.T) {
	for _, f := range []flow{{flags: tcpSYN}, {v6: true, flags: tcpSYN}, {udp: true}, {udp: true, v6: true}} {
		want := f.packet([]byte("hello"))
		frame, _ := f.frame([]byte("hello"), 1)
		frame[offGSOType] = unix.VIRTIO_NET_HDR_GSO_NONE
		same(t, split(t, frame), [][]byte{want})
		same(t, split(t, append(make([]byte, tun.HeaderLen), want...)), [][]byte{want})
	}
}

// Two zeros: a UDP checksum that comes out as none is sent as all ones.
func TestZeroChecksumOfUDP(t *testing.T) {
	for i := range 1 << 16 {
		p := flow{udp: true}.packet([]byte{byte(i >> 8), byte(i)})
		if p[26] != 0xff || p[27] != 0xff {
			continue
		}
		frame, _ := flow{udp: true}.frame([]byte{byte(i >> 8), byte(i)}, 1)
		frame[offGSOType] = unix.VIRTIO_NET_HDR_GSO_NONE
		same(t, split(t, frame), [][]byte{p})
		return
	}
	t.Fatal("no payload gives a sum of zero")
}

func TestWhatIsNotJoined(t *testing.T) {
	base := flow{flags: tcpACK, seq: 100, id: 7}
	payload := make([]byte, 1000)
	next := base
	next.seq, next.id = 1100, 8
	if n := len(join([][]byte{base.packet(payload), next.packet(payload)})); n != 1 {
		t.Fatalf("two consecutive segments make %d frames", n)
	}
	resum := func(p []byte) []byte {
		p[10], p[11] = 0, 0
		binary.BigEndian.PutUint16(p[10:], ^naiveSum(p[:20]))
		binary.BigEndian.PutUint16(p[36:], naiveTransport(p, 6, 20, 36))
		return p
	}
	for name, change := range map[string]func(p []byte) []byte{
		"a gap":            func(p []byte) []byte { p[27]++; return resum(p) },
		"other id":         func(p []byte) []byte { p[5]++; return resum(p) },
		"other port":       func(p []byte) []byte { p[23]++; return resum(p) },
		"other address":    func(p []byte) []byte { p[19]++; return resum(p) },
		"other TTL":        func(p []byte) []byte { p[8]--; return resum(p) },
		"CE":               func(p []byte) []byte { p[1] = 3; return resum(p) },
		"other ack":        func(p []byte) []byte { p[31]++; return resum(p) },
		"other window":     func(p []byte) []byte { p[35]++; return resum(p) },
		"FIN":              func(p []byte) []byte { p[33] |= tcpFIN; return resum(p) },
		"SYN":              func(p []byte) []byte { p[33] |= tcpSYN; return resum(p) },
		"ECE":              func(p []byte) []byte { p[33] |= 0x40; return resum(p) },
		"fragment":         func(p []byte) []byte { p[6] |= 0x20; return resum(p) },
		"bad IP checksum":  func(p []byte) []byte { p[10]++; return p },
		"bad TCP checksum": func(p []byte) []byte { p[36]++; return p },
		"bad data":         func(p []byte) []byte { p[500]++; return p },
		"longer":           func([]byte) []byte { return next.packet(make([]byte, 1001)) },
		"no data":          func([]byte) []byte { return next.packet(nil) },
		"too short":        func(p []byte) []byte { return p[:39] },
		"empty":            func([]byte) []byte { return []byte{} },
	} {
		packets := [][]byte{base.packet(payload), change(next.packet(payload))}
		frames := join(packets)
		if len(frames) != 2 {
			t.Errorf("%s: %d frames", name, len(frames))
			continue
		}
		for i, f := range frames {
			if !bytes.Equal(f[:tun.HeaderLen], make([]byte, tun.HeaderLen)) || !bytes.Equal(f[tun.HeaderLen:], packets[i]) {
				t.Errorf("%s: packet %d came out changed", name, i)
			}
		}
	}
	push := base
	push.flags |= tcpPSH
	if n := len(join([][]byte{push.packet(payload), next.packet(payload)})); n != 2 {
		t.Error("joined after PSH")
	}
	if n := len(join([][]byte{base.packet(payload[:999]), next.packet(payload)})); n != 2 {
		t.Error("joined after a shorter segment")
	}
}

func TestParseRefuses(t *testing.T) {
	for _, f := range [][]byte{nil, make([]byte, 10), make([]byte, 40)} {
		if _, err := Parse(f); err == nil {
			t.Errorf("%x is accepted", f)
		}
	}
}

// FuzzJoin joins hostile packets: whatever comes out, split again, is what went in.
func FuzzJoin(f *testing.F) {
	one, two := flow{flags: tcpACK, id: 1}, flow{flags: tcpACK | tcpPSH, id: 2, seq: 100}
	f.Add(one.packet(make([]byte, 100)), two.packet(make([]byte, 100)))
	one.v6, two.v6 = true, true
	f.Add(one.packet(make([]byte, 100)), two.packet(make([]byte, 50)))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		var in [][]byte
		for _, p := range [][]byte{a, b} {
			if len(p) == 0 || len(p) > tun.MaxPacket {
				return
			}
			if tun.CheckLocal(append(make([]byte, tun.HeaderLen), p...)) == nil {
				in = append(in, p)
			}
			ClampMSS(bytes.Clone(p), 1420)
		}
		var out [][]byte
		for _, frame := range join(in) {
			out = append(out, split(t, frame)...)
		}
		same(t, out, in)
	})
}

// FuzzSplit cuts hostile frames.
func FuzzSplit(f *testing.F) {
	for _, fl := range []flow{{flags: tcpACK}, {v6: true, flags: tcpACK}, {udp: true}, {udp: true, v6: true}} {
		frame, _ := fl.frame(make([]byte, 3000), 1000)
		f.Add(frame)
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		s, err := Parse(frame)
		if err != nil {
			return
		}
		buf := make([]byte, s.Longest())
		total := 0
		for n := s.Next(buf); n > 0; n = s.Next(buf) {
			total += n
		}
		if total < len(frame)-tun.HeaderLen {
			t.Fatalf("%d bytes of %d", total, len(frame))
		}
	})
}

func BenchmarkSplit(b *testing.B) {
	frame, packets := flow{flags: tcpACK, options: make([]byte, 12)}.frame(make([]byte, 44*1368), 1368)
	buf := make([]byte, 2048)
	b.SetBytes(int64(len(packets) * len(packets[0])))
	for b.Loop() {
		s, err := Parse(frame)
		if err != nil {
			b.Fatal(err)
		}
		for s.Next(buf) > 0 {
		}
	}
}

func BenchmarkJoin(b *testing.B) {
	_, packets := flow{flags: tcpACK, options: make([]byte, 12)}.frame(make([]byte, 44*1368), 1368)
	var j Joiner
	j.Use(make([]byte, tun.MaxFrame))
	b.SetBytes(int64(len(packets) * len(packets[0])))
	for b.Loop() {
		for _, p := range packets {
			if !j.Add(p) {
				b.Fatal("not joined")
			}
		}
		j.Flush()
	}
}

// Packets that lie in one buffer, with gaps between them, are joined there as they would
// be elsewhere. Each frame begins where its first packet lies.
func TestJoinInPlace(t *testing.T) {
	const before, after = 16, 16 // of each packet; a header has room before it
	r := rand.New(rand.NewPCG(4, 4))
	for range 1000 {
		var packets [][]byte
		for range 1 + r.IntN(3) {
			f := flow{
				v6: r.IntN(2) == 0, udp: r.IntN(8) == 0, options: random(r, 4*r.IntN(11)),
				flags: tcpACK, seq: r.Uint32(), id: uint16(r.Uint32()),
			}
			if r.IntN(3) == 0 {
				f.flags |= tcpPSH
			}
			size := 1 + r.IntN(1400)
			_, more := f.frame(random(r, 1+r.IntN(15*size)), size)
			packets = append(packets, more...)
		}
		var buf []byte
		var places []int
		for _, p := range packets {
			buf = append(buf, make([]byte, before)...)
			places = append(places, len(buf))
			buf = append(append(buf, p...), random(r, after+r.IntN(16))...)
		}
		var joiners []Joiner
		for i, p := range packets {
			at := places[i]
			if last := len(joiners) - 1; last < 0 || !joiners[last].Add(buf[at:at+len(p)]) {
				joiners = append(joiners, Joiner{buf: buf[at-tun.HeaderLen:]})
				joiners[last+1].Add(buf[at : at+len(p)])
			}
		}
		var frames [][]byte
		for i := range joiners {
			frames = append(frames, joiners[i].Flush())
		}
		same(t, frames, join(packets))
	}
}

// Packets joined in two places are, once one is appended to the other, what they would be
// joined in one.
func TestAppend(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	appended := 0
	for range 2000 {
		f := flow{v6: r.IntN(2) == 0, options: random(r, 4*r.IntN(11)), flags: tcpACK, seq: r.Uint32(), id: uint16(r.Uint32())}
		if r.IntN(3) == 0 {
			f.flags |= tcpPSH
		}
		size := 600 + r.IntN(900)
		_, packets := f.frame(random(r, size+1+r.IntN(40*size)), size)
		switch i := r.IntN(len(packets)); r.IntN(8) {
		case 0:
			packets = slices.Delete(packets, i, i+1)
		case 1:
			packets = slices.Insert(packets, i, packets[i])
		}
		want, cut := join(packets), r.IntN(len(packets)+1)
		one, two := Joiner{buf: make([]byte, tun.MaxFrame)}, Joiner{buf: make([]byte, tun.MaxFrame)}
		whole := cut > 0 && cut < len(packets)
		for i, p := range packets {
			if i < cut {
				whole = one.Add(p) && whole
			} else {
				whole = two.Add(p) && whole
			}
		}
		if !whole {
			continue
		}
		if got := one.Append(&two); got != (len(want) == 1) || got == (two.n > 0) {
			t.Fatalf("appended: %v; together they are %d frames", got, len(want))
		} else if got {
			appended++
			same(t, [][]byte{one.Flush()}, want)
		}
	}
	if appended < 500 {
		t.Errorf("only %d were appended", appended)
	}
}
