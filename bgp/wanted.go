package bgp

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Wanted is all that a Speaker is to do. Nothing in it may be changed once it
// was handed over.
type Wanted struct {
	// Neighbors are the sessions to have, each with a name and a peer address of
	// its own.
	Neighbors []Neighbor
	// Announced are the prefixes that originate here. Each neighbor gets of them
	// what its export policy passes.
	Announced []netip.Prefix
	// Assigned are those of Announced that belong to neighbors, with their names: the router has given them the addresses. They
	// are announced with the neighbor's router ID, once that is known, as their route origin (an extended community, RFC 4360
	// section 5): so another router that has assigned the same prefix sees whether to the same one, see NeighborStatus.Rival.
	Assigned map[netip.Prefix][]string
	// Protected is what no neighbor may take. Nil protects nothing.
	Protected *Protected
	// Absent are neighbors that are not there now and may be later, with a tunnel that is
	// down, for one. What the others are told because of their preferences stays as it is.
	Absent []Absent
	// Farewells are what neighbors are told when their sessions end because they are not wanted any more, or
	// in another generation, by name. Those without one are told that they are shut down.
	Farewells map[string]Farewell
}

// Farewell is what ends a session: a Cease (RFC 4486), which is for people at the far end.
type Farewell struct {
	// Reset has it be Administrative Reset: the session is to begin again. Else it is Administrative Shutdown.
	Reset bool `json:"reset,omitempty"`
	// Text says why (RFC 9003 section 2), in at most MaxFarewell bytes of UTF-8; empty for nothing.
	Text string `json:"text,omitempty"`
}

// MaxFarewell bounds Farewell.Text: what RFC 8203 allowed, which RFC 9003 has extended to 255.
const MaxFarewell = 128

// Absent is what counts of a neighbor that is not there.
type Absent struct {
	ASN        uint32
	Preference int
}

// A Neighbor is the BGP side of one peer.
type Neighbor struct {
	Name      string // the peer's name
	Interface string // the tunnel's interface; BGP's sockets are bound to it

	// The two ends of the session, of one family. A link-local address gets
	// Interface as its zone. PeerAddr must differ from every other neighbor's
	// even without the zone: GoBGP tells paths apart by it.
	LocalAddr, PeerAddr netip.Addr

	// Addresses is what else the interface has. One of them is the next hop of
	// prefixes of the other family than the session's, where that needs one.
	Addresses []netip.Prefix

	ASN uint32 // the peer's; equal to Config.ASN it makes the session iBGP

	Import, Export Policy

	// MaxPrefixes is how many prefixes of each family are accepted; 0 means
	// no limit. The ones that came first win, later ones wait for room.
	MaxPrefixes int

	// HardMaxPrefixes is how many prefixes of each family the peer may announce,
	// accepted or not; above it the session ends (RFC 4486, Maximum Number of
	// Prefixes Reached) and is tried again after a pause that grows. 0 means no
	// limit.
	HardMaxPrefixes int

	// Preference is from 0 to 255: ways by neighbors with a higher one are preferred, for what
	// comes and for what goes, and ways by neighbors with the same one share. 0 everywhere
	// changes nothing of what is sent.
	//
	// What is learned from the neighbor gets LOCAL_PREF 100 + Preference, or over iBGP the peer's
	// own + Preference, so that it counts before anything else (RFC 4271 section 9.1.1). The far
	// end is told, and prefers the same session if nothing that counts more is configured there:
	//
	//   - iBGP: LOCAL_PREF as it would be + Preference.
	//   - eBGP: MED 255 - Preference (RFC 4271 section 5.1.4), to all neighbors in an AS if one there
	//     has a preference. That decides between the sessions of one peer, and between peers
	//     in one AS, where other things are equal.
	//   - eBGP neighbors in different ASes are not compared by MED. To an AS whose highest
	//     Preference is lower than that of another AS this router's AS number is prepended: once
	//     for the next lower one, twice for the one below, up to eight times. So whoever hears
	//     the routes by both prefers the preferred.
	Preference int

	// Drained takes traffic away from the neighbor without loss, before it goes (RFC 8326): ways by it
	// are used only where there is no other, for what comes and for what goes.
	//
	// What is learned from it gets GRACEFUL_SHUTDOWN and LOCAL_PREF 0. What it is sent gets
	// GRACEFUL_SHUTDOWN as well, and for those that do not honor it:
	//
	//   - iBGP: LOCAL_PREF 0.
	//   - eBGP: MED 4294967295, and, unless another neighbor in its AS is not drained, this router's AS
	//     number prepended eight times. It is not prepended where AllowOwnAS says that there are other
	//     routers with this one's AS number behind the neighbor, which would take it for a loop.
	//
	// Of several neighbors that are drained those with a higher Preference still come first: the LOCAL_PREF
	// is 1 and the MED one less for those of the next higher one, and so on.
	Drained bool

	// RouteReflectorClient has what other iBGP neighbors announce sent to this one, and
	// what it announces to them (RFC 4456). Of two iBGP neighbors one has to be a client,
	// or neither gets the other's routes. It is for iBGP.
	RouteReflectorClient bool
	// ClusterID is this router's in route reflection (RFC 4456 section 7), an IPv4 address.
	// The invalid address stands for the router ID. It is for iBGP, and the same for all.
	ClusterID netip.Addr
	// ASOverride has the peer's AS number in AS_PATH replaced by this router's in what is
	// sent to it, so that it takes what comes from others with its number. It is for eBGP.
	ASOverride bool
	// AllowOwnAS is how often this router's AS number may be in an AS_PATH of the peer's:
	// 0 to 10.
	AllowOwnAS int

	// Network are the prefixes of this end's interface where the neighbor is not at the far
	// end of a tunnel, but on a network with others: see LAN. Empty for a tunnel. What the
	// neighbor announces must have a next hop in it, which is the gateway of the route.
	Network []netip.Prefix
	// TTLSecurity has packets sent with a TTL of 255 and takes none with less, as they have
	// been forwarded (RFC 5082). The peer has to do the same.
	TTLSecurity bool
	// Password signs the session's segments (TCP MD5, RFC 2385): at most MaxPassword bytes;
	// empty for none. What opens the sockets needs it, and nothing else gets it: so with
	// another password there has to be another Generation.
	Password Password `json:"-"`

	// RTT is the round trip of the tunnel, 0 if it is not known. On a long path
	// the peer is given more time. What it is when the session starts counts.
	RTT time.Duration

	// Generation tells one time that the tunnel is up from the next: the session
	// of another generation ends, and a new one starts.
	Generation uint64
}

