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

// Address4Bits is the prefix length of the addresses that [Addresses4] derives: a
// point-to-point /31 (RFC 3021).
const Address4Bits = 31

// Addresses derives the two addresses of a tunnel from who is at its ends: a /127
// in fd00::/8, where RFC 4193 wants 40 random bits and this has 119 bits of a
// hash. Both ends compute the same pair without exchanging anything, with local
// and peer swapped, and different links between the same two routers get
// different pairs. The router with the smaller identity has the even address.
//
// local and peer must differ; a router's tunnel to itself has no two ends.
func Addresses(local, peer Identity, link uint16) (localAddr, peerAddr netip.Addr) {
	sum, lower := derive("warren/1 tunnel address", local, peer, link)
	even := [16]byte(sum[:16])
	even[0] = 0xfd
	even[15] &^= 1
	odd := even
	odd[15] |= 1
	if lower {
		return netip.AddrFrom16(even), netip.AddrFrom16(odd)
	}
	return netip.AddrFrom16(odd), netip.AddrFrom16(even)
}

// Pairs of addresses that [Addresses4] chooses from: the third bytes of 169.254.0.0/16
// without the first and the last (RFC 3927, section 2.1), and without the two in which
// clouds have services.
const (
	pairsEach   = 256 / 2
	thirdBytes  = 256 - 2 - 2
	cloudsFirst = 169 // and the next: 169.254.169.254, 169.254.170.2
)

// Addresses4 derives the two IPv4 addresses of a tunnel, as [Addresses] does, for an end
// without IPv6: a /31 of 169.254.0.0/16, which no network has for its own. There are 32,256
// pairs, so that two tunnels of one router can have the same.
func Addresses4(local, peer Identity, link uint16) (localAddr, peerAddr netip.Addr) {
	sum, lower := derive("warren/1 tunnel address, IPv4", local, peer, link)
	n := binary.BigEndian.Uint64(sum[:]) % (thirdBytes * pairsEach)
	third, fourth := byte(1+n/pairsEach), byte(2*(n%pairsEach))
	if third >= cloudsFirst {
		third += 2
	}
	even, odd := netip.AddrFrom4([4]byte{169, 254, third, fourth}), netip.AddrFrom4([4]byte{169, 254, third, fourth + 1})
	if lower {
		return even, odd
	}
	return odd, even
}

// derive hashes what both ends of a tunnel know, and reports whether local is the smaller
// identity.
func derive(what string, local, peer Identity, link uint16) (sum [32]byte, lower bool) {
	lower = bytes.Compare(local[:], peer[:]) < 0
	low, high := local, peer
	if !lower {
		low, high = peer, local
	}
	h := sha256.New()
	h.Write([]byte(what))
	h.Write(low[:])
	h.Write(high[:])
	h.Write(binary.BigEndian.AppendUint16(nil, link))
	return [32]byte(h.Sum(nil)), lower
}
