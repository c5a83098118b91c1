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
// which has at least one element and none twice, any will do, and the first is offered.
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
		slices.Equal(t.PublicKeys, o.PublicKeys) && bytes.Equal(t.PresharedKey, o.PresharedKey) &&
		bytes.Equal(t.PrivateKey, o.PrivateKey) && t.First == o.First && t.Invitation.Equal(o.Invitation)
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
