package bgp

import (
	"fmt"
	"net/netip"
	"slices"
)

// A Password is a secret of two neighbors. It does not show itself when printed or logged.
type Password string

// MaxPassword is how long a Password may be, in bytes (Linux, TCP_MD5SIG_MAXKEYLEN).
const MaxPassword = 80

// String hides the password.
func (Password) String() string { return "(secret)" }

// GoString hides the password.
func (Password) GoString() string { return "(secret)" }

// MarshalText hides the password from JSON and from slog's handlers.
func (Password) MarshalText() ([]byte, error) { return []byte("(secret)"), nil }

// LAN reports whether n is on a network with others. Then several neighbors may have one
// LocalAddr, and a route's way out is not said by the neighbor alone.
func (n *Neighbor) LAN() bool { return len(n.Network) > 0 }

// OnLink reports whether an address is on the network of n: in one of its prefixes, or a
// link-local one. None of this end's own addresses is (RFC 4271 section 6.3), nor what is no host's:
// the kernel takes neither for a gateway.
func (n *Neighbor) OnLink(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if a == n.LocalAddr.WithZone("") || slices.ContainsFunc(n.Network, func(p netip.Prefix) bool { return p.Addr() == a }) {
		return false
	}
	linkLocal := a.Is6() && a.IsLinkLocalUnicast()
	return linkLocal || slices.ContainsFunc(n.Network, func(p netip.Prefix) bool { return p.Contains(a) && !isSubnets(a, p) })
}

// isSubnets reports whether an IPv4 address in a prefix is that of the subnet or its broadcast
// address. A subnet of two addresses has neither (RFC 3021).
func isSubnets(a netip.Addr, p netip.Prefix) bool {
	return a.Is4() && p.Bits() < 31 && (a == p.Masked().Addr() || !p.Contains(a.Next()))
}

// validateLAN checks what is for a network with others.
func (n *Neighbor) validateLAN() error {
	switch {
	case len(n.Password) > MaxPassword:
		return fmt.Errorf("password: has %d bytes, and at most %d are allowed", len(n.Password), MaxPassword)
	case n.LAN() && !n.OnLink(n.PeerAddr):
		return fmt.Errorf("address %s: is not on the network %v of this router's interface", n.PeerAddr, n.Network)
	}
	return nil
}
