package tlslink

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"warren/tunnel"
	"warren/tunnel/internal/remote"
)

const patience = 40 * time.Second // of tests, for what should take milliseconds

// shortLife is the dead_after of a test in which a session ends by silence. A busy machine may keep a process from its work for a second.
const shortLife = 3 * time.Second

// end is one router of a test, with one link.
type end struct {
	t        *testing.T
	endpoint *Endpoint
	dev      *fakeDevice
	link     *Link
	cfg      LinkConfig
	resolver remote.Resolver // nil: as usual
	homeward *homeward       // nil: as usual
	prepare  func(*fakeDevice)
	stop     context.CancelCauseFunc
	stopped  chan error

	mu     sync.Mutex
	events []tunnel.Event
	notify chan struct{}
}

// newEnd makes an endpoint that listens on loopback; start adds the link.
func newEnd(t *testing.T, c Config, name string) *end {
	t.Helper()
	e := &end{
		t: t, endpoint: NewEndpoint(c), notify: make(chan struct{}, 1), stopped: make(chan error, 1),
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- e.endpoint.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	poll(t, func() bool {
		e.endpoint.mu.Lock()
		defer e.endpoint.mu.Unlock()
		return e.endpoint.serving != nil
	}, func() string { return "the endpoint does not run" })
	if err := e.endpoint.SetListen([]netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}); err != nil {
		t.Fatal(err)
	}
	// A busy machine does not end a session.
	e.cfg = LinkConfig{Name: name, Keepalive: 100 * time.Millisecond, DeadAfter: MaxDeadAfter}
	return e
}

func (e *end) addr() string { return e.endpoint.Listening()[0].String() }

// start runs the link; a second start is a restart with a new device.
func (e *end) start(trust Trust, remotes ...string) {
	e.t.Helper()
	e.dev = newFakeDevice(e.cfg.Name+"0", 2)
	if e.prepare != nil {
		e.prepare(e.dev)
	}
	e.cfg.Trust, e.cfg.Remotes, e.cfg.Device = trust, remotes, e.dev
	e.cfg.Events = func(ev tunnel.Event) {
		e.mu.Lock()
		e.events = append(e.events, ev)
		e.mu.Unlock()
		select {
		case e.notify <- struct{}{}:
		default:
		}
	}
	l, err := e.endpoint.AddLink(e.cfg)
	if err != nil {
		e.t.Fatal(err)
	}
	if e.resolver != nil {
		l.resolve = e.resolver
	}
	if e.homeward != nil {
		l.back = *e.homeward
	}
	ctx, stop := context.WithCancelCause(context.Background())
	stopped := make(chan error, 1)
	e.link, e.stop, e.stopped = l, stop, stopped
	go func() { stopped <- l.Run(ctx) }()
	e.t.Cleanup(func() {
		stop(nil)
		<-l.done
	})
}

func (e *end) halt(cause error) {
	e.t.Helper()
	e.stop(cause)
	if err := <-e.stopped; err != nil {
		e.t.Fatal(err)
	}
}

func (e *end) seen() []tunnel.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]tunnel.Event(nil), e.events...)
}

// waitEvents returns the events once there are n.
func (e *end) waitEvents(n int) []tunnel.Event {
	e.t.Helper()
	deadline := time.After(patience)
	for {
		if evs := e.seen(); len(evs) >= n {
			return evs
		}
		select {
		case <-e.notify:
		case <-deadline:
			e.t.Fatalf("%s: %d events, want %d; status %+v", e.cfg.Name, len(e.seen()), n, e.link.Status())
		}
	}
}

// waitError returns the link's last error once it contains a text.
func (e *end) waitError(text string) {
	e.t.Helper()
	poll(e.t, func() bool { return strings.Contains(e.link.Status().LastError, text) },
		func() string { return "last error " + e.link.Status().LastError + "; want: " + text })
}

// waitWritten returns the frames written to the device once there are n.
func (e *end) waitWritten(n int) [][]byte {
	e.t.Helper()
	deadline := time.After(patience)
	for {
		written, _, changed := e.dev.snapshot()
		if len(written) >= n {
			return written
		}
		select {
		case <-changed:
		case <-deadline:
			e.t.Fatalf("%s: %d packets arrived, want %d", e.cfg.Name, len(written), n)
		}
	}
}

// poll waits until ok, and fails with what explain says.
func poll(t *testing.T, ok func() bool, explain func() string) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatal(explain())
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func secretTrust(b byte) Trust {
	s := make([]byte, SecretLen)
	for i := range s {
		s[i] = byte(i) ^ b
	}
	return Trust{Secrets: []Secret{{Name: fmt.Sprint("secret ", b), Key: s}}}
}

// authority signs certificates for tests.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	key, cert := makeCert(t, &x509.Certificate{Subject: pkix.Name{CommonName: "CA"}, IsCA: true, BasicConstraintsValid: true}, nil)
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &authority{key, cert, pool}
}

func (a *authority) issue(t *testing.T, template *x509.Certificate) *tls.Certificate {
	key, cert := makeCert(t, template, a)
	return &tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}
}

func ownCert(t *testing.T, name string) *tls.Certificate {
	key, cert := makeCert(t, &x509.Certificate{Subject: pkix.Name{CommonName: name}}, nil)
	return &tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}
}

func makeCert(t *testing.T, template *x509.Certificate, by *authority) (*ecdsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(7)
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	}
	parent, signer := template, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return key, cert
}

// pin trusts the peer that has any of some certificates.
func pin(certs ...*tls.Certificate) (t Trust) {
	for _, c := range certs {
		t.Fingerprints = append(t.Fingerprints, CertificateIdentity(c.Certificate[0]))
	}
	return t
}
