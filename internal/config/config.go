package config

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// DefaultPath is where warren looks for its config unless told otherwise.
const DefaultPath = "/etc/warren/warren.toml"

// DefaultSocket is where a daemon can be asked whose config names no other socket.
const DefaultSocket = "/run/warren/warren.sock"

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
	Accept    Accept // peers besides Peers
	History   History
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
func (a Announce) Equal(o Announce) bool { return len(a.AnnouncedBy(o)) == 0 }

// TLS is the router's side of the tls transport.
type TLS struct {
	Listen      []netip.AddrPort // empty: this router only dials
	ServerName  string           // a DNS name, shown to the underlay when dialing; "": see tlslink
	Congestion  string           // of tunnels that name none: see Tunnel.Congestion
	CertFile    string           // absolute, whether the file exists or not
	KeyFile     string           // absolute, whether the file exists or not
	Certificate *tls.Certificate // with Leaf set; nil when there is none and no peer needs one
}

// Equal reports whether t and o listen at the same addresses with the same
// certificate and key, wherever those were read from, show the same name, and have the same
// congestion control.
func (t TLS) Equal(o TLS) bool {
	return slices.Equal(t.Listen, o.Listen) && t.ServerName == o.ServerName && t.Congestion == o.Congestion && t.SameCertificate(o)
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
	HTTP   string // IP:port or unix:PATH of metrics, health and status over HTTP; "" is off
	Socket string // absolute path of the status socket
}

// GobgpSocket returns the path of the unix socket for the gobgp command, if it is one.
func (a API) GobgpSocket() (path string, isUnix bool) { return SocketPath(a.Gobgp) }

// SocketPath returns the path of the unix socket that an address of API is, if it is one.
func SocketPath(address string) (path string, isUnix bool) {
	return strings.CutPrefix(address, unixScheme)
}

// Log says what the daemon logs and how. It can be compared with ==.
type Log struct {
	Level  slog.Level // one of those that ParseLevel knows
	Format LogFormat
}

// History says where the history is kept beside the memory. It can be compared with ==.
type History struct {
	File    string // absolute; "": nowhere
	MaxSize int64  // bytes that the file and the one before it may take together
}

// Peer is one file of peers.d, or a [peer.NAME] in one.
type Peer struct {
	Name    string   // NAME, or the file's name without .toml
	File    string   // its path, for messages
	Line    int      // where NAME begins in the file, from 1; 0: the file is this peer's alone
	Tunnels []Tunnel // in the file's order; all of them lead to the one BGP peer; none exactly if BGP.LAN is set
	BGP     PeerBGP

	raw *rawPeer // for where the keys are
}

// where is the place of the peer for messages: its file, with the line if others are in it.
func (p *Peer) where() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d", p.File, p.Line)
}

// Equal reports whether p and o configure the same peer in the same way, wherever that is
// written. To see which part differs, compare Tunnels and BGP.
func (p Peer) Equal(o Peer) bool {
	return p.Name == o.Name && slices.EqualFunc(p.Tunnels, o.Tunnels, Tunnel.Equal) && p.BGP.Equal(o.BGP)
}

// PeerBGP is the BGP side of a peer.
type PeerBGP struct {
	ASN         uint32 // of the peer; the router's own makes the session iBGP
	Import      Policy // Own is never set
	Export      Policy
	MaxPrefixes int // per family, at least 1
	// HardMaxPrefixes is how many prefixes of a family the peer may announce,
	// accepted or not; above it the session ends. At least MaxPrefixes.
	HardMaxPrefixes int

	LAN LAN // where the peer is, if it is not reached by tunnels

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
func (b PeerBGP) Equal(o PeerBGP) bool { return b.SameSession(o) && len(b.FilteredBy(o)) == 0 }

// SameSession reports whether a session with b goes on as one with o. What it carries may be
// something else.
func (b PeerBGP) SameSession(o PeerBGP) bool { return len(b.SessionBy(o)) == 0 && b.LAN.Equal(o.LAN) }

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
