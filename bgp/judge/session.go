package judge

import "net/netip"

// Families of Counts.Families.
const (
	IPv4 = 0
	IPv6 = 1
)

// Config is what a Session needs to know of its two ends. It does not change
// during the session.
type Config struct {
	// LocalASN and PeerASN are the AS numbers of both ends; equal ones mean
	// iBGP.
	LocalASN, PeerASN uint32
	// RouterID is the BGP identifier of this router, in IPv4 form.
	RouterID netip.Addr
	// AllowOwnAS is how often LocalASN may be in a path.
	AllowOwnAS int
	// Policy is what is accepted at the start.
	Policy Policy
}

// Policy is what of a peer's announcements is accepted. It can be replaced
// during the session.
type Policy struct {
	// Accept is the import filter. It must be pure: the same prefix has the same
	// answer until the next SetPolicy. Nil accepts nothing.
	Accept func(netip.Prefix) bool
	// MaxPrefixes bounds what is accepted, per family. 0: no limit.
	MaxPrefixes int
	// HardMaxPrefixes bounds what the peer may announce, accepted or not, per
	// family; the session ends above it. 0: no limit.
	HardMaxPrefixes int
}

// Counts is what a Session holds, and what was wrong with what it got.
type Counts struct {
	// Families counts distinct prefixes, by IPv4 and IPv6.
	Families [2]FamilyCounts
	// Repaired counts UPDATEs in which something was repaired.
	Repaired uint64
	// Withdrawn counts prefixes that were treated as withdrawn because something
	// was malformed.
	Withdrawn uint64
	// Discarded counts attributes and NLRI that were discarded.
	Discarded uint64
	// Last is the last such case in words: printable ASCII, at most 200 bytes.
	Last string
}

// FamilyCounts counts the prefixes of one family that the peer announces now.
type FamilyCounts struct {
	Received int // distinct prefixes announced
	Accepted int // handed on
	Refused  int // passed the filter, but over MaxPrefixes
}

// Open is what a peer's OPEN message says.
type Open struct {
	ASN         uint32     // of the 4-octet AS capability if there is one
	RouterID    netip.Addr // the BGP identifier
	HoldTime    uint16     // seconds
	IPv4, IPv6  bool       // families offered
	NextHopIPv6 bool       // IPv4 prefixes may have an IPv6 next hop (RFC 8950)
	FourOctetAS bool       // RFC 6793
	Refresh     bool       // RFC 2918
}

// Session judges the messages of one session. It is not safe for concurrent
// use.
type Session struct {
	cfg Config
}

// New returns a Session that has seen nothing yet.
func New(cfg Config) *Session { return &Session{cfg: cfg} }

// FromPeer takes the next bytes of the peer's stream, in any chunks, and
// appends to dst what is to be handed on. On an error, which is always a
// *Notification, what was appended so far is still good; the Notification is to
// be sent to the peer and the connection closed. Further calls return the same
// error.
func (s *Session) FromPeer(dst, in []byte) ([]byte, error) { return append(dst, in...), nil }

// ToPeer takes what is to be sent to the peer, in any chunks, and appends to dst
// what goes out: the OPEN rewritten, everything else as it is.
func (s *Session) ToPeer(dst, in []byte) []byte { return append(dst, in...) }

// SetPolicy replaces the policy and appends to dst the UPDATEs that make what
// was handed on equal to what is accepted now. affected limits the look to
// prefixes for which it is true; nil means all. The error is a *Notification,
// as FromPeer's: the peer announces more than the new hard limit.
func (s *Session) SetPolicy(dst []byte, p Policy, affected func(netip.Prefix) bool) ([]byte, error) {
	s.cfg.Policy = p
	return dst, nil
}

// Counts returns what the session holds now.
func (s *Session) Counts() Counts { return Counts{} }

// PeerOpen returns what the peer's OPEN said, once it has come.
func (s *Session) PeerOpen() (Open, bool) { return Open{}, false }
