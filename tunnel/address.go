package tunnel

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
)

// AddressBits is the prefix length of the addresses that [Addresses] derives: a
// point-to-point /127 (RFC 6164).
const AddressBits = 127

// Addresses derives the two addresses of a tunnel from who is at its ends: a /127
// in fd00::/8, where RFC 4193 wants 40 random bits and this has 119 bits of a
// hash. Both ends compute the same pair without exchanging anything, with local
// and peer swapped, and different links between the same two routers get
// different pairs. The router with the smaller identity has the even address.
//
// local and peer must differ; a router's tunnel to itself has no two ends.
func Addresses(local, peer Identity, link uint16) (localAddr, peerAddr netip.Addr) {
	lower := bytes.Compare(local[:], peer[:]) < 0
	low, high := local, peer
	if !lower {
		low, high = peer, local
	}
	h := sha256.New()
	h.Write([]byte("warren/1 tunnel address"))
	h.Write(low[:])
	h.Write(high[:])
	h.Write(binary.BigEndian.AppendUint16(nil, link))

	even := [16]byte(h.Sum(nil)[:16])
	even[0] = 0xfd
	even[15] &^= 1
	odd := even
	odd[15] |= 1
	if lower {
		return netip.AddrFrom16(even), netip.AddrFrom16(odd)
	}
	return netip.AddrFrom16(odd), netip.AddrFrom16(even)
}
