package path

import (
	"encoding/binary"
	"net/netip"
)

const (
	etherIPv4 = 0x0800
	etherIPv6 = 0x86dd

	protoICMP     = 1
	protoICMPv6   = 58
	protoFragment = 44

	ipv4Header = 20
	ipv6Header = 40
	icmpHeader = 8

	dontFragment  = 0x4000 // of the field with the flags and the offset
	moreFragments = 0x2000
	offsetMask    = 0x1fff
)

// etherType returns the type of a frame, or 0 if it holds no whole IP header.
func etherType(b []byte) uint16 {
	if len(b) < frameHeader {
		return 0
	}
	t, b := binary.BigEndian.Uint16(b[12:]), b[frameHeader:]
	switch {
	case t == etherIPv4 && len(b) >= ipv4Header && b[0]>>4 == 4 && len(b) >= headerLen(b) && headerLen(b) >= ipv4Header:
		return t
	case t == etherIPv6 && len(b) >= ipv6Header:
		return t
	}
	return 0
}

// headerLen is that of an IPv4 packet, with its options.
func headerLen(packet []byte) int { return int(packet[0]&0xf) * 4 }

// isLinkOwn reports whether a frame is no packet for a network behind the link: ARP, neighbour discovery, and
// other multicast of the link.
func isLinkOwn(b []byte) bool {
	switch p := b[min(frameHeader, len(b)):]; etherType(b) {
	case etherIPv4:
		return p[16] == 224 && p[17] == 0 && p[18] == 0 // 224.0.0.0/24
	case etherIPv6:
		// Neighbour discovery has a hop limit of 255 (RFC 4861, section 3.1).
		neighbour := p[6] == protoICMPv6 && p[7] == 255 && len(p) > ipv6Header && p[ipv6Header] >= 133 && p[ipv6Header] <= 137
		return neighbour || p[24] == 0xff && p[25]&0xf == 2 // ff02::/16
	}
	return true
}

// isFragment reports whether a frame has a part of a packet.
func isFragment(b []byte) bool {
	switch etherType(b) {
	case etherIPv4:
		return binary.BigEndian.Uint16(b[frameHeader+6:])&(moreFragments|offsetMask) != 0
	case etherIPv6:
		return b[frameHeader+6] == protoFragment
	}
	return false
}

// tooLarge takes a packet that is longer than the MTU, as a router does.
func (l *line) tooLarge(now int64, c *Conditions, f frame) {
	p := f.data[frameHeader:]
	isV4 := etherType(f.data) == etherIPv4
	if isV4 && binary.BigEndian.Uint16(p[6:])&dontFragment == 0 && !c.NoFragments {
		f.complete()
		for _, part := range fragments(f.data, c.MTU) {
			l.admit(now, c, frame{data: part})
		}
		return
	}
	l.counts[TooLarge].Add(1)
	if c.NoICMP {
		return
	}
	var tell []byte
	if isV4 {
		// Nothing is said where fragments are what is dropped (RFC 1191, section 4).
		if binary.BigEndian.Uint16(p[6:])&dontFragment != 0 && l.router[0].IsValid() {
			tell = fragmentationNeeded(f.data, l.router[0], c.MTU)
		}
	} else if l.router[1].IsValid() {
		tell = packetTooBig(f.data, l.router[1], c.MTU)
	}
	if tell != nil {
		l.hold(now+c.Delay.Nanoseconds(), frame{data: tell, back: true})
	}
}

// fragments cuts a frame's IPv4 packet (RFC 791, section 3.2). All parts have all options.
func fragments(b []byte, mtu int) (parts [][]byte) {
	header := frameHeader + headerLen(b[frameHeader:])
	total := min(len(b), frameHeader+int(binary.BigEndian.Uint16(b[frameHeader+2:])))
	field := binary.BigEndian.Uint16(b[frameHeader+6:])
	offset := int(field&offsetMask) * 8
	step := (mtu - header + frameHeader) &^ 7
	for at := header; at < total && step > 0; at += step {
		end := min(at+step, total)
		part := append(append([]byte(nil), b[:header]...), b[at:end]...)
		flags := field & moreFragments
		if end < total {
			flags = moreFragments
		}
		p := part[frameHeader:]
		binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
		binary.BigEndian.PutUint16(p[6:], flags|uint16((offset+at-header)/8))
		sumHeader(p[:header-frameHeader])
		parts = append(parts, part)
	}
	return parts
}

