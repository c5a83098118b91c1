package tlslink

import (
	"crypto/tls"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"warren/tunnel"
)

// secrets trusts the peer that has any of some secrets.
func secrets(of ...byte) (t Trust) {
	for _, b := range of {
		t.Secrets = append(t.Secrets, secretTrust(b).Secrets...)
	}
	return t
}

func (e *end) setTrust(t Trust) {
	e.t.Helper()
	if err := e.link.SetTrust(t); err != nil {
		e.t.Fatal(err)
	}
}

// waitKey waits until the link's session uses a key, which is the one at a place of those
// that are configured.
func (e *end) waitKey(key string, place int) {
	e.t.Helper()
	poll(e.t, func() bool { s := e.link.Status(); return s.Key == key && s.KeyPlace == place },
		func() string {
			s := e.link.Status()
			return e.cfg.Name + " uses " + s.Key + ", at another place than wanted: " + key
		})
}

// rotates runs steps while packets flow, and fails if one is lost or a session ends.
func rotates(t *testing.T, a, b *end, steps func()) {
	t.Helper()
	a.waitEvents(1)
	b.waitEvents(1)
	openLanes(t, a, b)
	stop := make(chan struct{})
	flow := startStream(a, b, stop)
	steps()
	close(stop)
	flow.check(t, b)
	if len(a.seen()) != 1 || len(b.seen()) != 1 {
		t.Errorf("events %+v and %+v", a.seen(), b.seen())
	}
}

// Old and new at both ends, then new and old, then new alone: nothing is lost, and
// afterwards a new session comes up with the new one.
func TestSecretRotation(t *testing.T) {
	a, b := secretPair(t)
	b.start(secrets(0))
	a.start(secrets(0), b.addr())
	rotates(t, a, b, func() {
		a.setTrust(secrets(0, 1))
		b.setTrust(secrets(0, 1))
		b.setTrust(secrets(1, 0))
		b.waitKey("secret 0", 2) // which the dialing end still offers
		a.setTrust(secrets(1, 0))
		a.waitKey("secret 1", 1)
		b.waitKey("secret 1", 1)
		a.setTrust(secrets(1))
		b.setTrust(secrets(1))
		a.waitKey("secret 1", 1)
		b.waitKey("secret 1", 1)
	})
	a.halt(nil)
	a.start(secrets(0), b.addr())
	a.waitError("does not have this shared secret")
	a.halt(nil)
	a.start(secrets(1), b.addr())
	a.waitEvents(3)
}

// Each router replaces its certificate while the other one knows both. The connections that
// were made with the old one and those with the new one are one session.
func TestCertificateRotation(t *testing.T) {
	oldA, newA, oldB, newB := ownCert(t, "a"), ownCert(t, "a"), ownCert(t, "b"), ownCert(t, "b")
	a, b := newEnd(t, Config{Certificate: oldA}, "a"), newEnd(t, Config{Certificate: oldB}, "b")
	for _, e := range []*end{a, b} {
		e.endpoint.renewal.age = 20 * time.Second // so that what the listening end asks for is done soon
	}
	name := func(c *tls.Certificate) string { return Fingerprint(CertificateIdentity(c.Certificate[0])) }
	b.start(pin(oldA))
	a.start(pin(oldB), b.addr())
	rotates(t, a, b, func() {
		before := a.link.Status()
		b.setTrust(pin(oldA, newA))
		a.endpoint.SetCertificate(newA)
		b.waitKey(name(newA), 2)
		a.setTrust(pin(oldB, newB))
		b.endpoint.SetCertificate(newB)
		a.waitKey(name(newB), 2)
		a.setTrust(pin(newB))
		b.setTrust(pin(newA))
		a.waitKey(name(newB), 1)
		b.waitKey(name(newA), 1)
		// The session's addresses were made of who the two ends were.
		if after := a.link.Status(); after.Local != before.Local || after.Peer != before.Peer {
			t.Errorf("the session is another's: %x, %x", after.Local, after.Peer)
		}
	})
	a.halt(nil)
	a.start(pin(newB), b.addr())
	ev := a.waitEvents(3)[2]
	if ev.Local != CertificateIdentity(newA.Certificate[0]) || ev.Peer != CertificateIdentity(newB.Certificate[0]) {
		t.Errorf("the next session: %+v", ev)
	}
}

