package config

import (
	"bytes"
	"net/netip"
	"slices"
)

// This file says in which keys two configurations differ. What compares whole parts of one, such
// as Tunnel.Equal, asks the same functions, so that nothing is another without a key that is.

// differing collects keys.
type differing []string

func (d *differing) add(key string, same bool) {
	if !same {
		*d = append(*d, key)
	}
}

// RemadeBy returns the keys because of which a tunnel like t has to be made again to be one like o,
// as they are in the table [tunnel]; none: it stays. Trust, shares, congestion controls and markings are
// left out.
func (t Tunnel) RemadeBy(o Tunnel) []string {
	if t.Transport != o.Transport {
		return []string{"tunnel.transport"} // others, which follow from it, are no reason of their own
	}
	var d differing
	d.add("tunnel.remotes", slices.Equal(t.Remotes, o.Remotes))
	d.add("tunnel.remote_order", t.RemoteOrder == o.RemoteOrder)
	d.add("tunnel.return_to_first", t.ReturnToFirst == o.ReturnToFirst)
	d.add("tunnel.connect_timeout", t.ConnectTimeout == o.ConnectTimeout)
	d.add("tunnel.udp_port", t.UDPPort == o.UDPPort)
	d.add("tunnel.datapath", t.Datapath == o.Datapath)
	d.add("tunnel.listen_port", t.ListenPort == o.ListenPort)
	if t.Datapath == DatapathKernel && o.Datapath == DatapathKernel { // its keys are the interface's
		d = append(d, t.Trust.KnownBy(o.Trust)...)
	}
	d.add("tunnel.link", t.Link == o.Link)
	d.add("tunnel.interface", t.Interface == o.Interface)
	d.add("tunnel.mtu", t.MTU == o.MTU)
	d.add("tunnel.address", slices.Equal(t.Address, o.Address) && t.Assigned == o.Assigned)
	d.add("tunnel.peer_address", t.PeerAddress == o.PeerAddress)
	d.add("tunnel.assign", slices.Equal(t.Assign, o.Assign))
	d.add("tunnel.probe", t.Probe == o.Probe)
	d.add("tunnel.underlay", t.Underlay == o.Underlay)
	d.add("tunnel.keepalive", t.Keepalive == o.Keepalive)
	d.add("tunnel.dead_after", t.DeadAfter == o.DeadAfter)
	d.add("tunnel.persistent_keepalive", t.PersistentKeepalive == o.PersistentKeepalive)
	return d
}

// SharedBy returns the keys by which a tunnel like t has another share of the flows than one like o.
func (t Tunnel) SharedBy(o Tunnel) []string {
	var d differing
	d.add("tunnel.weight", t.Weight == o.Weight)
	d.add("tunnel.preference", t.Preference == o.Preference)
	return d
}

// MarkedBy returns the keys by which the packets on the underlay of a tunnel like t are marked otherwise
// than those of one like o.
func (t Tunnel) MarkedBy(o Tunnel) []string {
	var d differing
	d.add("tunnel.ecn", t.ECN == o.ECN)
	d.add("tunnel.dscp", t.DSCP == o.DSCP)
	return d
}

// KnownBy returns the keys in which t and o trust another peer, or in another way; none: they are equal.
// That the contents of a file are others counts for the key that names it.
func (t Trust) KnownBy(o Trust) []string {
	number := func(one, several string, n, m int) string {
		if n > 1 || m > 1 {
			return several
		}
		return one
	}
	var d differing
	d.add(number("tunnel.fingerprint", "tunnel.fingerprints", len(t.Fingerprints), len(o.Fingerprints)), slices.Equal(t.Fingerprints, o.Fingerprints))
	d.add(number("tunnel.secret_file", "tunnel.secret_files", len(t.Secrets), len(o.Secrets)),
		slices.EqualFunc(t.Secrets, o.Secrets, func(a, b SharedSecret) bool { return bytes.Equal(a.Secret, b.Secret) }))
	d.add("tunnel.invitation_file", t.Invitation.Equal(o.Invitation) && t.Used.Equal(o.Used))
	d.add("tunnel.ca_file", (t.CA == nil) == (o.CA == nil) && (t.CA == nil || t.CA.Equal(o.CA)))
	d.add("tunnel.peer_name", t.PeerName == o.PeerName)
	d.add(number("tunnel.public_key", "tunnel.public_keys", len(t.PublicKeys), len(o.PublicKeys)), slices.Equal(t.PublicKeys, o.PublicKeys))
	d.add("tunnel.preshared_key_file", bytes.Equal(t.PresharedKey, o.PresharedKey))
	d.add("tunnel.private_key_files", bytes.Equal(t.PrivateKey, o.PrivateKey))
	if len(d) == 0 {
		d.add("asn", t.First == o.First) // which of the two ends is the first follows from their AS numbers
	}
	return d
}

