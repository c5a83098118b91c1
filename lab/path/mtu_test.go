package path

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
)

// A path of 1400 bytes.
func narrow(t *testing.T, c Conditions, f frame) (*line, []delivery) {
	t.Helper()
	l := newLine(1, A)
	l.router = [2]netip.Addr{netip.MustParseAddr("192.0.2.254"), netip.MustParseAddr("2001:db8::fe")}
	c.MTU = 1400
	l.arrive(0, &c, f)
	return l, drain(l)
}

func dontFragmentIt(f frame) frame {
	binary.BigEndian.PutUint16(f.data[frameHeader+6:], dontFragment)
	sumHeader(f.data[frameHeader:][:ipv4Header])
	return f
}

func TestFits(t *testing.T) {
	for _, f := range []frame{packet(1, 1400), dontFragmentIt(packet(1, 1400)), packet6(1400)} {
		_, got := narrow(t, Conditions{}, f)
		if len(got) != 1 || !bytes.Equal(got[0].frame.data, f.data) || got[0].frame.back {
			t.Errorf("%v", got)
		}
	}
}

// A router cuts IPv4 packets that let it, also those that are parts already. Put together again they are what was sent.
func TestFragments(t *testing.T) {
	whole := packet(1, 1500)
	_, got := narrow(t, Conditions{}, whole)
	if len(got) != 2 {
		t.Fatalf("%d parts", len(got))
	}
	var payload []byte
	for i, d := range got {
		p := d.frame.data[frameHeader:]
		field := binary.BigEndian.Uint16(p[6:])
		if len(p) > 1400 || int(binary.BigEndian.Uint16(p[2:])) != len(p) || checksum(0, p[:ipv4Header]) != 0 {
			t.Errorf("part %d is wrong: %x", i, p[:ipv4Header])
		}
		if int(field&offsetMask)*8 != len(payload) || (field&moreFragments != 0) != (i == 0) {
			t.Errorf("part %d: field %x after %d bytes", i, field, len(payload))
		}
		payload = append(payload, p[ipv4Header:]...)
	}
	if !bytes.Equal(payload, whole.data[frameHeader+ipv4Header:]) {
		t.Error("the payload is another")
	}

	part := packet(1, 1500)
	binary.BigEndian.PutUint16(part.data[frameHeader+6:], moreFragments|100)
	_, got = narrow(t, Conditions{}, part)
	if len(got) != 2 {
		t.Fatalf("%d parts of a part", len(got))
	}
	for i, want := range []uint16{moreFragments | 100, moreFragments | (100 + 1376/8)} {
		if field := binary.BigEndian.Uint16(got[i].frame.data[frameHeader+6:]); field != want {
			t.Errorf("part %d of a part: %x, want %x", i, field, want)
		}
	}
}

// A checksum that is left to the network card is completed before a packet is cut.
func TestFragmentsAreSummed(t *testing.T) {
	f := packet(1, 1500)
	udp := f.data[frameHeader+ipv4Header:]
	binary.BigEndian.PutUint16(udp[6:], 0x1234) // the sum of the pseudo header, as it were
	want := checksum(0, udp)
	f.sumStart, f.sumOffset = frameHeader+ipv4Header, 6
	_, got := narrow(t, Conditions{}, f)
	if sum := binary.BigEndian.Uint16(got[0].frame.data[frameHeader+ipv4Header+6:]); sum != want {
		t.Errorf("the checksum is %x, want %x", sum, want)
	}
	if checksum(0x1234, append(udp[:6:6], udp[8:]...)) != want {
		t.Error("want is wrong")
	}
}

