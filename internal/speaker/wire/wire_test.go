package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"warren/bgp"
)

// What is written is read again, over more than one frame.
func TestRoutes(t *testing.T) {
	type change struct {
		ways []Way
		p    netip.Prefix
	}
	var want []change
	for i, s := range []string{"0.0.0.0/0", "::/0", "10.1.2.128/25", "10.1.2.3/32", "2001:db8::1/128", "2001:db8::/33", "128.0.0.0/1"} {
		ways := []Way{
			{ID: 1 << 31, Gateway: netip.MustParseAddr("192.0.2.1")}, {ID: 1<<32 - 1, Reserve: true},
			{ID: 1, Gateway: netip.MustParseAddr("fe80::1"), Reserve: true},
		}
		want = append(want, change{ways[:i%4], netip.MustParsePrefix(s)})
	}
	for i := range 30000 {
		ways := []Way{{ID: uint32(i%200 + 1)}, {ID: uint32(i%200 + 2), Reserve: i%7 == 0}, {ID: 1000, Reserve: true}}
		want = append(want, change{ways[:1+i%3], netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24)})
	}
	var w RouteWriter
	for _, c := range want {
		w.Add(c.ways, c.p)
	}
	frames := w.Take()
	if most := 30000 * 8; len(frames) > most {
		t.Errorf("%d bytes, want %d at most", len(frames), most)
	}
	r, n := NewReader(bytes.NewReader(frames), MaxFromSpeaker), 0
	for {
		kind, payload, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || kind != KindRoutes {
			t.Fatal(kind, err)
		}
		n++
		for routes := ReadRoutes(payload); routes.More(); {
			set, p, err := routes.Next()
			if err != nil || len(want) == 0 || !slices.Equal(routes.Ways(set), want[0].ways) || p != want[0].p {
				t.Fatalf("read %v %v, %v", routes.Ways(set), p, err)
			}
			want = want[1:]
		}
	}
	if len(want) > 0 || n < 2 {
		t.Errorf("%d changes are missing, in %d frames", len(want), n)
	}
}

// However it is malformed, a payload of routes is refused or is routes that can be written again.
func FuzzRoutes(f *testing.F) {
	f.Add([]byte{1, 1, 4, 24, 10, 1, 2, 1, 24, 10, 1, 3, 2, 2, 8, 13, 8, 10})
	f.Add([]byte{1, 2, 6, 4, 192, 0, 2, 1, 11, 16, 0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 8, 10})
	f.Add([]byte{0, 33 + 128, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1})
	f.Add([]byte{1, 1, 0xfc, 0xff, 0xff, 0xff, 0x3f, 0})
	f.Add([]byte{1, 2, 4, 4, 0, 1, 3, 5, 8, 9, 0})
	f.Add([]byte{1, 1, 4, 25, 10, 1, 2, 0x7f})
	f.Fuzz(func(t *testing.T, b []byte) {
		var w RouteWriter
		r := ReadRoutes(b)
		for left := len(b); r.More(); {
			set, p, err := r.Next()
			if err != nil {
				return
			}
			ways := r.Ways(set)
			if !p.IsValid() || p != p.Masked() || p.Addr().Is4In6() || len(r.rest) >= left || len(ways) > bgp.MaxWays {
				t.Fatalf("%v %v", p, ways)
			}
			left = len(r.rest)
			reserve, ids := false, map[uint32]bool{0: true}
			for i, way := range ways {
				if ids[way.ID] || i == 0 && way.Reserve || reserve && !way.Reserve {
					t.Fatalf("%v", ways)
				}
				ids[way.ID], reserve = true, way.Reserve
			}
			w.Add(ways, p)
			again := ReadRoutes(w.Take()[frameHeader:])
			n, q, err := again.Next()
			if err != nil || !slices.Equal(again.Ways(n), ways) || q != p || again.More() {
				t.Fatalf("%v %v is read again as %v %v: %v", ways, p, again.Ways(n), q, err)
			}
		}
	})
}