// sumHeader sets the checksum of an IPv4 header.
func sumHeader(p []byte) {
	binary.BigEndian.PutUint16(p[10:], 0)
	binary.BigEndian.PutUint16(p[10:], checksum(0, p))
}

// fragmentationNeeded returns the frame of the ICMP error about a packet (RFC 1191, section 4), or nil if there
// must be none (RFC 1122, section 3.2.2).
func fragmentationNeeded(b []byte, router netip.Addr, mtu int) []byte {
	p := b[frameHeader:]
	header := headerLen(p)
	if p[16] >= 224 || binary.BigEndian.Uint16(p[6:])&offsetMask != 0 {
		return nil
	}
	if p[9] == protoICMP && len(p) > header && p[header] != 0 && p[header] != 8 {
		return nil
	}
	quote := p[:min(len(p), 576-ipv4Header-icmpHeader)]
	out := make([]byte, frameHeader+ipv4Header+icmpHeader, frameHeader+576)
	address(out, b, etherIPv4)
	ip := out[frameHeader:]
	copy(ip, []byte{0x45, 0xc0, 2: 0, 8: 64, 9: protoICMP})
	binary.BigEndian.PutUint16(ip[2:], uint16(ipv4Header+icmpHeader+len(quote)))
	from := router.As4()
	copy(ip[12:], from[:])
	copy(ip[16:], p[12:16])
	sumHeader(ip[:ipv4Header])
	icmp := ip[ipv4Header:]
	icmp[0], icmp[1] = 3, 4
	binary.BigEndian.PutUint16(icmp[6:], uint16(mtu))
	out = append(out, quote...)
	icmp = out[frameHeader+ipv4Header:]
	binary.BigEndian.PutUint16(icmp[2:], checksum(0, icmp))
	return out
}

// packetTooBig returns the frame of the ICMPv6 error about a packet, or nil if there must be none (RFC 4443,
// sections 3.2 and 2.4).
func packetTooBig(b []byte, router netip.Addr, mtu int) []byte {
	p := b[frameHeader:]
	if p[6] == protoICMPv6 && len(p) > ipv6Header && p[ipv6Header] < 128 {
		return nil
	}
	quote := p[:min(len(p), 1280-ipv6Header-icmpHeader)]
	out := make([]byte, frameHeader+ipv6Header+icmpHeader, frameHeader+1280)
	address(out, b, etherIPv6)
	ip := out[frameHeader:]
	ip[0], ip[6], ip[7] = 0x60, protoICMPv6, 64
	length := icmpHeader + len(quote)
	binary.BigEndian.PutUint16(ip[4:], uint16(length))
	from := router.As16()
	copy(ip[8:], from[:])
	copy(ip[24:], p[8:24])
	ip[ipv6Header] = 2
	binary.BigEndian.PutUint32(ip[ipv6Header+4:], uint32(mtu))
	out = append(out, quote...)
	icmp := out[frameHeader+ipv6Header:]
	pseudo := uint32(length) + protoICMPv6
	for at := frameHeader + 8; at < frameHeader+ipv6Header; at += 2 {
		pseudo += uint32(binary.BigEndian.Uint16(out[at:]))
	}
	binary.BigEndian.PutUint16(icmp[2:], checksum(pseudo, icmp))
	return out
}

// address fills in the Ethernet header of a frame to the sender of another.
func address(out, about []byte, etherType uint16) {
	copy(out, about[6:12])
	copy(out[6:], about[:6])
	binary.BigEndian.PutUint16(out[12:], etherType)
}

// checksum is that of RFC 1071, beginning with a sum.
func checksum(sum uint32, b []byte) uint16 {
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