// MaxAllowOwnAS bounds Neighbor.AllowOwnAS.
const MaxAllowOwnAS = 10

// SameSession reports whether a session with n can go on as one with o.
func (n *Neighbor) SameSession(o *Neighbor) bool {
	return n.Generation == o.Generation && n.Interface == o.Interface && n.LocalAddr == o.LocalAddr && n.PeerAddr == o.PeerAddr &&
		n.ASN == o.ASN && slices.Equal(n.Addresses, o.Addresses) &&
		n.RouteReflectorClient == o.RouteReflectorClient && n.ClusterID == o.ClusterID &&
		n.ASOverride == o.ASOverride && n.AllowOwnAS == o.AllowOwnAS &&
		slices.Equal(n.Network, o.Network) && n.TTLSecurity == o.TTLSecurity && n.Password == o.Password
}

// Normalize puts the zones and the form of the addresses right: none is IPv4-mapped.
func (n *Neighbor) Normalize() {
	for _, a := range []*netip.Addr{&n.LocalAddr, &n.PeerAddr} {
		*a = a.Unmap().WithZone("")
		if a.IsLinkLocalUnicast() && a.Is6() {
			*a = a.WithZone(n.Interface)
		}
	}
}

// Validate reports the first mistake. The addresses are normalized.
func (n *Neighbor) Validate() error {
	if n.Name == "" {
		return errors.New("no name")
	}
	if n.ASN == 0 || n.ASN == 1<<32-1 {
		return fmt.Errorf("asn %d: must be from 1 to 4294967294", n.ASN)
	}
	if err := checkLimits(n.MaxPrefixes, n.HardMaxPrefixes); err != nil {
		return err
	}
	if n.Preference < 0 || n.Preference > 255 {
		return fmt.Errorf("preference %d: must be from 0 to 255", n.Preference)
	}
	if n.AllowOwnAS < 0 || n.AllowOwnAS > MaxAllowOwnAS {
		return fmt.Errorf("allow_own_as %d: must be from 0 to %d", n.AllowOwnAS, MaxAllowOwnAS)
	}
	if n.ClusterID.IsValid() && (!n.ClusterID.Is4() || n.ClusterID.IsUnspecified()) {
		return fmt.Errorf("cluster_id %s: must be an IPv4 address other than 0.0.0.0", n.ClusterID)
	}
	for _, a := range []netip.Addr{n.LocalAddr, n.PeerAddr} {
		if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() {
			return fmt.Errorf("address %s: must be a unicast address", a)
		}
		if a.IsLinkLocalUnicast() && a.Is6() && n.Interface == "" {
			return fmt.Errorf("address %s: a link-local address needs an interface", a)
		}
	}
	if n.LocalAddr.Is4() != n.PeerAddr.Is4() {
		return fmt.Errorf("addresses %s and %s: must be of one family", n.LocalAddr, n.PeerAddr)
	}
	if err := n.validateLAN(); err != nil {
		return err
	}
	if n.LocalAddr == n.PeerAddr {
		return fmt.Errorf("address %s: is both ends' address; is `link` or the key the same as the peer's by mistake?", n.LocalAddr)
	}
	return errors.Join(n.Import.Validate(), n.Export.Validate())
}

func checkLimits(maxPrefixes, hardMaxPrefixes int) error {
	if maxPrefixes < 0 {
		return fmt.Errorf("max_prefixes %d: must be 0 (no limit) or more", maxPrefixes)
	}
	if hardMaxPrefixes < 0 || hardMaxPrefixes > 0 && (maxPrefixes == 0 || hardMaxPrefixes < maxPrefixes) {
		return fmt.Errorf("hard_max_prefixes %d: must be 0 (no limit), or max_prefixes (%d) or more", hardMaxPrefixes, maxPrefixes)
	}
	return nil
}
