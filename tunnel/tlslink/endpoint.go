package tlslink

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"warren/tunnel/internal/report"
)

// Endpoint is a router's end of all its TLS tunnels: it listens for all of them.
// Its methods may be called at any time and from any goroutine.
type Endpoint struct {
	cfg      Config
	log      *slog.Logger
	fallback tls.Certificate // presented to strangers
	instance [16]byte
	renewal  renewal
	able     byte // flags of hellos
	gate     *gate
	pending  pending
	best     best

	tryCongestion func(name string) error // tryCongestion, but for tests
	partTimeout   time.Duration           // likewise

	complaints *complaints
	refusals   report.Refusals

	mu        sync.Mutex
	own       *tls.Certificate // of this router; nil: none
	shown     string           // the server name
	links     []*Link
	admission *Admission // nil: none
	listeners map[netip.AddrPort]net.Listener
	bound     map[boundTo]bound             // listeners of underlays, while Run runs
	unbound   map[boundTo]string            // why there is none, as it was logged
	serving   context.Context               // of Run; nil before and after
	handed    map[netip.AddrPort]int        // listeners of the program before that nobody has asked for yet
	halted    atomic.Pointer[chan struct{}] // nothing is accepted until it is closed; nil: it is
	serves    sync.WaitGroup
}

// NewEndpoint returns an endpoint that does not listen yet.
func NewEndpoint(c Config) *Endpoint {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	e := &Endpoint{
		cfg: c, log: c.Logger, own: c.Certificate,
		gate: newGate(),

		tryCongestion: tryCongestion, partTimeout: partTimeout,

		renewal:   defaultRenewal,
		able:      flagWidens | flagRenews | flagHolds | flagLearns | flagTakesLost,
		listeners: make(map[netip.AddrPort]net.Listener),
		bound:     make(map[boundTo]bound),
		unbound:   make(map[boundTo]string),
	}
	e.complaints = newComplaints(e.log, &e.gate.known)
	rand.Read(e.instance[:])
	if c.Resume != nil { // it is the same router, to which tunnels that are up go on
		e.instance, e.handed = c.Resume.Instance, maps.Clone(c.Resume.Listeners)
	}
	return e
}

// Run serves the addresses of SetListen until ctx is done, then closes them.
// Links run on their own.
func (e *Endpoint) Run(ctx context.Context) error {
	e.mu.Lock()
	if e.serving != nil {
		e.mu.Unlock()
		return errors.New("tlslink: endpoint runs already")
	}
	e.serving = ctx
	for _, l := range e.listeners {
		e.serve(ctx, l)
	}
	e.rebindLocked()
	e.mu.Unlock()

	e.followUnderlays(ctx)
	e.mu.Lock()
	e.serving = nil
	for at, l := range e.bound {
		l.Close()
		delete(e.bound, at)
	}
	for addr, l := range e.listeners {
		l.Close()
		delete(e.listeners, addr)
	}
	e.mu.Unlock()
	e.serves.Wait()
	return nil
}

// ListenError says which address cannot be listened on. It wraps the error of the system call, or [ErrNoIPv6].
type ListenError struct {
	Addr netip.AddrPort
	Err  error
}

// Error implements error.
func (e *ListenError) Error() string { return fmt.Sprintf("tlslink: listen on %s: %v", e.Addr, e.Err) }

// Unwrap gives the cause.
func (e *ListenError) Unwrap() error { return e.Err }

// SetListen makes the endpoint listen on exactly these addresses. Those that it
// has already stay open. It returns a [ListenError] for each that cannot be had, joined; the
// others are served all the same.
func (e *Endpoint) SetListen(addrs []netip.AddrPort) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	want := make(map[netip.AddrPort]bool, len(addrs))
	for _, a := range addrs {
		want[a] = true
	}
	for addr, l := range e.listeners {
		if !want[addr] {
			l.Close()
			delete(e.listeners, addr)
		}
	}
	var errs []error
	for _, addr := range addrs { // in their order, so that the same trouble has the same words
		if e.listeners[addr] != nil {
			continue
		}
		l, err := e.inherited(addr)
		if err != nil {
			e.log.Warn("a listening socket cannot be taken over and is made again", "err", err)
		}
		if l == nil {
			l, err = e.listen(addr, "")
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		e.listeners[addr] = l
		if e.serving != nil {
			e.serve(e.serving, l)
		}
	}
	e.dropInherited()
	e.rebindLocked()
	return errors.Join(errs...)
}