func TestFragmentationNeeded(t *testing.T) {
	big := dontFragmentIt(packet(1, 1500))
	l, got := narrow(t, Conditions{}, big)
	if len(got) != 1 || !got[0].frame.back || l.counts[TooLarge].Load() != 1 {
		t.Fatalf("%v", got)
	}
	b := got[0].frame.data
	p := b[frameHeader:]
	icmp := p[ipv4Header:]
	switch {
	case !bytes.Equal(b[:6], big.data[6:12]):
		t.Errorf("it goes to %x", b[:6])
	case checksum(0, p[:ipv4Header]) != 0, checksum(0, icmp) != 0, len(p) > 576, int(binary.BigEndian.Uint16(p[2:])) != len(p):
		t.Errorf("it is wrong: %x", p)
	case !bytes.Equal(p[12:16], []byte{192, 0, 2, 254}), !bytes.Equal(p[16:20], []byte{192, 0, 2, 1}):
		t.Errorf("it goes from %v to %v", p[12:16], p[16:20])
	case icmp[0] != 3, icmp[1] != 4, binary.BigEndian.Uint16(icmp[6:]) != 1400:
		t.Errorf("it says %x", icmp[:8])
	case !bytes.HasPrefix(big.data[frameHeader:], icmp[8:]), len(icmp) < 8+ipv4Header+8:
		t.Errorf("it is about %x", icmp[8:])
	}
}

func TestPacketTooBig(t *testing.T) {
	big := packet6(1500)
	_, got := narrow(t, Conditions{}, big)
	if len(got) != 1 || !got[0].frame.back {
		t.Fatalf("%v", got)
	}
	p := got[0].frame.data[frameHeader:]
	icmp := p[ipv6Header:]
	pseudo := uint32(len(icmp)) + protoICMPv6
	for at := 8; at < ipv6Header; at += 2 {
		pseudo += uint32(binary.BigEndian.Uint16(p[at:]))
	}
	switch {
	case len(p) != 1280, int(binary.BigEndian.Uint16(p[4:])) != len(icmp), p[6] != protoICMPv6:
		t.Errorf("it has %d bytes: %x", len(p), p[:ipv6Header])
	case !bytes.Equal(p[24:40], big.data[frameHeader+8:frameHeader+24]), netip.AddrFrom16([16]byte(p[8:24])) != netip.MustParseAddr("2001:db8::fe"):
		t.Errorf("it goes from %x to %x", p[8:24], p[24:40])
	case icmp[0] != 2, icmp[1] != 0, binary.BigEndian.Uint32(icmp[4:]) != 1400, checksum(pseudo, icmp) != 0:
		t.Errorf("it says %x", icmp[:8])
	case !bytes.HasPrefix(big.data[frameHeader:], icmp[8:]):
		t.Errorf("it is about %x", icmp[8:])
	}
}

// Who is silent about it, and about what nobody must speak.
func TestTooLargeInSilence(t *testing.T) {
	icmpError := dontFragmentIt(packet(1, 1500))
	icmpError.data[frameHeader+9], icmpError.data[frameHeader+ipv4Header] = protoICMP, 3
	multicast := dontFragmentIt(packet(1, 1500))
	multicast.data[frameHeader+16] = 239
	error6 := packet6(1500)
	error6.data[frameHeader+6], error6.data[frameHeader+ipv6Header] = protoICMPv6, 1
	small := packet(1, 200)
	binary.BigEndian.PutUint16(small.data[frameHeader+6:], moreFragments)
	for _, tc := range []struct {
		name string
		c    Conditions
		f    frame
	}{
		{"no-icmp", Conditions{NoICMP: true}, dontFragmentIt(packet(1, 1500))},
		{"no-icmp, IPv6", Conditions{NoICMP: true}, packet6(1500)},
		{"no-fragments", Conditions{NoFragments: true}, packet(1, 1500)},
		{"no-fragments, which came as one", Conditions{NoFragments: true}, small},
		{"about an ICMP error", Conditions{}, icmpError},
		{"about multicast", Conditions{}, multicast},
		{"about an ICMPv6 error", Conditions{}, error6},
	} {
		l, got := narrow(t, tc.c, tc.f)
		if len(got) != 0 || l.counts[TooLarge].Load() != 1 {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
	// A router without an address has no way to say it.
	l := newLine(1, A)
	l.arrive(0, &Conditions{MTU: 1400}, packet6(1500))
	if got := drain(l); len(got) != 0 {
		t.Errorf("%v", got)
	}
}
