package wireguard

import (
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"

	"warren/tunnel/wireguard/pathmtu"
	"warren/tunnel/wireguard/protocol"
)

// SecretLen is the length of a shared secret in bytes.
const SecretLen = pathmtu.SecretLen

// Keys are what one end of a tunnel knows the other by.
type Keys = protocol.Keys

// DeriveSecret makes the keys of one end of a tunnel from a secret that only the two
// ends have, and from the tunnel's number, the same at both. It makes two ordinary key
// pairs and a preshared key, so that a tunnel with a shared secret is a tunnel of the
// WireGuard protocol like any other. Which pair is this end's, first says: it must be
// true at one end and false at the other. With what else it makes, two ends that know each other by an invitation
// refuse who comes with it later, see [Keys].
//
// The derivation is HKDF-SHA256 (RFC 5869) without salt. Its info is "warren/1
// wireguard", what is made, and "link N". Scalars are clamped (RFC 7748), as wg(8)
// prints them. It panics if the secret does not have SecretLen bytes.
func DeriveSecret(secret []byte, link uint16, first bool) Keys {
	if len(secret) != SecretLen {
		panic(fmt.Sprintf("wireguard: a shared secret of %d bytes", len(secret)))
	}
	derive := func(what string) [protocol.KeyLen]byte {
		info := fmt.Sprintf("warren/1 wireguard %s link %d", what, link)
		key, err := hkdf.Key(sha256.New, secret, nil, info, protocol.KeyLen)
		if err != nil {
			panic(err) // only for outputs of more than 255 hashes
		}
		return [protocol.KeyLen]byte(key)
	}
	mine, theirs := clamp(derive("first key")), clamp(derive("second key"))
	if !first {
		mine, theirs = theirs, mine
	}
	return Keys{
		PrivateKey: mine, PeerPublicKey: theirs.Public(), PresharedKey: derive("preshared key"),
		Secret: [SecretLen]byte(secret), Refusal: derive("refusal"),
	}
}

// clamp makes a scalar of random bytes (RFC 7748, section 5).
func clamp(k protocol.PrivateKey) protocol.PrivateKey {
	k[0] &= 248
	k[31] = k[31]&127 | 64
	return k
}
