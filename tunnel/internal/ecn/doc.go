// Package ecn carries marks of congestion (RFC 3168) into and out of a tunnel whose outer packets
// hold one packet each, as RFC 6040 says. Both work on the traffic class of a packet, which is the
// second byte of IPv4's header and bits 4 to 11 of IPv6's: DSCP in the upper six bits (RFC 2474),
// ECN in the lower two.
//
//  1. On the way in, [Class] reads what the packet has, and the transport chooses what of it the
//     outer packet gets.
//  2. On the way out, [Decapsulate] has the packet say what its outer packet says, or refuses it.
package ecn
