package config

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// oneOrMore makes a list of a key that has a form for one value and one for several.
func (l *loader) oneOrMore(one value[string], more value[list]) value[list] {
	switch {
	case one.state == faulty || more.state == faulty:
		more.state = faulty
	case one.state == given && more.state == given:
		l.fail(more.place, "and %s exclude one another: put that one into the list too, first if it is the one to offer", bare(one.key))
		more.state = faulty
	case one.state == given:
		return value[list]{place: one.place, v: list{{one.v, one.line}}, state: given}
	case more.state == given && len(more.v) == 0:
		l.fail(more.place, "is empty: nothing would say how to know the peer; name at least one")
		more.state = faulty
	case more.state == absent:
		more.place = one.place
	}
	return more
}

// bare is a key without its table.
func bare(key string) string { return key[strings.LastIndex(key, ".")+1:] }

// way is one of the keys by which a peer may be known.
type way struct {
	place
	state state
}

// oneWay returns the only one of the keys that is given: there must be exactly
// one way for the peer to prove who it is. "" if not, or if it is faulty.
func (l *loader) oneWay(ways []way, allowed string) string {
	var set []string
	for _, w := range ways {
		if w.state == faulty {
			return ""
		}
		if w.state == given {
			set = append(set, bare(w.key))
		}
	}
	if len(set) == 1 {
		return set[0]
	}
	at := ways[0].place // if none is given, that of the table
	found := false
	for _, w := range ways {
		if w.state == given && (!found || w.line > at.line) {
			at, found = w.place, true
		}
	}
	problem := "nothing says how to know the peer"
	if len(set) > 1 {
		problem = strings.Join(set, " and ") + " exclude one another"
	}
	l.fail(at.named(strings.TrimSuffix(at.key, "."+bare(at.key))), "%s; set one of %s", problem, allowed)
	return ""
}

// tlsTrust reads how the peer proves over TLS who it is.
func (l *loader) tlsTrust(raw *rawTunnel) Trust {
	fingerprints, secrets := l.oneOrMore(raw.Fingerprint, raw.Fingerprints), l.oneOrMore(raw.SecretFile, raw.SecretFiles)
	key := l.oneWay([]way{{fingerprints.place, fingerprints.state}, {secrets.place, secrets.state}, {raw.CAFile.place, raw.CAFile.state}},
		"fingerprint, secret_file, ca_file (with peer_name)")
	if at, given := raw.PeerName.isGiven(); given && key != "" && key != "ca_file" {
		l.fail(at, "goes with ca_file only; %s already names one peer", key)
	}
	l.refuseInvitation(raw, key)
	switch key {
	case "fingerprint", "fingerprints":
		return l.trustFingerprints(fingerprints)
	case "secret_file", "secret_files":
		return l.trustSecretsOf(raw, secrets)
	case "ca_file":
		return l.trustCA(raw)
	}
	return Trust{}
}

func (l *loader) trustFingerprints(v value[list]) Trust {
	t := Trust{Method: TrustFingerprint}
	ok := true
	for _, e := range v.v {
		sum, err := parseFingerprint(e.text)
		if err != nil {
			err = fmt.Errorf("%w; allowed is SHA256: and 32 pairs of hex digits, as `openssl x509 -noout -fingerprint -sha256` and `warren keygen` print it", err)
		} else if slices.Contains(t.Fingerprints, sum) {
			err = errTwice
		}
		if err != nil {
			l.failElement(v.place, e, err)
			ok = false
			continue
		}
		t.Fingerprints = append(t.Fingerprints, sum)
	}
	if !ok {
		return Trust{}
	}
	return t
}

// refuseInvitation reports an invitation of a peer that is known by a key that is no secret.
func (l *loader) refuseInvitation(raw *rawTunnel, key string) {
	if raw.Transport.v == TransportAuto {
		return // which says so itself
	}
	if at, invited := raw.InvitationFile.isGiven(); invited && key != "" && key != "secret_file" && key != "secret_files" {
		l.fail(at, "goes with secret_file only, to which the secret is written that replaces the invitation's")
	}
}

// trustSecretsOf reads how a peer is known by secrets, or by an invitation until there is one.
func (l *loader) trustSecretsOf(raw *rawTunnel, secrets value[list]) Trust {
	if _, invited := raw.InvitationFile.isGiven(); invited {
		return l.invitedTrust(raw, secrets)
	}
	return l.trustSecrets(secrets)
}

