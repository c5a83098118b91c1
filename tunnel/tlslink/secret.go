package tlslink

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"math/big"
	"strings"
	"time"
)

// serverNameSuffix marks the server name of a secret. The first versions showed it to
// the underlay.
const serverNameSuffix = ".warren"

// secretKeys are what both ends derive from a shared secret: a key pair for the
// end that dials and another for the end that listens, so that neither can be
// answered with its own messages; the server name by which the listening end
// knows which secret is meant; and what hides that name (ech.go).
type secretKeys struct {
	dialer, listener tls.Certificate
	serverName       string

	ech        *ecdh.PrivateKey
	configIDs  cipher.Block
	dailyNames []byte // key
}

func deriveSecret(secret []byte) (*secretKeys, error) {
	derive := func(what string, n int) ([]byte, error) {
		key, err := hkdf.Key(sha256.New, secret, nil, what, n)
		if err != nil {
			return nil, fmt.Errorf("derive the %s: %w", what, err)
		}
		return key, nil
	}
	name, err := derive("warren/1 server name", 16)
	if err != nil {
		return nil, err
	}
	k := &secretKeys{serverName: hex.EncodeToString(name) + serverNameSuffix}
	for label, cert := range map[string]*tls.Certificate{"warren/1 dialing end": &k.dialer, "warren/1 listening end": &k.listener} {
		seed, err := derive(label, ed25519.SeedSize)
		if err != nil {
			return nil, err
		}
		if *cert, err = selfSigned(ed25519.NewKeyFromSeed(seed)); err != nil {
			return nil, err
		}
	}
	private, err := derive("warren/2 encrypted hello", 32)
	if err != nil {
		return nil, err
	}
	if k.ech, err = ecdh.X25519().NewPrivateKey(private); err != nil {
		return nil, fmt.Errorf("derive the key of hellos: %w", err)
	}
	ids, err := derive("warren/2 config IDs", 16)
	if err != nil {
		return nil, err
	}
	if k.configIDs, err = aes.NewCipher(ids); err != nil {
		return nil, fmt.Errorf("derive the config IDs: %w", err)
	}
	k.dailyNames, err = derive("warren/2 daily names", 32)
	return k, err
}

// dailyName is the name in a hello that the underlay sees if none is configured: without
// the secret, a random one for each day (UTC). The listening end takes any, so that
// clocks don't have to agree.
func (k *secretKeys) dailyName(now time.Time) string {
	h := hmac.New(sha256.New, k.dailyNames)
	h.Write([]byte(now.UTC().Format(time.DateOnly)))
	label := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(h.Sum(nil)[:10])
	return strings.ToLower(label) + ".net"
}

// selfSigned wraps a key in the certificate that TLS wants around it. Peers look at
// nothing in it but the key; for strangers it looks like that of any new web server.
func selfSigned(key crypto.Signer) (tls.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("certificate: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "localhost"},
		DNSNames:              []string{"localhost"},
		NotBefore:             now,
		NotAfter:              now.AddDate(0, 0, 3650),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
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
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
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
