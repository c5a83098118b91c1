package tlslink

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"warren/tunnel"
)

// errKeyRemoved ends what was made with a key that is not in the link's Trust any more.
var errKeyRemoved = errors.New("the peer is known by another key now: the one that the session was made with was removed")

// errSecretReplaced ends a session whose secret was replaced where it is kept, if the peer has
// not moved to the new one in the time in which keys are renewed. A peer that has only the
// old one must not stay for ever.
var errSecretReplaced = errors.New("the peer has not used the secret that replaced the session's: is it the same at both ends?")

// proof is how the two ends of a connection know each other.
type proof struct {
	cred  *credential
	local tunnel.Identity     // of this end
	own   *tls.Certificate    // that this end shows where it dials without a secret; else nil, or of no meaning
	chain []*x509.Certificate // of the peer, at least one
	at    time.Time           // when it was given

	offered *credential // that this end offered first where it dialed; else nil
}

// credentials are those of new connections, the first of which is offered.
func (l *Link) credentials() []*credential { return *l.creds.Load() }

// secret returns the credential of the secret with this server name, or nil.
func (l *Link) secret(serverName string) *credential {
	for _, c := range l.credentials() {
		if c.keys != nil && c.keys.serverName == serverName {
			return c
		}
	}
	return nil
}

// accepts reports whether a connection may go on that was proved to be the peer's. One with
// a secret may as long as the secret's name is there, whatever it stands for now: the file of
// the one that replaces it is written at one end before the other. Certificates count as
// they are, but for the time, which was checked.
func (l *Link) accepts(p *proof) bool {
	for _, c := range l.credentials() {
		switch {
		case (c.keys == nil) != (p.cred.keys == nil):
		case c.keys != nil:
			if c.keys.serverName == p.cred.keys.serverName || c.name == p.cred.name && c.name != "" {
				return true
			}
		case c.trust.CA != nil:
			return c.verifyChain(p.chain, p.at) == nil
		default:
			return c.verify(p.chain, false) == nil
		}
	}
	return false
}

// place returns what a connection was proved with, and which of several that is: from 1, or
// 0 if it is none of those of new connections.
func (l *Link) place(p *proof) (key string, place int) {
	creds := l.credentials()
	if p.cred.keys != nil {
		is := func(c *credential) bool { return c.keys != nil && c.keys.serverName == p.cred.keys.serverName }
		if i := slices.IndexFunc(creds, is); i >= 0 {
			return creds[i].name, 1 + i // it may have another name now
		}
		return p.cred.name, 0
	}
	seen := CertificateIdentity(p.chain[0].Raw)
	if trust := &creds[0].trust; trust.CA == nil {
		return Fingerprint(seen), 1 + slices.Index(trust.Fingerprints, seen)
	}
	return Fingerprint(seen), 1 // there is one CA file
}

// placeOf returns which of the keys of new connections has a name that place has returned: from 1, or 0 if none has.
func (l *Link) placeOf(key string) int {
	creds := l.credentials()
	first := creds[0]
	switch {
	case first.keys != nil:
		return 1 + slices.IndexFunc(creds, func(c *credential) bool { return c.name == key && key != "" })
	case first.trust.CA != nil && key != "":
		return 1 // there is one CA file
	}
	return 1 + slices.IndexFunc(first.trust.Fingerprints, func(id tunnel.Identity) bool { return Fingerprint(id) == key })
}

// SetTrust says how the peer is known from now on. A session stays whose key is still among
// those that the peer is known by; if it is not the one that this end offers, its connections
// are replaced by others with that one. An error leaves all as it was.
func (l *Link) SetTrust(t Trust) error {
	if err := t.check(); err != nil {
		return fmt.Errorf("tlslink: %s: %w", l.cfg.Name, err)
	}
	creds, err := newCredentials(t, l.e.cfg.Identity, l.e.certificate())
	if err != nil {
		return fmt.Errorf("tlslink: %s: %w", l.cfg.Name, err)
	}
	l.e.mu.Lock()
	defer l.e.mu.Unlock()
	if err := l.e.checkLinkLocked(l, creds); err != nil {
		return err
	}
	l.creds.Store(&creds)
	l.noteRekeyed()
	return nil
}

// SetCertificate sets the router's own certificate; nil is none, if all peers share secrets
// with it. Sessions stay, and their connections are replaced by others with the new one.
func (e *Endpoint) SetCertificate(own *tls.Certificate) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.own = own
	for _, l := range e.links {
		l.noteRekeyed()
	}
}

// certificate is the router's own; nil is none.
func (e *Endpoint) certificate() *tls.Certificate {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.own
}

func (l *Link) noteRekeyed() {
	select {
	case l.rekeyed <- struct{}{}:
	default:
	}
}

