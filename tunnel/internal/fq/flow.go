package fq

import (
	"encoding/binary"
	"hash/maphash"
)

// seed is another in each process, so that nobody can choose flows that share a queue with those of others.
var seed = maphash.MakeSeed()

// Protocols with ports in the first four bytes of their header.
const (
	tcp     = 6
	udp     = 17
	dccp    = 33
	sctp    = 132
	udpLite = 136
)

// Flow returns a number that is the same for all packets of a flow: those with the same addresses, protocol and ports.
// Fragments have no ports. Whatever is no IP packet is one flow.
func Flow(packet []byte) uint64 {
	var key [2*16 + 1 + 4]byte
	var n, ports int // ports: where they are; 0: nowhere
	var protocol byte
	switch {
	case len(packet) >= 20 && packet[0]>>4 == 4:
		n = copy(key[:], packet[12:20])
		protocol = packet[9]
		if binary.BigEndian.Uint16(packet[6:])&0x3fff == 0 { // neither an offset, nor more fragments
			ports = int(packet[0]&15) * 4
		}
	case len(packet) >= 40 && packet[0]>>4 == 6:
		n = copy(key[:], packet[8:40])
		protocol, ports = packet[6], 40
	default:
		return 0
	}
	key[n] = protocol
	n++
	if ports > 0 && hasPorts(protocol) && len(packet) >= ports+4 {
		n += copy(key[n:], packet[ports:ports+4])
	}
	return maphash.Bytes(seed, key[:n])
}

func hasPorts(protocol byte) bool {
	switch protocol {
	case tcp, udp, dccp, sctp, udpLite:
		return true
	}
	return false
}
