package pathmtu

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

var (
	near4 = Ends{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")}
	near6 = Ends{netip.MustParseAddr("fd00::1"), netip.MustParseAddr("fd00::2")}
)

func (e Ends) swapped() Ends { return Ends{e.Peer, e.Local} }

func TestProbe(t *testing.T) {
	for _, e := range []Ends{near4, near6} {
		for _, size := range []int{Small, 1281, 65475} {
			token := Token{1, 2, 3, 15: 9}
			p, err := e.Request(size, token)
			if err != nil {
				t.Fatal(err)
			}
			if len(p) != size || !IsICMP(p) {
				t.Errorf("%d bytes, want %d; ICMP: %v", len(p), size, IsICMP(p))
			}
			proto := protoICMP
			if e.Local.Is6() {
				proto = protoICMPv6
				if int(binary.BigEndian.Uint16(p[4:])) != size-ipv6Len {
					t.Error("payload length")
				}
			} else if h, err := icmp.ParseIPv4Header(p); err != nil || h.TotalLen != size || !h.Dst.Equal(e.Peer.AsSlice()) {
				t.Errorf("%+v, %v", h, err)
			}
			m, err := icmp.ParseMessage(proto, p[e.headers():])
			if err != nil || m.Type != ipv4.ICMPTypeEcho && m.Type != ipv6.ICMPTypeEchoRequest {
				t.Errorf("%+v, %v", m, err)
			}
			// Another Warren answers with little, which this end knows again.
			answer, _, answers := e.swapped().Take(p)
			if answer == nil || len(answer) > Small || answers {
				t.Fatalf("%d bytes, %v", len(answer), answers)
			}
			if more, got, answers := e.Take(answer); !answers || got != token || more != nil {
				t.Errorf("%v, %v", got, answers)
			}
			// The kernel behind another device, with all of it.
			if full := kernelReply(t, e, p); len(full) != size {
				t.Fatal(len(full))
			} else if _, got, answers := e.Take(full); !answers || got != token {
				t.Errorf("%v, %v", got, answers)
			}
		}
	}
}

// kernelReply is what the peer's kernel makes of an echo (RFC 792, RFC 4443).
func kernelReply(t *testing.T, e Ends, request []byte) []byte {
	t.Helper()
	if e.Local.Is4() {
		b := append(e.swapped().ipv4Header(len(request)-ipv4Len), request[ipv4Len:]...)
		b[ipv4Len] = byte(ipv4.ICMPTypeEchoReply)
		return b
	}
	b := append(e.swapped().ipv6Header(len(request)-ipv6Len), request[ipv6Len:]...)
	b[ipv6Len] = byte(ipv6.ICMPTypeEchoReply)
	return b
}

// A peer with a smaller MTU cuts its replies.
func TestFirstFragmentOfAReply(t *testing.T) {
	p, err := near4.Request(1400, Token{7})
	if err != nil {
		t.Fatal(err)
	}
	first := kernelReply(t, near4, p)[:1260]
	binary.BigEndian.PutUint16(first[2:], 1260)
	first[6] = 0x20
	if _, got, ok := near4.Take(first); !ok || got != (Token{7}) {
		t.Error("IPv4: not taken")
	}
	first[7] = 1 // a later one
	if _, _, ok := near4.Take(first); ok {
		t.Error("IPv4: a later fragment is taken")
	}
	if p, err = near6.Request(1400, Token{8}); err != nil {
		t.Fatal(err)
	}
	full := kernelReply(t, near6, p)
	first = append(full[:ipv6Len:ipv6Len], append([]byte{protoICMPv6, 0, 0, 1, 1, 2, 3, 4}, full[ipv6Len:1200]...)...)
	first[6] = protoFragment
	if _, got, ok := near6.Take(first); !IsICMP(first) || !ok || got != (Token{8}) {
		t.Error("IPv6: not taken")
	}
	first[ipv6Len+3] = 9
	if _, _, ok := near6.Take(first); ok {
		t.Error("IPv6: a later fragment is taken")
	}
}

// What is no probe goes to the kernel: echoes of other programs, of other addresses, cut short.
func TestOtherPacketsAreLeftAlone(t *testing.T) {
	for _, e := range []Ends{near4, near6} {
		p, err := e.Request(Small, Token{1})
		if err != nil {
			t.Fatal(err)
		}
		taken := func(p []byte) bool {
			answer, _, answers := e.swapped().Take(p)
			return answer != nil || answers
		}
		if !taken(p) {
			t.Fatal("the probe itself is left alone")
		}
		for n := range e.headers() + icmpLen + payloadLen {
			if taken(p[:n]) {
				t.Errorf("%v: the first %d bytes are a probe", e.Local, n)
			}
		}
		addresses, magicAt := e.headers()-2*len(e.Local.AsSlice()), e.headers()+icmpLen
		for _, at := range []int{0, addresses, addresses + len(e.Local.AsSlice()), e.headers(), e.headers() + 1, magicAt, magicAt + len(magic) - 1} {
			other := append([]byte(nil), p...)
			other[at] ^= 0x80
			if taken(other) {
				t.Errorf("%v: with byte %d changed it is a probe", e.Local, at)
			}
		}
		if answer, _, answers := e.Take(p); answer != nil || answers {
			t.Error("a probe of this end's own is taken")
		}
		if (Ends{}).IsValid() || (Ends{near4.Local, near6.Peer}).IsValid() {
			t.Error("ends of no family are valid")
		}
	}
}

func TestTooLarge(t *testing.T) {
	p := make([]byte, 1200)
	p[0], p[6] = 0x46, 0x40
	copy(p[12:], []byte{10, 0, 0, 1, 10, 0, 0, 2})
	e := TooLarge(p, 1000)
	if len(e) != ipv4Len+icmpLen+24+8 || checksum(e[:ipv4Len]) != 0 || checksum(e[ipv4Len:]) != 0 {
		t.Errorf("% x", e)
	}
	for name, change := range map[string]func([]byte) []byte{
		"IPv6":         func(p []byte) []byte { p[0] = 0x60; return p },
		"may be cut":   func(p []byte) []byte { p[6] = 0; return p },
		"short header": func(p []byte) []byte { p[0] = 0x44; return p },
		"cut short":    func(p []byte) []byte { return p[:31] },
		"empty":        func([]byte) []byte { return nil },
	} {
		if e := TooLarge(change(append([]byte(nil), p...)), 1000); e != nil {
			t.Errorf("%s: % x", name, e)
		}
	}
}