// KnownBy returns the keys in which the peers of two tunnels are known otherwise, see [Trust.KnownBy]. What follows from the transport is no
// reason of its own.
func (t Tunnel) KnownBy(o Tunnel) []string {
	if t.OverWireGuard() != o.OverWireGuard() {
		o.Trust.First = t.Trust.First
	}
	return t.Trust.KnownBy(o.Trust)
}

// Claims reports whether a tunnel cannot be at work beside another, as both would be with one peer and
// could not be told apart.
func (t Tunnel) Claims(o Tunnel) bool {
	if sameKeys(t.Trust, o.Trust) {
		return true
	}
	shared := t.Transport == o.Transport || t.OverTLS() && o.OverTLS() || t.OverWireGuard() && o.OverWireGuard()
	return shared && t.Link == o.Link && t.Trust.Method != 0 && t.Trust.Method != TrustPublicKey && samePeer(t.Trust, o.Trust)
}

// SessionBy returns the keys because of which a session with b does not go on as one with o. Those of
// where the peer is are LAN's.
func (b PeerBGP) SessionBy(o PeerBGP) []string {
	var d differing
	d.add("bgp.asn", b.ASN == o.ASN)
	d.add("bgp.route_reflector_client", b.RouteReflectorClient == o.RouteReflectorClient)
	d.add("bgp.cluster_id", b.ClusterID == o.ClusterID)
	d.add("bgp.as_override", b.ASOverride == o.ASOverride)
	d.add("bgp.allow_own_as", b.AllowOwnAS == o.AllowOwnAS)
	return d
}

// PlacedBy returns the keys by which l and o are another place on a network.
func (l LAN) PlacedBy(o LAN) []string {
	var d differing
	d.add("bgp.address", l.Address == o.Address)
	d.add("bgp.interface", l.Interface == o.Interface)
	return d
}

// SecuredBy returns the keys by which a session at l is secured otherwise than at o.
func (l LAN) SecuredBy(o LAN) []string {
	var d differing
	d.add("bgp.password_file", bytes.Equal(l.Password, o.Password))
	d.add("bgp.ttl_security", l.TTLSecurity == o.TTLSecurity)
	return d
}

// FilteredBy returns the keys by which a session carries other prefixes with b than with o, or by
// which other routes follow from what it carries. The session stays.
func (b PeerBGP) FilteredBy(o PeerBGP) []string {
	var d differing
	d.add("bgp.import", b.Import.Equal(o.Import))
	d.add("bgp.export", b.Export.Equal(o.Export))
	d.add("bgp.max_prefixes", b.MaxPrefixes == o.MaxPrefixes)
	d.add("bgp.hard_max_prefixes", b.HardMaxPrefixes == o.HardMaxPrefixes)
	d.add("bgp.unreachable", slices.Equal(b.Unreachable, o.Unreachable) && b.KeepLearned == o.KeepLearned)
	return d
}

// AnnouncedBy returns the keys by which a announces something else than o.
func (a Announce) AnnouncedBy(o Announce) []string {
	var d differing
	d.add("announce.networks", slices.Equal(a.Networks, o.Networks))
	d.add("announce.redistribute", a.Redistribute == o.Redistribute)
	d.add("announce.interfaces", slices.Equal(a.Interfaces, o.Interfaces))
	return d
}

// without returns which networks a announces and o does not.
func (a Announce) without(o Announce) (gone []netip.Prefix) {
	for _, n := range a.Networks {
		if !slices.Contains(o.Networks, n) {
			gone = append(gone, n)
		}
	}
	return gone
}

// NetworksBy returns which networks are announced by o and not by a, and which by a and not by o.
func (a Announce) NetworksBy(o Announce) (added, removed []netip.Prefix) {
	return o.without(a), a.without(o)
}