// listen binds one address, on an underlay or on none. 0.0.0.0 is IPv4 only and [::] IPv6 only, so that both
// can be named.
func (e *Endpoint) listen(addr netip.AddrPort, underlay string) (net.Listener, error) {
	network := "tcp6"
	if addr.Addr().Unmap().Is4() {
		network = "tcp4"
	}
	lc := net.ListenConfig{Control: e.control(underlay), KeepAlive: -1}
	lc.SetMultipathTCP(false)
	l, err := lc.Listen(context.Background(), network, addr.String())
	if errors.Is(err, unix.EAFNOSUPPORT) {
		err = ErrNoIPv6
	}
	if err != nil {
		return nil, &ListenError{addr, err}
	}
	raw, err := l.(*net.TCPListener).SyscallConn()
	if err == nil {
		err = sharePort(raw)
	}
	if err != nil {
		l.Close()
		return nil, &ListenError{addr, err}
	}
	return l, nil
}

// SetServerName sets the name that the underlay sees in the TLS handshakes of connections
// that are dialed from now on: a DNS name. With "", which is the default, it is one that
// changes with the day towards peers with a shared secret, and none towards others.
func (e *Endpoint) SetServerName(name string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.shown = name
}

func (e *Endpoint) serverName() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.shown
}

// Listening returns the addresses that are open, with the port the kernel chose
// where 0 was asked for.
func (e *Endpoint) Listening() []netip.AddrPort {
	e.mu.Lock()
	defer e.mu.Unlock()
	var addrs []netip.AddrPort
	for _, l := range e.listeners {
		addrs = append(addrs, addrPort(l.Addr()))
	}
	return addrs
}

// AddLink makes the endpoint know a tunnel; [Link.Run] works it, and takes it away
// when it returns. A link that was added must be run.
func (e *Endpoint) AddLink(c LinkConfig) (*Link, error) {
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("tlslink: %s: %w", c.Name, err)
	}
	creds, err := newCredentials(c.Trust, e.cfg.Identity, e.certificate())
	if err != nil {
		return nil, fmt.Errorf("tlslink: %s: %w", c.Name, err)
	}
	l := newLink(e, c, creds)
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.checkLinkLocked(l, creds); err != nil {
		return nil, err
	}
	e.links = append(e.links, l)
	e.rebindLocked()
	if c.Resume != nil {
		l.takeUp(c.Resume)
	}
	return l, nil
}

// checkLinkLocked makes sure that a link with these credentials would be told from others.
func (e *Endpoint) checkLinkLocked(l *Link, creds []*credential) error {
	ids := make(map[string]bool)
	for _, c := range creds {
		for _, id := range c.ids() {
			ids[id] = true
		}
	}
	for _, other := range e.links {
		if other == l || other.cfg.Link != l.cfg.Link {
			continue
		}
		for _, c := range other.credentials() {
			for _, id := range c.ids() {
				if ids[id] {
					return fmt.Errorf("tlslink: %s: link %d to this peer is also that of %s: give each its own number", l.cfg.Name, l.cfg.Link, other.cfg.Name)
				}
			}
		}
	}
	return nil
}

func (e *Endpoint) removeLink(l *Link) {
	e.gate.known.forget(&l.whereabouts)
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, other := range e.links {
		if other == l {
			e.links = append(e.links[:i:i], e.links[i+1:]...)
			e.rebindLocked()
			return
		}
	}
}

// secretLinks returns the links whose secret has this server name.
func (e *Endpoint) secretLinks(serverName string) []*Link {
	e.mu.Lock()
	defer e.mu.Unlock()
	var found []*Link
	for _, l := range e.links {
		if l.secret(serverName) != nil {
			found = append(found, l)
		}
	}
	return found
}

// certifiedLinks returns the links whose peer has this certificate, and the credential of
// the first, or why no link's peer has.
func (e *Endpoint) certifiedLinks(chain []*x509.Certificate) (found []*Link, first *credential, why error) {
	if len(chain) == 0 {
		return nil, nil, errors.New("no certificate")
	}
	e.mu.Lock()
	links := append([]*Link(nil), e.links...)
	e.mu.Unlock()
	// Strangers have this done: once, whatever the number of links.
	identity := CertificateIdentity(chain[0].Raw)
	add := func(l *Link, cred *credential) {
		if found = append(found, l); first == nil {
			first = cred
		}
	}
	for _, l := range links {
		cred := l.credentials()[0]
		switch trust := &cred.trust; {
		case cred.keys != nil:
		case trust.CA == nil:
			if slices.Contains(trust.Fingerprints, identity) {
				add(l, cred)
			}
		case checkName(chain[0], trust.PeerName) == nil: // the peer it says it is
			if err := cred.verify(chain, true); err != nil {
				why = fmt.Errorf("%s: %w", l.cfg.Name, err)
			} else {
				add(l, cred)
			}
		}
	}
	if found == nil && why == nil {
		why = fmt.Errorf("no peer here has the fingerprint %s", Fingerprint(identity))
	}
	if found != nil {
		why = nil
	}
	return found, first, why
}

func addrPort(a net.Addr) netip.AddrPort {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := t.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
