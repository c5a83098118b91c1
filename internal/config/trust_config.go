package config

import (
	"bytes"
	"crypto/x509"
	"slices"
)

// TrustMethod says how a peer proves who it is.
type TrustMethod int

// The ways to trust a peer. The zero TrustMethod is none of them.
const (
	TrustFingerprint TrustMethod = iota + 1 // Trust.Fingerprints is set
	TrustSecret                             // Trust.Secrets is set, over WireGuard Trust.First too
	TrustCA                                 // Trust.CA and Trust.PeerName are set
	TrustPublicKey                          // Trust.PublicKeys and perhaps Trust.PresharedKey and Trust.PrivateKey are set
)

// Trust is how a peer proves who it is. Only the fields of its Method are set. Of a list,
// which has at least one element and none twice, any will do, and the first is offered. Where TLS and WireGuard carry the
// tunnel, a Trust that has not TrustSecret is that of TLS, with the fields of TrustPublicKey for WireGuard.
type Trust struct {
	Method       TrustMethod
	Fingerprints [][32]byte // SHA-256 of the peer's certificates in DER
	Secrets      []SharedSecret
	CA           *x509.CertPool
	PeerName     string // a DNS name in the peer's certificate

	PublicKeys   [][KeySize]byte // of the peer, Curve25519
	PresharedKey Secret          // KeySize bytes; nil: none
	PrivateKey   Secret          // of this end, KeySize bytes; nil: WireGuard.PrivateKey

	// Invitation is what the last of Secrets comes from, if the two routers have not met yet; nil: none.
	Invitation *Invitation
	// Used is the invitation by which the two routers have met, at the inviting end, while its term lasts; nil: none, or
	// it is not needed for telling others that it was used, as over TLS. It lets nobody in.
	Used *Invitation

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
func (t Trust) Equal(o Trust) bool { return t.Method == o.Method && len(t.KnownBy(o)) == 0 }

// SameFiles reports whether the secrets of t and o are in the same files.
func (t Trust) SameFiles(o Trust) bool {
	return slices.EqualFunc(t.Secrets, o.Secrets, func(a, b SharedSecret) bool { return a.File == b.File })
}

// Holds reports whether a session may go on with t that was made with a secret: that, or another in
// the same file.
func (t Trust) Holds(s SharedSecret) bool {
	return slices.ContainsFunc(t.Secrets, func(o SharedSecret) bool { return o.File == s.File || bytes.Equal(o.Secret, s.Secret) })
}

// Secret is a shared secret. It does not show itself when printed or logged.
type Secret []byte

// String hides the secret.
func (Secret) String() string { return "(secret)" }

// GoString hides the secret.
func (Secret) GoString() string { return "(secret)" }

// MarshalText hides the secret from JSON and from slog's handlers.
func (Secret) MarshalText() ([]byte, error) { return []byte("(secret)"), nil }