func (l *loader) trustSecrets(v value[list]) Trust {
	t := Trust{Method: TrustSecret}
	ok := true
	for _, e := range v.v {
		file := l.resolve(e.text)
		data, err := l.read(file, private)
		if err == nil {
			data, err = ParseSecret(data)
		}
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w; `warren keygen --secret FILE` makes it at one end, copy it to the other", err)
		}
		for _, other := range t.Secrets {
			if err == nil && other.File == file {
				err = errTwice
			} else if err == nil && bytes.Equal(other.Secret, data) {
				err = fmt.Errorf("has the same secret as %s; make another with `warren keygen --secret FILE`, or leave one of them out", other.File)
			}
		}
		if err != nil {
			at := v.place
			at.line = e.line
			l.fail(at, "%s: %v", file, err)
			ok = false
			continue
		}
		t.Secrets = append(t.Secrets, SharedSecret{File: file, Secret: data})
	}
	if !ok {
		return Trust{}
	}
	return t
}

func (l *loader) trustCA(raw *rawTunnel) Trust {
	t := Trust{Method: TrustCA, PeerName: raw.PeerName.v}
	const allowed = "the DNS name in the peer's certificate, such as b.example.net"
	if raw.PeerName.state == absent {
		l.fail(raw.PeerName.place, "is required with ca_file: %s", allowed)
	} else if raw.PeerName.state == given && !validHost(t.PeerName) {
		l.fail(raw.PeerName.place, "%q is not a name; allowed is %s", t.PeerName, allowed)
	}
	if t.CA = l.ca(raw.CAFile); t.CA == nil {
		return Trust{}
	}
	return t
}

// ca reads a file of CA certificates, once if several peers have it. nil if it is wrong.
func (l *loader) ca(v value[string]) *x509.CertPool {
	file := l.resolve(v.v)
	if pool := l.cas[file]; pool != nil {
		return pool
	}
	var pool *x509.CertPool
	data, err := l.read(file, trusted)
	if err == nil {
		pool, err = parseCAs(data)
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w; copy it from whoever signs the routers' certificates: `openssl req -x509` makes a CA of one's own", err)
	}
	if err != nil {
		l.fail(v.place, "%s: %v", file, err)
		return nil
	}
	if l.cas == nil {
		l.cas = map[string]*x509.CertPool{}
	}
	l.cas[file] = pool
	return pool
}

// parseCAs reads one or more CA certificates in PEM.
func parseCAs(data []byte) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	count := 0
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		count++
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d cannot be read: %w", count, err)
		}
		if !cert.IsCA {
			return nil, fmt.Errorf("certificate %d, of %q, is not a CA's; to trust one certificate use fingerprint", count, cert.Subject)
		}
		pool.AddCert(cert)
	}
	if count == 0 {
		return nil, errors.New("has no certificate; it must hold CA certificates in PEM")
	}
	return pool, nil
}

// certificate loads the router's own certificate. There may be none if no
// peer needs it, no key names it, and the default files are not there.
func (l *loader) certificate(router *rawRouter, t TLS, drafts []draft) *tls.Certificate {
	raw := &router.TLS
	if raw.CertFile.state == faulty || raw.KeyFile.state == faulty {
		return nil
	}
	wanted := raw.CertFile.state == given || raw.KeyFile.state == given || exists(t.CertFile) || exists(t.KeyFile) ||
		router.Accept.CAFile.state == given
	for _, t := range tunnelsOf(drafts) {
		// What the file says counts, even if the key itself was wrong.
		wanted = wanted || t.raw.Fingerprint.state == given || t.raw.Fingerprints.state == given || t.raw.CAFile.state == given
	}
	if !wanted {
		return nil
	}
	cert := l.keyFile(raw.CertFile.place, t.CertFile, trusted)
	key := l.keyFile(raw.KeyFile.place, t.KeyFile, private)
	if cert == nil || key == nil {
		return nil
	}
	pair, err := parseKeyPair(cert, key)
	if err != nil {
		l.fail(raw.CertFile.place, "%s and %s: %v", t.CertFile, t.KeyFile, err)
		return nil
	}
	return pair
}

// keyFile reads one half of the router's own key pair.
func (l *loader) keyFile(at place, file string, e exposure) []byte {
	data, err := l.read(file, e)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		l.fail(at, "%s: %v; `warren keygen` makes it", file, err)
	case err != nil:
		l.fail(at, "%s: %v", file, err)
	}
	return data
}

func exists(file string) bool {
	_, err := os.Lstat(file)
	return err == nil
}
