package segment

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"warren/tunnel/tun"
)

func TestClampMSS(t *testing.T) {
	for name, tc := range map[string]struct {
		flow flow
		want uint16 // 0: unchanged
	}{
		"v4":           {flow{flags: tcpSYN, options: []byte{2, 4, 5, 0xb4}}, 1380},
		"v6":           {flow{v6: true, flags: tcpSYN | tcpACK, options: []byte{2, 4, 5, 0xa0}}, 1360},
		"small":        {flow{flags: tcpSYN, options: []byte{2, 4, 5, 0}}, 0},
		"not SYN":      {flow{flags: tcpACK, options: []byte{2, 4, 5, 0xb4}}, 0},
		"odd offset":   {flow{flags: tcpSYN, options: []byte{1, 2, 4, 5, 0xb4, 1, 1, 0}}, 1380},
		"others first": {flow{flags: tcpSYN, options: []byte{4, 2, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 2, 4, 0xff, 0xff}}, 1380},
		"after end":    {flow{flags: tcpSYN, options: []byte{0, 0, 0, 0, 2, 4, 5, 0xb4}}, 0},
		"broken":       {flow{flags: tcpSYN, options: []byte{8, 0, 0, 0, 2, 4, 5, 0xb4}}, 0},
		"cut off":      {flow{flags: tcpSYN, options: []byte{1, 1, 1, 2}}, 0},
		"no options":   {flow{flags: tcpSYN}, 0},
		"UDP":          {flow{udp: true}, 0},
	} {
		p := tc.flow.packet(nil)
		before := bytes.Clone(p)
		ClampMSS(p, 1420)
		if tc.want == 0 {
			if !bytes.Equal(p, before) {
				t.Errorf("%s: changed", name)
			}
			continue
		}
		start := len(p) - 20 - len(tc.flow.options)
		if got := naiveTransport(p, 6, start, start+16); got != binary.BigEndian.Uint16(p[start+16:]) {
			t.Errorf("%s: checksum %x, want %x", name, p[start+16:start+18], got)
		}
		if !bytes.Contains(p[start+20:], binary.BigEndian.AppendUint16([]byte{2, 4}, tc.want)) {
			t.Errorf("%s: options %x, want an MSS of %d", name, p[start+20:], tc.want)
		}
	}
}

// extension is a header between that of IPv6 and what follows: its kind, and its bytes but
// for the first, which says what is next.
type extension struct {
	kind byte
	rest []byte
}

// behind puts extension headers into an IPv6 packet.
func behind(p []byte, extensions ...extension) []byte {
	p = bytes.Clone(p)
	for i := len(extensions) - 1; i >= 0; i-- {
		e := extensions[i]
		p = slices.Insert(p, 40, append([]byte{p[6]}, e.rest...)...)
		p[6] = e.kind
	}
	binary.BigEndian.PutUint16(p[4:], uint16(len(p)-40))
	return p
}

func fragment(offset, more uint16) extension {
	rest := make([]byte, 7)
	binary.BigEndian.PutUint16(rest[1:], offset<<3|more)
	return extension{unix.IPPROTO_FRAGMENT, rest}
}

