package ecn

import "encoding/binary"

// Codepoint is the ECN field of a traffic class (RFC 3168, section 5).
type Codepoint uint8

// The codepoints, by their bits.
const (
	NotECT Codepoint = 0b00 // the flow is not told of congestion by marks
	ECT1   Codepoint = 0b01 // it is, by marks
	ECT0   Codepoint = 0b10 // likewise
	CE     Codepoint = 0b11 // it is, and the packet has met congestion
)

// Mask is the bits of a traffic class that are ECN.
const Mask = 0b11

// Of returns the ECN field of a traffic class.
func Of(class uint8) Codepoint { return Codepoint(class & Mask) }

// Class returns the traffic class of an IP packet of at least two bytes.
func Class(packet []byte) uint8 {
	if packet[0]>>4 == 4 {
		return packet[1]
	}
	return packet[0]<<4 | packet[1]>>4
}

// Verdict is what became of a packet that leaves a tunnel.
type Verdict int

// The verdicts.
const (
	Kept    Verdict = iota // it goes on, with the codepoint that it had or another than CE
	Marked                 // it goes on with CE, which it did not have
	Refused                // it must be dropped, which is what its flow takes for congestion
)

// refused stands in leaving for a packet that must be dropped.
const refused Codepoint = 0xff

// leaving is the codepoint with which a packet leaves a tunnel, by its own, and by that of its outer
// packet (RFC 6040, section 4.2, figure 4). Each comes from others, and all combinations must be
// expected.
var leaving = [4][4]Codepoint{
	NotECT: {NotECT: NotECT, ECT0: NotECT, ECT1: NotECT, CE: refused},
	ECT0:   {NotECT: ECT0, ECT0: ECT0, ECT1: ECT1, CE: CE},
	ECT1:   {NotECT: ECT1, ECT0: ECT1, ECT1: ECT1, CE: CE},
	CE:     {NotECT: CE, ECT0: CE, ECT1: CE, CE: CE},
}

// Decapsulate gives a packet the codepoint with which it leaves a tunnel, in place, where its outer
// packet arrived with another. The packet must have the whole fixed header of its IP version, 4 or 6.
// A checksum in it stays as right or wrong as it was.
func Decapsulate(packet []byte, outer Codepoint) Verdict {
	class := Class(packet)
	inner := Of(class)
	out := leaving[inner][outer&Mask]
	switch out {
	case refused:
		return Refused
	case inner:
		return Kept
	}
	setClass(packet, class&^Mask|uint8(out))
	if out == CE {
		return Marked
	}
	return Kept
}

// setClass writes the traffic class of a packet.
func setClass(packet []byte, class uint8) {
	before := binary.BigEndian.Uint16(packet)
	if packet[0]>>4 == 6 {
		binary.BigEndian.PutUint16(packet, before&0xf00f|uint16(class)<<4)
		return
	}
	packet[1] = class
	// RFC 1624, equation 3.
	sum := uint32(^binary.BigEndian.Uint16(packet[10:])) + uint32(^before) + uint32(binary.BigEndian.Uint16(packet))
	sum = sum>>16 + sum&0xffff
	sum = sum>>16 + sum&0xffff
	binary.BigEndian.PutUint16(packet[10:], ^uint16(sum))
}
