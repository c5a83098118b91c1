package config

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// DefaultPath is where warren looks for its config unless told otherwise.
const DefaultPath = "/etc/warren/warren.toml"

// Config is a whole, valid configuration. It is immutable once loaded and may
// be shared between goroutines.
type Config struct {
	Path      string     // of warren.toml, absolute
	Name      string     // of this router
	ASN       uint32     // 1 to 4294967294, without the reserved numbers
	RouterID  netip.Addr // IPv4
	Announce  Announce
	TLS       TLS
	WireGuard WireGuard
	BGP       BGP
	FIB       FIB
	API       API
	Log       Log
	Peers     []Peer   // sorted by name, which is unique
	Unread    []string // what is in peers.d and is no peer, for its name does not end in .toml; sorted

	raw *rawRouter // for where the keys are; nil if it was not loaded from files
}

// Announce is what this router offers to its peers.
type Announce struct {
	Networks     []netip.Prefix // masked, no duplicates, in the file's order
	Redistribute Redistribute
	Interfaces   []string // patterns of path.Match; never empty: the default is "*"
}

// Redistribute names the kinds of kernel prefixes that are announced as they
// come and go.
type Redistribute struct {
	Connected, Static, Kernel bool
}

// Equal reports whether a and o announce the same.
func (a Announce) Equal(o Announce) bool {
	return slices.Equal(a.Networks, o.Networks) && a.Redistribute == o.Redistribute &&
		slices.Equal(a.Interfaces, o.Interfaces)
}

// TLS is the router's side of the tls transport.
type TLS struct {
	Listen      []netip.AddrPort // empty: this router only dials
	ServerName  string           // a DNS name, shown to the underlay when dialing; "": see tlslink
	CertFile    string           // absolute, whether the file exists or not
	KeyFile     string           // absolute, whether the file exists or not
	Certificate *tls.Certificate // with Leaf set; nil when there is none and no peer needs one
}

// Equal reports whether t and o listen at the same addresses with the same
// certificate and key, wherever those were read from, and show the same name.
func (t TLS) Equal(o TLS) bool {
	return slices.Equal(t.Listen, o.Listen) && t.ServerName == o.ServerName && t.SameCertificate(o)
}

// SameCertificate reports whether t and o have the same certificate and key.
func (t TLS) SameCertificate(o TLS) bool {
	if t.Certificate == nil || o.Certificate == nil {
		return t.Certificate == o.Certificate
	}
	// A certificate holds its public key, so equal chains have equal keys.
	return slices.EqualFunc(t.Certificate.Certificate, o.Certificate.Certificate, bytes.Equal)
}

// WireGuard is the router's side of the wireguard transport.
type WireGuard struct {
	ListenPort     uint16 // UDP, in both families; 0: the kernel chooses one
	PrivateKeyFile string // absolute, whether the file exists or not
	PrivateKey     Secret // KeySize bytes; nil when there is none and no peer needs one
}

// Equal reports whether w and o use the same port and key, wherever the key was
// read from.
func (w WireGuard) Equal(o WireGuard) bool {
	return w.ListenPort == o.ListenPort && bytes.Equal(w.PrivateKey, o.PrivateKey)
}

// BGP says how the speaker runs, which has a process of its own. It can be compared
// with ==.
type BGP struct {
	MemoryMax   int64         // bytes, 32 MiB to 1 TiB; 0: a part of the machine's memory
	RestartTime time.Duration // how long routes stay while the speaker starts again: 1 s to 1 h
	ClusterID   netip.Addr    // this router's in route reflection, IPv4
}

// FIB says how learned routes are written to the kernel. It can be compared
// with ==.
type FIB struct {
	Table    int        // 1 to 4294967295, never 255 (local)
	Metric   int        // 1 to 4294967293
	Protocol int        // 5 to 255
	Source4  netip.Addr // preferred IPv4 source; the zero Addr: the kernel chooses
	Source6  netip.Addr // preferred IPv6 source; the zero Addr: the kernel chooses

	KeepUnreachable bool // unreachable routes stay after a stop
}

// API is where the daemon can be asked. It can be compared with ==.
type API struct {
	Gobgp  string // loopback IP:port or unix:PATH of the read-only gRPC service; "" is off
	Socket string // absolute path of the status socket
}

// GobgpSocket returns the path of the unix socket for the gobgp command, if it is one.
func (a API) GobgpSocket() (path string, isUnix bool) { return strings.CutPrefix(a.Gobgp, unixScheme) }

// Log says what the daemon logs and how. It can be compared with ==.
type Log struct {
	Level  slog.Level // one of those that ParseLevel knows
	Format LogFormat
}

