package tlslink

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
)

// Admission lets peers in that no link is for yet, because a CA vouches for them.
type Admission struct {
	CA *x509.CertPool // who signs their certificates, which must be in date
	// Matches reports whether a peer with that name may come: a DNS name in its certificate, or
	// its common name if it has no alternative names, in lower case. It is called from any
	// goroutine.
	Matches func(name string) bool
	// Admit has a link be added for the peer with that name, whose key is proved, and then calls
	// done, once: with nil, or with why there is none, which the peer is told. It must not block.
	Admit func(name string, done func(error))
}

// SetAdmission has peers without a link be let in as a says from now on; nil lets none in.
func (e *Endpoint) SetAdmission(a *Admission) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.admission = a
}

// maxNames bounds how many names of a stranger's certificate are looked at.
const maxNames = 16

// vouched returns the name by which a peer may be let in, in a credential of its own, or why it
// may not; neither if there is nothing to say of it.
func (e *Endpoint) vouched(chain []*x509.Certificate) (*credential, error) {
	e.mu.Lock()
	a := e.admission
	e.mu.Unlock()
	if a == nil || len(chain) == 0 {
		return nil, nil
	}
	names := namesOf(chain[0])
	for _, name := range names[:min(len(names), maxNames)] {
		if name = strings.ToLower(name); !a.Matches(name) {
			continue
		}
		cred := &credential{trust: Trust{CA: a.CA, PeerName: name}, now: e.cfg.Now}
		if err := cred.verify(chain, true); err != nil {
			return nil, err
		}
		return cred, nil
	}
	if len(names) > 0 && (&credential{trust: Trust{CA: a.CA, PeerName: names[0]}, now: e.cfg.Now}).verify(chain, true) == nil {
		return nil, fmt.Errorf("the CA vouches for %q, and no peer here has that name, nor is it among those that are accepted", names[0])
	}
	return nil, nil
}

// admit waits until there is a link for a peer that was let in.
func (e *Endpoint) admit(ctx context.Context, v *visitor, chain []*x509.Certificate) (err error) {
	e.mu.Lock()
	a := e.admission
	e.mu.Unlock()
	if a == nil {
		return errors.New("peers without a tunnel are not let in any more")
	}
	done := make(chan error, 1)
	a.Admit(v.cred.trust.PeerName, func(err error) { done <- err })
	select {
	case err = <-done:
	case <-ctx.Done():
		err = errors.New("this tunnel is not ready yet")
	}
	if err != nil {
		return fmt.Errorf("%s: %w", v.cred.trust.PeerName, err)
	}
	v.links, v.cred, err = e.certifiedLinks(chain)
	return err
}

// namesOf are the DNS names in a certificate, or the common name of one that has no alternative
// names, as many private CAs make them.
func namesOf(leaf *x509.Certificate) []string {
	if len(leaf.DNSNames)+len(leaf.IPAddresses)+len(leaf.EmailAddresses)+len(leaf.URIs) == 0 {
		return []string{leaf.Subject.CommonName}
	}
	return leaf.DNSNames
}
