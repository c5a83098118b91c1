package config

import (
	"net"
	"net/netip"
	"strconv"
	"time"
)

// The transports: how packets reach the peer.
const (
	TransportTLS       = "tls"       // TLS 1.3 over TCP
	TransportWireGuard = "wireguard" // the WireGuard protocol over UDP
	TransportAuto      = "auto"      // both, the better of which carries
	TransportExternal  = "external"  // by an interface that something else keeps
)

// The data paths of a WireGuard tunnel: what carries its packets.
const (
	datapathWarren = "warren" // this daemon
	DatapathKernel = "kernel" // the kernel's own WireGuard
)

// The probes: how the peer is known to be alive that is behind an external
// interface or any WireGuard device.
const (
	ProbeICMP = "icmp" // it answers ICMP echoes to PeerAddress
	ProbeNone = "none" // that is for BGP's hold time to find out
)

// The limits of Tunnel.MTU, in bytes.
const (
	// MinMTU is what IPv6 demands of every link (RFC 8200, section 5).
	MinMTU = 1280
	// MaxMTU leaves room, within 65535 bytes, for the 4-byte header of a
	// frame on the wire and the 10-byte virtio-net header in it.
	MaxMTU = 65535 - 4 - 10
	// MaxWireGuardMTU leaves room, within 65535 bytes, for the headers of
	// IPv4, UDP and WireGuard's data message with its authentication tag.
	MaxWireGuardMTU = 65535 - 20 - 8 - 32
)

// The orders in which remotes are tried.
const (
	RemotesListed = "listed" // as they are in the file
	RemotesRandom = "random" // in another order each time
)

// Tunnel is one of the ways to a peer: an interface, what carries its packets, and what share
// of the flows to the peer it has. With TransportExternal, Remotes and what says how to dial
// them, Trust, MTU and Underlay are zero: they are up to what makes the interface.
type Tunnel struct {
	Transport string   // TransportTLS, TransportWireGuard, TransportAuto or TransportExternal
	Remotes   []Remote // empty: wait for the peer to dial
	Trust     Trust
	Link      int            // 0 to 65535, unique among the peer's tunnels and among those with the same Trust
	Interface string         // at most 15 bytes, unique among all tunnels
	MTU       int            // bytes, MinMTU to MaxMTU, or with WireGuard to MaxWireGuardMTU
	Address   []netip.Prefix // of the interface, host part included; empty: derived by both ends, or the external interface's own

	// PeerAddress is where the neighbor is, without a zone. With an external
	// tunnel it is always set, with others exactly when Address is.
	PeerAddress netip.Addr

	// Assigned says that the peer names addresses of this router, which are then announced by
	// it. Assign are those that this end names for the peer: one address each, masked, no
	// duplicates, at most MaxAssign, and assigned to no other peer.
	Assigned bool
	Assign   []netip.Prefix

	Probe     string        // ProbeICMP or ProbeNone; "" with TransportTLS and TransportAuto, which need none
	Underlay  string        // interface that the transport's sockets are bound to; "": any
	Keepalive time.Duration // 20 ms to 60 s; 0 over WireGuard with ProbeNone
	DeadAfter time.Duration // 50 ms and twice Keepalive to 10 min; 0 with ProbeNone

	// PersistentKeepalive is how long nothing is sent over WireGuard before an
	// empty packet is: 1 s to 65535 s, less than Keepalive if that is set; 0: off.
	PersistentKeepalive time.Duration

	RemoteOrder    string        // RemotesListed or RemotesRandom
	ReturnToFirst  bool          // go back to the first of Remotes when it can be reached
	ConnectTimeout time.Duration // bounds an attempt at one address: 100 ms to 1 min
	// Datapath is DatapathKernel where the kernel's WireGuard carries the packets, else "". ListenPort is the UDP port of such
	// a tunnel; 0: any.
	Datapath   string
	ListenPort uint16

	UDPPort uint16 // with TransportAuto, of all Remotes instead of their own port, which is TCP's then; 0: that one

	// Congestion is the congestion control of TCP, CongestionAuto or a name as in
	// net.ipv4.tcp_available_congestion_control; "" with transports that have none.
	Congestion string

	// ECN has the packets that WireGuard sends say of congestion what the packet inside says, so
	// that the path can mark them. DSCP is theirs, 0 to 63, or DSCPCopy for that of the packet
	// inside. Both are zero with transports that have no WireGuard.
	ECN  bool
	DSCP int

	// Preference comes before Weight: of the tunnels by which a prefix can be reached,
	// whichever peers' they are, those with the highest that are up are used, and the others
	// are in reserve. Among those in use each flow stays in one tunnel, and the tunnels have
	// flows in proportion to their weights.
	Preference int // 0 to 255
	Weight     int // 1 to 256
}

// Equal reports whether t and o make the same tunnel, give it the same share, and have the same
// congestion control and marking. The
// contents of key, secret and CA files count, not the files' names.
func (t Tunnel) Equal(o Tunnel) bool {
	return t.EqualButShare(o) && len(t.SharedBy(o)) == 0 && t.SameTuning(o)
}

// SameTuning reports whether t and o have the same congestion control and marking.
func (t Tunnel) SameTuning(o Tunnel) bool {
	return t.Congestion == o.Congestion && len(t.MarkedBy(o)) == 0
}

// EqualButShare reports whether t and o make the same tunnel, whatever share of the flows,
// congestion control and marking it has: from one to the other it stays up, and only routes, and
// connections and packets to come, change.
func (t Tunnel) EqualButShare(o Tunnel) bool { return t.Trust.Equal(o.Trust) && t.EqualButTrust(o) }

// EqualButTrust reports whether t and o make the same tunnel, if that both trust the same
// peer is left out, and so are their shares, congestion controls and markings.
func (t Tunnel) EqualButTrust(o Tunnel) bool { return len(t.RemadeBy(o)) == 0 }

// Remote is an endpoint to dial.
type Remote struct {
	Host string // a DNS name or an IP address, without brackets
	Port uint16 // never 0
}

// String gives the form that net.Dial takes.
func (r Remote) String() string {
	return net.JoinHostPort(r.Host, strconv.Itoa(int(r.Port)))
}