func TestClampMSSBehindExtensionHeaders(t *testing.T) {
	plain := flow{v6: true, flags: tcpSYN, options: []byte{2, 4, 5, 0xa0}}.packet(nil)
	short, long := make([]byte, 7), append([]byte{2}, make([]byte, 22)...)
	hop, destination, routing := extension{unix.IPPROTO_HOPOPTS, short}, extension{unix.IPPROTO_DSTOPTS, long}, extension{unix.IPPROTO_ROUTING, short}
	many := slices.Repeat([]extension{destination}, maxHeaders)
	for name, tc := range map[string]struct {
		extensions []extension
		clamped    bool
	}{
		"none":                        {nil, true},
		"hop-by-hop":                  {[]extension{hop}, true},
		"destination":                 {[]extension{destination}, true},
		"routing":                     {[]extension{routing}, true},
		"mobility":                    {[]extension{{unix.IPPROTO_MH, short}}, true},
		"authentication":              {[]extension{{unix.IPPROTO_AH, append([]byte{4}, make([]byte, 22)...)}}, true},
		"first fragment":              {[]extension{fragment(0, 1)}, true},
		"the only fragment":           {[]extension{fragment(0, 0)}, true},
		"second fragment":             {[]extension{fragment(1, 1)}, false},
		"last fragment":               {[]extension{fragment(1, 0)}, false},
		"all":                         {[]extension{hop, destination, routing, fragment(0, 1), destination}, true},
		"behind the second fragment":  {[]extension{hop, fragment(7, 0), destination}, false},
		"as many as are looked at":    {many[1:], true},
		"more than anybody needs":     {many, false},
		"encrypted":                   {[]extension{{unix.IPPROTO_ESP, short}}, false},
		"nothing behind":              {[]extension{{unix.IPPROTO_NONE, short}}, false},
		"one that is not known":       {[]extension{{253, short}}, false},
		"longer than the packet":      {[]extension{{unix.IPPROTO_HOPOPTS, append([]byte{255}, make([]byte, 6)...)}}, false},
		"to the end, with no segment": {[]extension{{unix.IPPROTO_HOPOPTS, append([]byte{3}, make([]byte, 6)...)}}, false},
	} {
		before := behind(plain, tc.extensions...)
		p := bytes.Clone(before)
		ClampMSS(p, 1420)
		want := bytes.Clone(before)
		if tc.clamped {
			// What the same segment is without them.
			tcp := bytes.Clone(plain)
			ClampMSS(tcp, 1420)
			if bytes.Equal(tcp, plain) {
				t.Fatal("the plain segment is not clamped")
			}
			copy(want[len(want)-24:], tcp[40:])
		}
		if !bytes.Equal(p, want) {
			t.Errorf("%s:\n%x\n%x wanted of\n%x", name, p, want, before)
		}
		for n := range before { // cut short anywhere
			ClampMSS(bytes.Clone(before[:n:n]), 1420)
		}
	}
}

// FuzzClampMSS changes nothing of a hostile packet but an MSS and the checksum over it.
func FuzzClampMSS(f *testing.F) {
	syn := flow{v6: true, flags: tcpSYN, options: []byte{2, 4, 5, 0xa0}}.packet(nil)
	f.Add(syn)
	f.Add(flow{flags: tcpSYN, options: []byte{1, 2, 4, 5, 0xb4, 1, 1, 0}}.packet(nil))
	f.Add(behind(syn, extension{unix.IPPROTO_HOPOPTS, make([]byte, 7)}, fragment(0, 1)))
	f.Add(behind(syn, extension{unix.IPPROTO_AH, append([]byte{4}, make([]byte, 22)...)}))
	f.Fuzz(func(t *testing.T, p []byte) {
		before := bytes.Clone(p)
		ClampMSS(p, 1420)
		changed := 0
		for i := range p {
			if p[i] != before[i] {
				changed++
			}
		}
		if changed > 4 {
			t.Fatalf("%d bytes are changed:\n%x\n%x", changed, before, p)
		}
		again := bytes.Clone(p)
		if ClampMSS(again, 1420); !bytes.Equal(again, p) {
			t.Fatalf("clamped once more:\n%x\n%x", p, again)
		}
	})
}

// A frame whose checksum is left to the far end has the sum of the addresses there, which no option is a part of.
func TestClampFrame(t *testing.T) {
	syn := flow{flags: tcpSYN, options: []byte{2, 4, 5, 0xb4}}
	for _, partial := range []bool{false, true} {
		frame := append(make([]byte, tun.HeaderLen), syn.packet(nil)...)
		start := len(frame) - 20 - len(syn.options)
		if partial {
			frame[0] = unix.VIRTIO_NET_HDR_F_NEEDS_CSUM
		}
		before := binary.BigEndian.Uint16(frame[start+16:])
		ClampFrame(frame, 1420)
		if !bytes.Contains(frame[start+20:], []byte{2, 4, 1380 >> 8, 1380 & 255}) {
			t.Errorf("options %x", frame[start+20:])
		}
		want := before
		if !partial {
			want = naiveTransport(frame[tun.HeaderLen:], 6, start-tun.HeaderLen, start-tun.HeaderLen+16)
		}
		if got := binary.BigEndian.Uint16(frame[start+16:]); got != want {
			t.Errorf("partial %v: checksum %x, want %x", partial, got, want)
		}
	}
	ClampFrame(nil, 1420)
	ClampFrame(make([]byte, tun.HeaderLen), 1420)
}