// A connection that is being made while keys change is replaced by one with the new ones, and one that could not have the first is not
// replaced again and again.
func TestConnectionOfTheKeysBeforeIsReplaced(t *testing.T) {
	cert, next := ownCert(t, "cert"), ownCert(t, "next")
	id := func(c *tls.Certificate) tunnel.Identity { return CertificateIdentity(c.Certificate[0]) }
	for name, c := range map[string]struct {
		trust   Trust // now
		with    byte  // the secret of the connection
		offered byte  // the first one that there was; 255: the peer has dialed
		local   tunnel.Identity
		late    bool
	}{
		"another secret now":       {trust: secrets(1, 0), late: true},
		"the same one":             {trust: secrets(1, 0), with: 1, offered: 1},
		"the peer lacks the first": {trust: secrets(1, 0), offered: 1},
		"the peer has dialed":      {trust: secrets(1, 0), offered: 255},
		"another certificate now":  {trust: pin(cert), local: id(cert), late: true},
		"this one":                 {trust: pin(cert), local: id(next)},
	} {
		t.Run(name, func(t *testing.T) {
			l, s := stillLink(t)
			l.e.cfg.Identity, l.e.own = tunnel.Identity{1}, next
			creds, err := newCredentials(c.trust, tunnel.Identity{1}, next)
			if err != nil {
				t.Fatal(err)
			}
			l.creds.Store(&creds)
			w := newWire(nil)
			w.proof = proof{cred: &credential{}, local: c.local}
			if c.trust.Secrets != nil {
				of := func(b byte) *credential {
					creds, err := newCredentials(secrets(b), tunnel.Identity{1}, nil)
					if err != nil {
						t.Fatal(err)
					}
					return creds[0]
				}
				w.proof = proof{cred: of(c.with), local: tunnel.Identity{1}}
				if c.offered != 255 {
					w.proof.offered = of(c.offered)
				}
			}
			if ln := newLane(s, 1, nil, w); ln.isOld(ln.began) != c.late {
				t.Errorf("replaced at once: %v", !c.late)
			}
		})
	}
}

