package pathmtu

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// magic begins the payload of a probe: an echo to the peer with it is answered by a Warren
// itself, and by another device as any echo is.
const magic = "WarrenPL"

// Token tells the probes of one end apart. Whoever has not seen it cannot make up an answer.
type Token [16]byte

const (
	payloadLen = len(magic) + len(Token{})
	icmpLen    = 8
	ipv4Len    = 20
	ipv6Len    = 40

	fragmentLen = 8 // RFC 8200, section 4.5

	protoICMP, protoICMPv6, protoFragment = 1, 58, 44 // IANA protocol numbers
	hops                                  = 64
)

// Ends are the two addresses in the tunnel, of one family and without zones.
type Ends struct{ Local, Peer netip.Addr }

// IsValid reports whether probes can be made for them.
func (e Ends) IsValid() bool {
	return e.Local.IsValid() && e.Peer.IsValid() && e.Local.Is4() == e.Peer.Is4() && e.Local.Zone() == "" && e.Peer.Zone() == ""
}

// Request makes a probe of size bytes, at least Small.
func (e Ends) Request(size int, t Token) ([]byte, error) { return e.probe(size, true, t) }

// Message makes the ICMP message of a probe of size bytes, at least Small, for who leaves the IP header to the kernel.
func (e Ends) Message(size int, t Token) ([]byte, error) {
	packet, err := e.Request(size, t)
	if err != nil {
		return nil, err
	}
	return packet[e.headers():], nil
}

// TakeMessage reads the token from the ICMP message of an answer, which may be cut behind it. ok is false for any other
// message.
func TakeMessage(m []byte) (t Token, ok bool) {
	if len(m) < icmpLen+payloadLen || m[0] != byte(ipv4.ICMPTypeEchoReply) && m[0] != byte(ipv6.ICMPTypeEchoReply) || m[1] != 0 ||
		string(m[icmpLen:icmpLen+len(magic)]) != magic {
		return Token{}, false
	}
	copy(t[:], m[icmpLen+len(magic):])
	return t, true
}

// reply makes the short answer to a probe.
func (e Ends) reply(t Token) ([]byte, error) {
	return e.probe(e.headers()+icmpLen+payloadLen, false, t)
}

func (e Ends) headers() int {
	if e.Local.Is4() {
		return ipv4Len
	}
	return ipv6Len
}

func (e Ends) probe(size int, request bool, t Token) ([]byte, error) {
	return e.echo(magic, request, t, make([]byte, max(0, size-e.headers()-icmpLen-payloadLen)))
}

// echo makes an echo request or reply whose payload is a magic of 8 bytes, the token and the rest.
func (e Ends) echo(magic string, request bool, t Token, rest []byte) ([]byte, error) {
	data := append(append([]byte(magic), t[:]...), rest...)
	m := icmp.Message{Body: &icmp.Echo{ID: int(binary.BigEndian.Uint16(t[:])), Seq: int(binary.BigEndian.Uint16(t[2:])), Data: data}}
	if e.Local.Is4() {
		if m.Type = ipv4.ICMPTypeEchoReply; request {
			m.Type = ipv4.ICMPTypeEcho
		}
		body, err := m.Marshal(nil)
		if err != nil {
			return nil, err
		}
		return append(e.ipv4Header(len(body)), body...), nil
	}
	if m.Type = ipv6.ICMPTypeEchoReply; request {
		m.Type = ipv6.ICMPTypeEchoRequest
	}
	body, err := m.Marshal(icmp.IPv6PseudoHeader(e.Local.AsSlice(), e.Peer.AsSlice()))
	if err != nil {
		return nil, err
	}
	return append(e.ipv6Header(len(body)), body...), nil
}

// ipv4Header makes the header of a packet that must not be fragmented (RFC 791).
func (e Ends) ipv4Header(n int) []byte {
	h := make([]byte, ipv4Len, ipv4Len+n)
	h[0], h[6], h[8], h[9] = 0x45, 0x40, hops, protoICMP
	binary.BigEndian.PutUint16(h[2:], uint16(ipv4Len+n))
	src, dst := e.Local.As4(), e.Peer.As4()
	copy(h[12:], src[:])
	copy(h[16:], dst[:])
	binary.BigEndian.PutUint16(h[10:], checksum(h))
	return h
}

func (e Ends) ipv6Header(n int) []byte {
	h := make([]byte, ipv6Len, ipv6Len+n)
	h[0], h[6], h[7] = 0x60, protoICMPv6, hops
	binary.BigEndian.PutUint16(h[4:], uint16(n))
	src, dst := e.Local.As16(), e.Peer.As16()
	copy(h[8:], src[:])
	copy(h[24:], dst[:])
	return h
}

// IsICMP reports whether a packet may be a probe or an answer to one: it is cheap, for each
// packet that arrives.
func IsICMP(p []byte) bool {
	return len(p) >= ipv4Len && (p[0] == 0x45 && p[9] == protoICMP || p[0]>>4 == 6 && (p[6] == protoICMPv6 || p[6] == protoFragment))
}

// Take looks at a packet that came from the peer. If it is a probe, answer is what to send
// back; if it answers a probe, token says which. Neither is so for any other packet, an echo
// of other programs included.
func (e Ends) Take(p []byte) (answer []byte, token Token, answers bool) {
	request, t, _, ok := e.parse(p, magic)
	switch {
	case !ok:
		return nil, Token{}, false
	case request:
		answer, _ = e.reply(t) // the error is for bodies that this one is not
		return answer, Token{}, false
	}
	return nil, t, true
}

// parse reads an echo from the peer to this end that has a magic, or the first fragment of
// one: a peer with a smaller MTU fragments its replies. Its authenticity is the tunnel's, and
// so the checksum says nothing more.
func (e Ends) parse(p []byte, magic string) (request bool, t Token, rest []byte, ok bool) {
	var src, dst netip.Addr
	typeRequest, typeReply := byte(ipv4.ICMPTypeEcho), byte(ipv4.ICMPTypeEchoReply)
	at := e.headers()
	switch {
	case !e.IsValid() || len(p) < at+icmpLen+payloadLen:
		return false, Token{}, nil, false
	case e.Local.Is4() && p[0] == 0x45 && p[9] == protoICMP && binary.BigEndian.Uint16(p[6:])&0x1fff == 0:
		src, dst = netip.AddrFrom4([4]byte(p[12:16])), netip.AddrFrom4([4]byte(p[16:20]))
	case e.Local.Is6() && p[0]>>4 == 6:
		src, dst = netip.AddrFrom16([16]byte(p[8:24])), netip.AddrFrom16([16]byte(p[24:40]))
		typeRequest, typeReply = byte(ipv6.ICMPTypeEchoRequest), byte(ipv6.ICMPTypeEchoReply)
		next := p[6]
		if next == protoFragment && binary.BigEndian.Uint16(p[at+2:])&^7 == 0 {
			next, at = p[at], at+fragmentLen
		}
		if next != protoICMPv6 || len(p) < at+icmpLen+payloadLen {
			return false, Token{}, nil, false
		}
	default:
		return false, Token{}, nil, false
	}
	m := p[at:]
	if src != e.Peer || dst != e.Local || m[1] != 0 || m[0] != typeRequest && m[0] != typeReply || string(m[icmpLen:icmpLen+len(magic)]) != magic {
		return false, Token{}, nil, false
	}
	copy(t[:], m[icmpLen+len(magic):])
	return m[0] == typeRequest, t, m[icmpLen+payloadLen:], true
}