// identityWith is the identity of this end towards a peer, where own is what it presents to
// peers that share no secret with it.
func (e *Endpoint) identityWith(c *credential, own *tls.Certificate) tunnel.Identity {
	if c.keys != nil {
		return e.cfg.Identity
	}
	return CertificateIdentity(own.Certificate[0])
}

// identity is the identity of this end in new connections.
func (e *Endpoint) identity(c *credential) tunnel.Identity {
	own, err := e.ownCertificate()
	if err != nil {
		return tunnel.Identity{}
	}
	return e.identityWith(c, own)
}

// rekey is called by Run's goroutine when credentials or this router's certificate have
// changed: what was made with a key that was removed ends, what was made with another
// than a new connection would be is replaced.
func (l *Link) rekey() {
	if l.held != nil && !l.accepts(&l.held.wire.proof) {
		l.letGo(errKeyRemoved)
	}
	s := l.session
	if s == nil {
		l.backoff.pause = 0 // what was refused may not be now
		l.backoff.due = true
		return
	}
	if !l.accepts(&s.lanes[0].wire.proof) {
		l.endSession(errKeyRemoved, true)
		return
	}
	for ln := range s.every {
		if !l.accepts(&ln.wire.proof) {
			ln.lose(errKeyRemoved)
		}
	}
	first, now := l.credentials()[0], l.e.cfg.Now().Add(l.e.spread())
	for _, ln := range s.lanes {
		if ln == nil || !l.isOutdated(&ln.wire.proof, first) {
			continue
		}
		at := now
		if earliest := l.earliestAsked(ln); !s.dialer && earliest.After(now) {
			at = earliest // the peer would not do it before
		}
		ln.renewAt, ln.nextTry = at, at
	}
	l.tellSecret()
	l.noteKey()
}

// spread is how long a link waits with its replacements, so that those of many links, as with
// another certificate, are not all made at once.
func (e *Endpoint) spread() time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	return rand.N(time.Duration(len(e.links)+1) * spreadEach)
}

// spreadEach is the time on average from one of those to the next.
const spreadEach = 10 * time.Millisecond

// earliestAsked is from when a peer that dialed replaces a lane if it is asked to (renew).
func (l *Link) earliestAsked(ln *lane) time.Time {
	return ln.began.Add(l.renewal.age/renewPause + 2*l.cfg.Keepalive)
}

// isOutdated reports whether a new connection would be another than one of the session's.
// With which secret it is made the dialing end says.
func (l *Link) isOutdated(p *proof, first *credential) bool {
	if first.keys == nil || p.cred.keys == nil {
		return p.local != l.e.identity(first)
	}
	return l.session.dialer && p.cred.keys.serverName != first.keys.serverName
}

// cameLate reports whether keys were changed while a connection was made, which would be another by now: rekey has not seen it. One that was
// made with a later secret, as the peer does not have the first, is none of that.
func (l *Link) cameLate(p *proof) bool {
	first := l.credentials()[0]
	switch {
	case p.cred == nil: // nothing is proved yet
		return false
	case first.keys == nil || p.cred.keys == nil:
		return p.local != l.e.identity(first)
	}
	is := func(c *credential) bool { return c.keys.serverName == first.keys.serverName }
	return p.offered != nil && !is(p.offered) && !is(p.cred)
}

// noteKey is called at each tick. It has the status tell which of several keys is in use.
func (l *Link) noteKey() {
	s := l.session
	key, place := l.keyInUse(s)
	l.report.Change(func(t *tunnel.Status) { t.Key, t.KeyPlace = key, place })
	l.noteMet(place)
	switch now := l.e.cfg.Now(); {
	case place != 0:
		s.replaced = time.Time{}
	case s.replaced.IsZero():
		s.replaced = now
	case now.Sub(s.replaced) >= l.renewal.age:
		s.fail(errSecretReplaced)
	}
}

// keyInUse returns which key connections of a session are made with. Where they differ it is the one that has to stay yet, so that a key that
// is not shown any more can be removed: of secrets the last in their order, as the peer moves to the first; of certificates that of the
// oldest connection, as the newer ones have the peer's new one, wherever it is in the order.
func (l *Link) keyInUse(s *session) (key string, place int) {
	first := s.lanes[0]
	key, place = l.place(&first.wire.proof)
	oldest := first.began
	for _, lanes := range [][]*lane{s.lanes[:], s.draining} {
		for _, ln := range lanes {
			if ln == nil || ln.lost.Load() || ln.finished.Load() == 2 {
				continue
			}
			k, p := l.place(&ln.wire.proof)
			stays := p > place
			if ln.wire.proof.cred.keys == nil {
				stays = ln.began.Before(oldest)
			}
			if p == 0 || place != 0 && stays {
				key, place, oldest = k, p, ln.began
			}
		}
	}
	return key, place
}