// The status names the key that has to stay yet while the connections of a session differ: an operator removes the other one.
func TestKeyThatStaysIsNamed(t *testing.T) {
	before, after := ownCert(t, "before"), ownCert(t, "after")
	certProof := func(c *tls.Certificate) proof { return proof{cred: &credential{}, chain: []*x509.Certificate{c.Leaf}} }
	secretProof := func(b byte) proof {
		creds, err := newCredentials(secrets(b), tunnel.Identity{1}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return proof{cred: creds[0]}
	}
	older, newer := certProof(before), certProof(after)
	for name, c := range map[string]struct {
		trust Trust
		lanes [2]proof // the older first
		key   string
		place int
	}{
		"certificate, new one last":  {pin(before, after), [2]proof{older, newer}, Fingerprint(CertificateIdentity(before.Certificate[0])), 1},
		"certificate, new one first": {pin(after, before), [2]proof{older, newer}, Fingerprint(CertificateIdentity(before.Certificate[0])), 2},
		"certificate, all new":       {pin(before, after), [2]proof{newer, newer}, Fingerprint(CertificateIdentity(after.Certificate[0])), 2},
		"secret, lane 0 moved first": {secrets(1, 0), [2]proof{secretProof(1), secretProof(0)}, "secret 0", 2},
		"secret, lane 1 moved first": {secrets(1, 0), [2]proof{secretProof(0), secretProof(1)}, "secret 0", 2},
		"secret, all new":            {secrets(1, 0), [2]proof{secretProof(1), secretProof(1)}, "secret 1", 1},
	} {
		for kind, swap := range map[string]bool{"lane 0 is older": false, "lane 1 is older": true} {
			l, s := stillLink(t)
			creds, err := newCredentials(c.trust, tunnel.Identity{1}, ownCert(t, "own"))
			if err != nil {
				t.Fatal(err)
			}
			l.creds.Store(&creds)
			for i, p := range c.lanes {
				n := i
				if swap {
					n = 1 - i
				}
				s.lanes[n].wire = newWire(nil)
				s.lanes[n].wire.proof, s.lanes[n].began = p, time.Unix(int64(i), 0)
			}
			if key, place := l.keyInUse(s); key != c.key || place != c.place {
				t.Errorf("%s, %s: %s at place %d, want %s at %d", name, kind, key, place, c.key, c.place)
			}
			s.draining = append(s.draining, s.lanes[1])
			s.lanes[1] = nil
			if key, place := l.keyInUse(s); key != c.key || place != c.place {
				t.Errorf("%s, %s, lane 1 is drained: %s at place %d, want %s at %d", name, kind, key, place, c.key, c.place)
			}
		}
	}
}

// Another CA is added, routers get certificates of it, the first one is removed.
func TestCARotation(t *testing.T) {
	first, second := newAuthority(t), newAuthority(t)
	both, then := x509.NewCertPool(), x509.NewCertPool()
	both.AddCert(first.cert)
	both.AddCert(second.cert)
	then.AddCert(second.cert)
	certA, certB := first.issue(t, &x509.Certificate{DNSNames: []string{"a"}}), first.issue(t, &x509.Certificate{DNSNames: []string{"b"}})
	a, b := newEnd(t, Config{Certificate: certA}, "a"), newEnd(t, Config{Certificate: certB}, "b")
	for _, e := range []*end{a, b} {
		e.endpoint.renewal.age = 20 * time.Second
	}
	b.start(Trust{CA: first.pool, PeerName: "a"})
	a.start(Trust{CA: first.pool, PeerName: "b"}, b.addr())
	rotates(t, a, b, func() {
		a.setTrust(Trust{CA: both, PeerName: "b"})
		b.setTrust(Trust{CA: both, PeerName: "a"})
		name := func(c *tls.Certificate) string { return Fingerprint(CertificateIdentity(c.Certificate[0])) }
		newA, newB := second.issue(t, &x509.Certificate{DNSNames: []string{"a"}}), second.issue(t, &x509.Certificate{DNSNames: []string{"b"}})
		a.endpoint.SetCertificate(newA)
		b.endpoint.SetCertificate(newB)
		a.waitKey(name(newB), 1)
		b.waitKey(name(newA), 1)
		// Another way to know the peer by the same certificate is no other session.
		a.setTrust(pin(certB, newB))
		b.setTrust(pin(certA, newA))
		a.waitKey(name(newB), 2)
		b.waitKey(name(newA), 2)
		a.setTrust(Trust{CA: then, PeerName: "b"})
		b.setTrust(Trust{CA: then, PeerName: "a"})
		a.waitKey(name(newB), 1)
		b.waitKey(name(newA), 1)
	})
}

// The key that a session was made with is taken away, at either end: the session ends at
// once, and its end says why.
func TestRemovedKeyEndsTheSession(t *testing.T) {
	certA, certB := ownCert(t, "a"), ownCert(t, "b")
	for name, c := range map[string]struct {
		a, b         Config
		aTrust, then Trust // of a's peer
		bTrust       Trust
	}{
		"secret":      {Config{Identity: [32]byte{1}}, Config{Identity: [32]byte{2}}, secrets(0, 1), secrets(1), secrets(0)},
		"fingerprint": {Config{Certificate: certA}, Config{Certificate: certB}, pin(certB), pin(certA), pin(certA)},
		"CA": {Config{Certificate: certA}, Config{Certificate: certB}, pin(certB),
			Trust{CA: newAuthority(t).pool, PeerName: "b"}, pin(certA)},
	} {
		for _, dials := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				a, b := newEnd(t, c.a, "a"), newEnd(t, c.b, "b")
				if dials {
					b.start(c.bTrust)
					a.start(c.aTrust, b.addr())
				} else {
					a.start(c.aTrust)
					b.start(c.bTrust, a.addr())
				}
				a.waitEvents(1)
				b.waitEvents(1)
				a.setTrust(c.then)
				if ev := a.waitEvents(2)[1]; ev.Up || !strings.Contains(ev.Reason, "was removed") {
					t.Errorf("%+v", ev)
				}
				if ev := b.waitEvents(2)[1]; ev.Up || !strings.Contains(ev.Reason, "was removed") {
					t.Errorf("the peer is told %+v", ev)
				}
			})
		}
	}
}

