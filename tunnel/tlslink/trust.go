package tlslink

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"warren/tunnel"
)

// credential is one way in which the two ends know each other: a shared secret, or
// certificates. It never changes.
type credential struct {
	trust   Trust          // unless it is a secret
	name    string         // of the secret
	keys    *secretKeys    // of the secret; nil: certificates
	secret  []byte         // what keys are derived from
	invited tunnel.Invited // of the secret
	now     func() time.Time
}

// newCredentials makes a Trust ready: one credential for each secret, which needs an identity
// of this router, or one for all certificates, which needs a certificate of its own.
func newCredentials(t Trust, identity tunnel.Identity, own *tls.Certificate) ([]*credential, error) {
	if len(t.Secrets) == 0 {
		if own == nil {
			return nil, errors.New("this router has no certificate, which trust by fingerprint or CA needs at both ends: make one with `warren keygen`")
		}
		return []*credential{{trust: t, now: time.Now}}, nil
	}
	if identity == (tunnel.Identity{}) {
		return nil, errors.New("a shared secret needs an identity of this router")
	}
	var all []*credential
	for _, s := range t.Secrets {
		keys, err := deriveSecret(s.Key)
		if err != nil {
			return nil, err
		}
		all = append(all, &credential{name: s.Name, keys: keys, secret: s.Key, invited: s.Invited, now: time.Now})
	}
	return all, nil
}

// ids tell peers apart: no two links with the same number may have one in common.
func (c *credential) ids() []string {
	switch {
	case c.keys != nil:
		return []string{"secret " + c.keys.serverName}
	case c.trust.CA != nil:
		return []string{"name " + c.trust.PeerName}
	}
	ids := make([]string, 0, len(c.trust.Fingerprints))
	for _, f := range c.trust.Fingerprints {
		ids = append(ids, "fingerprint "+hex.EncodeToString(f[:]))
	}
	return ids
}

// idOf is the one of ids that a peer with this certificate has.
func (c *credential) idOf(cert *x509.Certificate) string {
	if c.keys == nil && c.trust.CA == nil {
		identity := CertificateIdentity(cert.Raw)
		return "fingerprint " + hex.EncodeToString(identity[:])
	}
	return c.ids()[0]
}

var errOtherSecret = errors.New("the peer does not have this shared secret: is the secret file the same at both ends?")

func baseConfig() *tls.Config {
	return &tls.Config{
		MinVersion:                  tls.VersionTLS13,
		NextProtos:                  protocols,
		SessionTicketsDisabled:      true, // a session is resumed by its keys or not at all
		DynamicRecordSizingDisabled: true,
	}
}

// dialConfig is for the dialing end, which shows a server name to the underlay; "" is
// one of the day with a secret, and otherwise none. Without a secret it presents cert. An
// older listening end needs the old form. InsecureSkipVerify only turns off the web's rules;
// VerifyConnection has ours.
func (c *credential) dialConfig(serverName string, cert *tls.Certificate, old bool) *tls.Config {
	cfg := baseConfig()
	cfg.InsecureSkipVerify = true
	cfg.VerifyConnection = func(s tls.ConnectionState) error { return c.verify(s.PeerCertificates, false) }
	cfg.ServerName = serverName
	if old {
		cfg.NextProtos = []string{oldProtocol}
	}
	if c.keys != nil {
		cfg.ServerName = c.keys.serverName
		cert = &c.keys.dialer
	}
	if c.keys != nil && !old {
		if serverName == "" {
			serverName = c.keys.dailyName(c.now())
		}
		cfg.EncryptedClientHelloConfigList = c.keys.echConfigList(serverName)
		cfg.EncryptedClientHelloRejectionVerify = func(tls.ConnectionState) error { return errOtherSecret }
	}
	// Not Certificates: that would be left out if the server asks for another CA.
	cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
	return cfg
}

// verify decides whether a certificate chain is the peer's; the peer's key was
// proved by the handshake.
func (c *credential) verify(chain []*x509.Certificate, peerDials bool) error {
	if len(chain) == 0 {
		return errors.New("the peer has no certificate")
	}
	switch {
	case c.keys != nil:
		want := &c.keys.listener
		if peerDials {
			want = &c.keys.dialer
		}
		if !samePublicKey(chain[0], want) {
			return errOtherSecret
		}
		return nil
	case c.trust.CA != nil:
		return c.verifyChain(chain, c.now())
	}
	seen := CertificateIdentity(chain[0].Raw)
	if slices.Contains(c.trust.Fingerprints, seen) {
		return nil
	}
	expected := make([]string, 0, len(c.trust.Fingerprints))
	for _, f := range c.trust.Fingerprints {
		expected = append(expected, Fingerprint(f))
	}
	return fmt.Errorf("the peer's fingerprint is %s, expected is %s", Fingerprint(seen), strings.Join(expected, " or "))
}

// maxChain bounds what a stranger can have verified, as each certificate may take
// some milliseconds.
const maxChain = 8

func (c *credential) verifyChain(chain []*x509.Certificate, now time.Time) error {
	leaf := chain[0]
	if err := checkName(leaf, c.trust.PeerName); err != nil {
		return err
	}
	if len(chain) > maxChain {
		return fmt.Errorf("the peer sent %d certificates: at most %d are looked at", len(chain), maxChain)
	}
	between := x509.NewCertPool()
	for _, cert := range chain[1:] {
		between.AddCert(cert)
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: c.trust.CA, Intermediates: between, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	switch {
	case err == nil:
		return nil
	case now.After(leaf.NotAfter):
		return fmt.Errorf("the peer's certificate expired on %s and it is %s here: renew it, or check the clocks", date(leaf.NotAfter), date(now))
	case now.Before(leaf.NotBefore):
		return fmt.Errorf("the peer's certificate is valid from %s and it is %s here: check the clocks", date(leaf.NotBefore), date(now))
	}
	return fmt.Errorf("the peer's certificate for %q is not signed by the configured CA: %w", c.trust.PeerName, err)
}

// checkName looks for the name in a certificate.
func checkName(leaf *x509.Certificate, name string) error {
	names := namesOf(leaf)
	for _, n := range names {
		if strings.EqualFold(n, name) {
			return nil
		}
	}
	return fmt.Errorf("the peer's certificate is for %q, expected is %q", strings.Join(names, " "), name)
}

func date(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }

// Fingerprint writes a fingerprint as `openssl x509 -fingerprint -sha256` does,
// with the name of the hash before it.
func Fingerprint(f [32]byte) string {
	var b strings.Builder
	b.WriteString("SHA256")
	for _, c := range f {
		fmt.Fprintf(&b, ":%02X", c)
	}
	return b.String()
}
