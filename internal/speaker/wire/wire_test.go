package wire

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// What is written is read again, over more than one frame.
func TestRoutes(t *testing.T) {
	type change struct {
		id uint32
		p  netip.Prefix
	}
	var want []change
	for _, s := range []string{"0.0.0.0/0", "::/0", "10.1.2.128/25", "10.1.2.3/32", "2001:db8::1/128", "2001:db8::/33", "128.0.0.0/1"} {
		want = append(want, change{1 << 31, netip.MustParsePrefix(s)})
	}
	for i := range 30000 {
		want = append(want, change{uint32(i % 200), netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24)})
	}
	var w RouteWriter
	for _, c := range want {
		w.Add(c.id, c.p)
	}
	r, frames := NewReader(bytes.NewReader(w.Take()), MaxFromSpeaker), 0
	for {
		kind, payload, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || kind != KindRoutes {
			t.Fatal(kind, err)
		}
		frames++
		for len(payload) > 0 {
			id, p, rest, err := NextRoute(payload)
			if err != nil || len(want) == 0 || id != want[0].id || p != want[0].p {
				t.Fatalf("read %d %v, %v", id, p, err)
			}
			want, payload = want[1:], rest
		}
	}
	if len(want) > 0 || frames < 2 {
		t.Errorf("%d changes are missing, in %d frames", len(want), frames)
	}
}

// However it is malformed, a payload of routes is refused or is routes that can be written again.
func FuzzRoutes(f *testing.F) {
	f.Add([]byte{1, 24, 10, 1, 2})
	f.Add([]byte{0, 33 + 128, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 1, 0})
	f.Add([]byte{1, 25, 10, 1, 2, 0x7f})
	f.Fuzz(func(t *testing.T, b []byte) {
		for len(b) > 0 {
			id, p, rest, err := NextRoute(b)
			if err != nil {
				return
			}
			if !p.IsValid() || p != p.Masked() || p.Addr().Is4In6() || len(rest) >= len(b) {
				t.Fatalf("%v", p)
			}
			var w RouteWriter
			w.Add(id, p)
			again, q, end, err := NextRoute(w.Take()[frameHeader:])
			if err != nil || again != id || q != p || len(end) > 0 {
				t.Fatalf("%d %v is read again as %d %v: %v", id, p, again, q, err)
			}
			b = rest
		}
	})
}

func TestRoutesMalformed(t *testing.T) {
	for _, b := range [][]byte{
		{},
		{1},
		{0xff, 0xff, 0xff, 0xff, 0xff, 1, 0}, // a number above 32 bits
		{1, 24, 10, 1},                       // cut off
		{1, 33 + 129, 1, 2, 3, 4},            // too long
		{1, 255, 1, 2, 3, 4},
		{1, 8},        //
		{1, 9, 10, 1}, // host bits
		append([]byte{1, 33 + 96}, mappedPrefix[:]...), // IPv4-mapped
	} {
		if id, p, _, err := NextRoute(b); err == nil {
			t.Errorf("%x is read as %d %v", b, id, p)
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