// An end that offers a secret which the other does not have yet comes in with the next one,
// whether it dials or listens; and uses the first as soon as it can.
func TestLaterSecretsAreTried(t *testing.T) {
	a, b := secretPair(t)
	b.start(secrets(0))
	a.start(secrets(2, 1, 0), b.addr())
	a.waitEvents(1)
	a.waitKey("secret 0", 3)
	b.waitKey("secret 0", 1)
	b.waitEvents(1)
	exchangePackets(t, a, b)
	b.setTrust(secrets(0, 2))
	a.setTrust(secrets(2, 1, 0, 3)) // a change has it tried again
	a.waitKey("secret 2", 1)
	b.waitKey("secret 2", 2)
	if len(a.seen()) != 1 || len(b.seen()) != 1 {
		t.Errorf("events %+v and %+v", a.seen(), b.seen())
	}
}

// A peer that comes in is not among those that were refused any more.
func TestPeerThatComesInWasNotRefused(t *testing.T) {
	a, b := secretPair(t)
	b.start(secrets(0))
	a.start(secrets(2), b.addr())
	refused := func() int { return len(b.endpoint.Refusals(time.Time{})) }
	poll(t, func() bool { return refused() == 1 }, func() string { return "nobody is refused" })
	a.halt(nil)
	poll(t, func() bool { return b.endpoint.gate.size() == 0 }, func() string { return "the last one is not refused yet" })
	a.start(secrets(0), b.addr())
	a.waitEvents(1)
	b.waitEvents(1)
	if refused() != 0 {
		t.Errorf("it is still among those refused: %+v", b.endpoint.Refusals(time.Time{}))
	}
}

// What is in a secret's file is replaced, at one end first: the session stays, and is told to
// use the old one. With the other end's, its connection is replaced.
func TestSecretReplacedInPlace(t *testing.T) {
	a, b := secretPair(t)
	trust := func(key byte) Trust {
		s := secrets(key)
		s.Secrets[0].Name = "a-b.secret"
		return s
	}
	b.start(trust(0))
	a.start(trust(0), b.addr())
	a.waitEvents(1)
	b.waitEvents(1)
	b.setTrust(trust(1))
	b.waitKey("a-b.secret", 0)
	exchangePackets(t, a, b)
	a.setTrust(trust(1))
	a.waitKey("a-b.secret", 1)
	b.waitKey("a-b.secret", 1)
	if len(a.seen()) != 1 || len(b.seen()) != 1 {
		t.Errorf("events %+v and %+v", a.seen(), b.seen())
	}
}

// A session with a secret that was replaced at one end only does not stay for ever, whatever
// the peer does.
func TestReplacedSecretIsNotUsedForEver(t *testing.T) {
	a, b := secretPair(t)
	trust := func(key byte) Trust {
		s := secrets(key)
		s.Secrets[0].Name = "a-b.secret"
		return s
	}
	b.endpoint.renewal.age = 2 * time.Second
	b.start(trust(0))
	a.start(trust(0), b.addr())
	a.waitEvents(1)
	b.waitEvents(1)
	b.setTrust(trust(1))
	if ev := b.waitEvents(2)[1]; ev.Up || ev.Reason != errSecretReplaced.Error() {
		t.Errorf("%+v", ev)
	}
	a.waitError("does not have this shared secret")
}

// A change that cannot be had leaves all as it was: one key is one peer's.
func TestKeyOfAnotherLink(t *testing.T) {
	e := NewEndpoint(Config{Identity: [32]byte{1}})
	var links []*Link
	for i := range byte(2) {
		l, err := e.AddLink(LinkConfig{Name: "p", Trust: secrets(i), Keepalive: time.Second, DeadAfter: 3 * time.Second, Device: newFakeDevice("p", 1)})
		if err != nil {
			t.Fatal(err)
		}
		links = append(links, l)
	}
	for want, trust := range map[string]Trust{
		"also that of p":            secrets(1, 0),
		"router has no certificate": {Fingerprints: [][32]byte{{1}}},
		"0 ways":                    {},
	} {
		if err := links[1].SetTrust(trust); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	if c := links[1].credentials(); len(c) != 1 || c[0].name != "secret 1" {
		t.Errorf("%d credentials", len(c))
	}
}