// Peer is one file of peers.d.
type Peer struct {
	Name   string // the file's name without .toml
	File   string // its path, for messages
	Tunnel Tunnel
	BGP    PeerBGP

	raw *rawPeer // for where the keys are
}

// Equal reports whether p and o configure the same peer in the same way. To
// see which part differs, compare Tunnel and BGP.
func (p Peer) Equal(o Peer) bool {
	return p.Name == o.Name && p.Tunnel.Equal(o.Tunnel) && p.BGP.Equal(o.BGP)
}

// The transports: how packets reach the peer.
const (
	TransportTLS       = "tls"       // TLS 1.3 over TCP
	TransportWireGuard = "wireguard" // the WireGuard protocol over UDP
	TransportExternal  = "external"  // by an interface that something else keeps
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

// Tunnel is the link to one peer. With TransportExternal, Remotes, Trust, Link,
// MTU and Underlay are zero: they are the business of who made the interface.
type Tunnel struct {
	Transport string   // TransportTLS, TransportWireGuard or TransportExternal
	Remotes   []Remote // tried in order; empty: wait for the peer to dial
	Trust     Trust
	Link      int            // 0 to 65535, unique among the tunnels with the same Trust; 0 with TrustPublicKey
	Interface string         // at most 15 bytes, unique among the peers
	MTU       int            // bytes, MinMTU to MaxMTU or MaxWireGuardMTU
	Address   []netip.Prefix // of the interface, host part included; empty: derived by both ends, or the external interface's own

	// PeerAddress is where the neighbor is, without a zone. With an external
	// tunnel it is always set, with others exactly when Address is.
	PeerAddress netip.Addr

	Probe     string        // ProbeICMP or ProbeNone; "" with TransportTLS, which needs none
	Underlay  string        // interface that the transport's sockets are bound to; "": any
	Keepalive time.Duration // 100 ms to 60 s; 0 over WireGuard with ProbeNone
	DeadAfter time.Duration // twice Keepalive to 10 min; 0 with ProbeNone

	// PersistentKeepalive is how long nothing is sent over WireGuard before an
	// empty packet is: 1 s to 65535 s, less than Keepalive if that is set; 0: off.
	PersistentKeepalive time.Duration
}

// Equal reports whether t and o make the same tunnel. The contents of key,
// secret and CA files count, not the files' names.
func (t Tunnel) Equal(o Tunnel) bool { return t.Trust.Equal(o.Trust) && t.EqualButTrust(o) }

// EqualButTrust reports whether t and o make the same tunnel, if that both trust the same
// peer is left out.
func (t Tunnel) EqualButTrust(o Tunnel) bool {
	return t.Transport == o.Transport && slices.Equal(t.Remotes, o.Remotes) &&
		t.Link == o.Link && t.Interface == o.Interface && t.MTU == o.MTU &&
		slices.Equal(t.Address, o.Address) && t.PeerAddress == o.PeerAddress &&
		t.Probe == o.Probe && t.Underlay == o.Underlay && t.Keepalive == o.Keepalive && t.DeadAfter == o.DeadAfter &&
		t.PersistentKeepalive == o.PersistentKeepalive
}

// Remote is an endpoint to dial.
type Remote struct {
	Host string // a DNS name or an IP address, without brackets
	Port uint16 // never 0
}

// String gives the form that net.Dial takes.
func (r Remote) String() string {
	return net.JoinHostPort(r.Host, strconv.Itoa(int(r.Port)))
}

// TrustMethod says how a peer proves who it is.
type TrustMethod int

// The ways to trust a peer. The zero TrustMethod is none of them.
const (
	TrustFingerprint TrustMethod = iota + 1 // Trust.Fingerprints is set
	TrustSecret                             // Trust.Secrets is set, over WireGuard Trust.First too
	TrustCA                                 // Trust.CA and Trust.PeerName are set
	TrustPublicKey                          // Trust.PublicKeys and perhaps Trust.PresharedKey are set
)

// Trust is how a peer proves who it is. Only the fields of its Method are set. Of a list,
// which has at least one element and none twice, any will do, and the first is offered.
type Trust struct {
	Method       TrustMethod
	Fingerprints [][32]byte // SHA-256 of the peer's certificates in DER
	Secrets      []SharedSecret
	CA           *x509.CertPool
	PeerName     string // a DNS name in the peer's certificate

	PublicKeys   [][KeySize]byte // of the peer, Curve25519
	PresharedKey Secret          // KeySize bytes; nil: none

	// First says which of the two key pairs that both ends derive from a secret
	// for WireGuard is this end's. The other end has it the other way round.
	First bool
}

// SharedSecret is a secret that this router and one peer have.
type SharedSecret struct {
	File   string // absolute
	Secret Secret // SecretSize bytes
}

// Equal reports whether t and o trust the same peer in the same way.
func (t Trust) Equal(o Trust) bool {
	if (t.CA == nil) != (o.CA == nil) || t.CA != nil && !t.CA.Equal(o.CA) {
		return false
	}
	same := func(a, b SharedSecret) bool { return bytes.Equal(a.Secret, b.Secret) }
	return t.Method == o.Method && slices.Equal(t.Fingerprints, o.Fingerprints) &&
		slices.EqualFunc(t.Secrets, o.Secrets, same) && t.PeerName == o.PeerName &&
		slices.Equal(t.PublicKeys, o.PublicKeys) && bytes.Equal(t.PresharedKey, o.PresharedKey) && t.First == o.First
}

// SameFiles reports whether the secrets of t and o are in the same files.
func (t Trust) SameFiles(o Trust) bool {
	return slices.EqualFunc(t.Secrets, o.Secrets, func(a, b SharedSecret) bool { return a.File == b.File })
}

// Secret is a shared secret. It does not show itself when printed or logged.
type Secret []byte

// String hides the secret.
func (Secret) String() string { return "(secret)" }

// GoString hides the secret.
func (Secret) GoString() string { return "(secret)" }

// MarshalText hides the secret from JSON and from slog's handlers.
func (Secret) MarshalText() ([]byte, error) { return []byte("(secret)"), nil }

// PeerBGP is the BGP side of a peer.
type PeerBGP struct {
	ASN         uint32 // of the peer; the router's own makes the session iBGP
	Import      Policy // Own is never set
	Export      Policy
	MaxPrefixes int // per family, at least 1
	// HardMaxPrefixes is how many prefixes of a family the peer may announce,
	// accepted or not; above it the session ends. At least MaxPrefixes.
	HardMaxPrefixes int

	// RouteReflectorClient passes on to the peer what other iBGP neighbors announce, and
	// what it announces to them; for iBGP. ClusterID is BGP.ClusterID; valid with iBGP alone.
	RouteReflectorClient bool
	ClusterID            netip.Addr
	// ASOverride replaces the peer's AS number by the router's own in what the peer is
	// sent; for eBGP.
	ASOverride bool
	// AllowOwnAS is how often the router's own AS number may be in the peer's paths: 0 to 10.
	AllowOwnAS int

	// Unreachable are prefixes that never take another way than by tunnels; masked,
	// no duplicates. With KeepLearned those that were learned from the peer do not
	// either, while it is gone.
	Unreachable []netip.Prefix
	KeepLearned bool
}

// Equal reports whether b and o make the same neighbor.
func (b PeerBGP) Equal(o PeerBGP) bool {
	return b.SameSession(o) && b.Import.Equal(o.Import) && b.Export.Equal(o.Export) &&
		b.MaxPrefixes == o.MaxPrefixes && b.HardMaxPrefixes == o.HardMaxPrefixes &&
		slices.Equal(b.Unreachable, o.Unreachable) && b.KeepLearned == o.KeepLearned
}

// SameSession reports whether a session with b goes on as one with o. What it carries may be
// something else.
func (b PeerBGP) SameSession(o PeerBGP) bool {
	return b.ASN == o.ASN && b.RouteReflectorClient == o.RouteReflectorClient && b.ClusterID == o.ClusterID &&
		b.ASOverride == o.ASOverride && b.AllowOwnAS == o.AllowOwnAS
}

// Policy is the set of prefixes that a list of filters lets pass: the union
// of its fields. The zero Policy lets nothing pass.
type Policy struct {
	Any      bool // every prefix but the default route and martians; on import none shorter than /8 or /16
	Default  bool // 0.0.0.0/0 and ::/0
	Own      bool // what this router itself announces
	Prefixes []PrefixFilter
}

// Equal reports whether p and o were written with the same filters in the
// same order.
func (p Policy) Equal(o Policy) bool {
	return p.Any == o.Any && p.Default == o.Default && p.Own == o.Own &&
		slices.Equal(p.Prefixes, o.Prefixes)
}

// PrefixFilter matches the prefixes inside Prefix (itself included) whose
// length is Ge to Le.
type PrefixFilter struct {
	Prefix netip.Prefix // masked
	Ge, Le int          // Prefix.Bits() <= Ge <= Le <= 32 or 128
}