func TestRoutesMalformed(t *testing.T) {
	many := []byte{1, bgp.MaxWays + 1}
	for i := range bgp.MaxWays + 1 {
		many = binary.AppendUvarint(many, uint64(4*i+4))
	}
	for _, b := range [][]byte{
		{1},
		{0},
		{2, 1, 4, 8, 10}, // not the next set
		{1, 0, 8, 10},    // a definition without ways
		append(many, 8, 10),
		{1, 1},
		{1, 2, 4, 8, 10},                        // fewer ways than are said
		{1, 1, 0xfc, 0xff, 0xff, 0xff, 0x7f, 0}, // a number above 32 bits
		{1, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0}, // and above 64
		{1, 1, 0, 8, 10},                     // neighbor 0
		{1, 1, 5, 8, 10},                     // none but in reserve
		{1, 3, 4, 9, 12, 8, 10},              // in use after in reserve
		{1, 2, 4, 5, 8, 10},                  // a neighbor twice
		{1, 1, 6},                            // no gateway
		{1, 1, 6, 0, 8, 10},                  // nor here
		{1, 1, 6, 5, 192, 0, 2, 1, 0, 8, 10}, // of no family
		{1, 1, 6, 4, 192, 0, 2},              // cut off
		append(append([]byte{1, 1, 6, 16}, mappedPrefix[:]...), 192, 0, 2, 1, 8, 10), // IPv4-mapped
		{0, 24, 10, 1}, // cut off
		{0, 33 + 129, 1, 2, 3, 4},
		{0, 255, 1, 2, 3, 4},
		{0, 8},
		{0, 9, 10, 1}, // host bits
		append([]byte{0, 33 + 96}, mappedPrefix[:]...), // IPv4-mapped
	} {
		if set, p, err := ReadRoutes(b).Next(); err == nil {
			t.Errorf("%x is read as %d %v", b, set, p)
		}
	}
}

var mappedPrefix = [12]byte{10: 0xff, 11: 0xff}

// A reader is not made to wait for, or to keep, more than is allowed.
func TestReaderIsBounded(t *testing.T) {
	big := append(appendHeader(nil, KindEvent, 101), make([]byte, 101)...)
	if _, _, err := NewReader(bytes.NewReader(big), 100).Read(); err == nil {
		t.Error("a message that is too long is read")
	}
	cut, err := Append(nil, KindSettled, Settled{Serial: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := NewReader(bytes.NewReader(cut[:len(cut)-1]), 100).Read(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a message that is cut off: %v", err)
	}
	kind, payload, err := NewReader(bytes.NewReader(cut), 100).Read()
	var got Settled
	if err != nil || kind != KindSettled || Decode(payload, &got) != nil || got.Serial != 1 {
		t.Errorf("%v %s: %v", kind, payload, err)
	}
}

// A descriptor that is sent works at the other end.
func TestPackets(t *testing.T) {
	ours, theirs, err := Pair(unix.SOCK_SEQPACKET)
	if err != nil {
		t.Fatal(err)
	}
	a, err := NewPackets(ours)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := NewPackets(theirs)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Send(Answer{Call: 7}, l.(*net.TCPListener)); err != nil {
		t.Fatal(err)
	}
	l.Close() // the other end has its own descriptor of it
	var got Answer
	f, err := b.Receive(&got)
	if err != nil || f == nil || got.Call != 7 {
		t.Fatalf("%+v %v %v", got, f, err)
	}
	again, err := net.FileListener(f)
	f.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	c, err := net.Dial("tcp", again.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if err := b.Send(Request{Op: OpListen, Call: 1}, nil); err != nil {
		t.Fatal(err)
	}
	var asked Request
	if f, err := a.Receive(&asked); err != nil || f != nil || asked.Op != OpListen {
		t.Fatalf("%+v %v %v", asked, f, err)
	}
	b.Close()
	if _, err := a.Receive(&asked); err == nil {
		t.Error("the end is not seen")
	}
}
