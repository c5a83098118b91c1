package tlslink

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"fmt"
	"math/big"
	"strings"
	"time"
)

// serverNameSuffix marks the server name of a dialer that has a shared secret.
const serverNameSuffix = ".warren"

// secretKeys are what both ends derive from a shared secret: a key pair for the
// end that dials and another for the end that listens, so that neither can be
// answered with its own messages, and the server name by which the listening end
// knows which secret is meant. The name is as good as random to anyone else.
type secretKeys struct {
	dialer, listener tls.Certificate
	serverName       string
}

func deriveSecret(secret []byte) (*secretKeys, error) {
	name, err := hkdf.Key(sha256.New, secret, nil, "warren/1 server name", 16)
	if err != nil {
		return nil, fmt.Errorf("derive the server name: %w", err)
	}
	k := &secretKeys{serverName: hex.EncodeToString(name) + serverNameSuffix}
	for _, end := range []struct {
		label string
		cert  *tls.Certificate
	}{{"warren/1 dialing end", &k.dialer}, {"warren/1 listening end", &k.listener}} {
		seed, err := hkdf.Key(sha256.New, secret, nil, end.label, ed25519.SeedSize)
		if err != nil {
			return nil, fmt.Errorf("derive the key of the %s: %w", end.label, err)
		}
		if *end.cert, err = selfSigned(ed25519.NewKeyFromSeed(seed)); err != nil {
			return nil, err
		}
	}
	return k, nil
}

// selfSigned wraps a key in the certificate that TLS wants around it. Nothing in
// it but the key is ever looked at.
func selfSigned(key ed25519.PrivateKey) (tls.Certificate, error) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "warren"},
		NotBefore:    time.Unix(0, 0),
		NotAfter:     time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}

// throwaway makes a certificate that nobody trusts, for a router without one of
// its own: a stranger's handshake then fails at the stranger's end, with words
// that say why.
func throwaway() (tls.Certificate, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("key: %w", err)
	}
	return selfSigned(key)
}

func isSecretName(serverName string) bool { return strings.HasSuffix(serverName, serverNameSuffix) }

// samePublicKey reports whether a certificate is for the key of another.
func samePublicKey(cert *x509.Certificate, want *tls.Certificate) bool {
	key, ok := cert.PublicKey.(ed25519.PublicKey)
	return ok && key.Equal(want.Leaf.PublicKey)
}
