package protocol

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"

	"golang.org/x/crypto/curve25519"
)

// KeyLen is the length of every key in bytes.
const KeyLen = 32

// PrivateKey is a Curve25519 scalar (RFC 7748). It is clamped when it is used, so
// that any 32 random bytes will do.
type PrivateKey [KeyLen]byte

// PublicKey is a point of Curve25519, and who a peer is.
type PublicKey [KeyLen]byte

// PresharedKey is the symmetric key mixed into a handshake; all zeros is none.
type PresharedKey [KeyLen]byte

// NewPrivateKey makes a key from the system's random source.
func NewPrivateKey() PrivateKey {
	var k PrivateKey
	rand.Read(k[:]) // never fails (crypto/rand)
	return k
}

// ParseKey reads a key in base64, as wg(8) writes all three kinds.
func ParseKey(s string) ([KeyLen]byte, error) {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != KeyLen || len(s) != base64.StdEncoding.EncodedLen(KeyLen) {
		return [KeyLen]byte{}, fmt.Errorf("a WireGuard key is %d bytes in base64, 44 characters as `wg pubkey` prints them", KeyLen)
	}
	return [KeyLen]byte(b), nil
}

// Public returns the public key that belongs to k.
func (k PrivateKey) Public() PublicKey {
	// The base point has no low order, so that this cannot fail.
	b, _ := curve25519.X25519(k[:], curve25519.Basepoint)
	return PublicKey(b)
}

// String is the key in base64.
func (k PublicKey) String() string { return base64.StdEncoding.EncodeToString(k[:]) }

// x25519 is a variable so that a test can count what is by far the dearest here.
var x25519 = curve25519.X25519

var errLowOrder = errors.New("a public key of low order")

// dh is the DH function of the paper's section 5.4. A point of low order, whose
// product says nothing about either key, is an error.
func (k *PrivateKey) dh(pub *PublicKey) ([KeyLen]byte, error) {
	b, err := x25519(k[:], pub[:])
	if err != nil {
		return [KeyLen]byte{}, errLowOrder
	}
	return [KeyLen]byte(b), nil
}
