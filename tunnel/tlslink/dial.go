package tlslink

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"syscall"
	"time"

	"warren/tunnel"
	"warren/tunnel/internal/remote"
)

// Bounds on dialing.
const (
	minBackoff = 200 * time.Millisecond
	maxBackoff = 10 * time.Second
	lasting    = 5 * time.Second // a session of this length was no failure
)

// backoff spaces out dials. It belongs to the goroutine of Run.
type backoff struct {
	pause  time.Duration
	due    bool // a dial is to be planned
	urgent bool // without a pause
}

// next returns the pause before the next dial, between half and all of a bound
// that doubles each time.
func (b *backoff) next() time.Duration {
	b.due = false
	if b.urgent {
		b.urgent = false
		return 0
	}
	b.pause = min(max(2*b.pause, minBackoff), maxBackoff)
	return b.pause/2 + rand.N(b.pause/2)
}

// sessionEnded plans a dial after a session, at once if it had lasted.
func (b *backoff) sessionEnded(lasted time.Duration) {
	if lasted >= lasting {
		b.pause = 0
	}
	b.due = true
}

// dial is one round through all addresses of all remotes, in a goroutine of its
// own, which ends soon after cancel.
type dial struct {
	cancel context.CancelFunc
	ways   *ways
	book   remote.Book   // of the link, as of the beginning
	first  *remote.Group // is tried before all others; nil: none
}

type dialResult struct {
	dial *dial
	conn *tls.Conn
	wire *wire
	peer hello
	err  error

	remote int                      // which of the remotes is connected
	addrs  map[int][]netip.AddrPort // of which of them, that were tried
	failed []netip.AddrPort         // in vain
}

// greetRequest asks Run's goroutine whether a dial may say hello, or tells it that
// the hello failed.
type greetRequest struct {
	dial   *dial
	local  tunnel.Identity // of this end, on the connection that the hello goes out on
	failed bool
	reply  chan<- *hello // nil: no
}

// startDial begins a round, if there is nothing better.
func (l *Link) startDial(ctx context.Context) {
	if len(l.cfg.Remotes) == 0 || l.dial != nil || l.leaving != nil || !l.arb.start() {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	l.ways.end()
	l.ways = &ways{}
	d := &dial{cancel: cancel, ways: l.ways, book: l.book.Clone(), first: cmp.Or(l.paused.at(l.cfg.Remotes), l.together())}
	l.dial = d
	go func() {
		r := l.dialRound(ctx, d)
		select {
		case l.dialed <- r:
			return
		case <-ctx.Done():
		case <-l.done:
		}
		if r.conn != nil {
			r.wire.Close()
		}
	}()
}

// endDial gives the dial up: what it still has to say is not heard.
func (l *Link) endDial() {
	if l.dial != nil {
		l.dial.cancel()
		l.dial = nil
		l.arb.dialEnded()
		l.backoff.due = true
	}
}

func (l *Link) greet(g greetRequest) {
	if g.dial != l.dial {
		g.reply <- nil
		return
	}
	if g.failed {
		g.reply <- nil
		l.arb.unanswered()
		l.decideHeld()
		return
	}
	if !l.arb.greet() {
		g.reply <- nil
		return
	}
	l.arb.local = g.local
	h := l.hello(newSessionID(), 0)
	g.reply <- &h
}

// dialDone takes the result of a round.
func (l *Link) dialDone(r dialResult) {
	if r.dial != l.dial {
		if r.conn != nil {
			r.wire.Close()
		}
		return
	}
	l.dial.cancel()
	l.dial = nil
	l.tried(&r)
	if r.err == nil && !l.accepts(&r.wire.proof) {
		r.wire.Close()
		r.err = errKeyRemoved
	}
	if r.err != nil {
		l.arb.dialEnded()
		l.backoff.due = true
		l.fail(r.err)
		l.decideHeld()
		return
	}
	l.letGo(errors.New("another connection came up"))
	l.e.refusals.Forget(r.wire.remote().Addr()) // as when the peer is let in
	s := newSession(l, r.conn, r.wire, r.peer, true)
	s.which = r.remote
	l.begin(s)
}

// connect brings up TLS to one address, with the first of several secrets that the peer
// knows. Somebody on the path can have the later ones tried; that gains nothing, as this end
// takes connections with any of them.
func (l *Link) connect(ctx context.Context, addr netip.AddrPort) (conn *tls.Conn, w *wire, err error) {
	creds := l.credentials()
	for i, cred := range creds {
		conn, w, err = l.connectWith(ctx, addr, cred)
		if !errors.Is(err, errOtherSecret) {
			if err == nil {
				w.proof.offered = creds[0]
			}
			return conn, w, err
		}
		if i+1 < len(creds) {
			l.log.Debug("the peer does not have the secret that is offered, trying the next", "secret", cred.name, "remote", addr)
		}
	}
	if isInvited(creds, tunnel.Joined) {
		err = errInvitationUsed
	}
	return conn, w, err
}

// connectWith brings up TLS with one credential, in the old form if the peer's version is one
// of the first.
func (l *Link) connectWith(ctx context.Context, addr netip.AddrPort, cred *credential) (*tls.Conn, *wire, error) {
	conn, w, err := l.connectAs(ctx, addr, cred, false)
	switch {
	case err == nil:
		l.form.isNew()
	case errors.Is(err, errOtherProtocol) && l.form.mayBeOld(time.Now()):
		if conn, w, err = l.connectAs(ctx, addr, cred, true); err == nil {
			l.form.isOld()
		}
	}
	return conn, w, err
}

func (l *Link) connectAs(ctx context.Context, addr netip.AddrPort, cred *credential, old bool) (*tls.Conn, *wire, error) {
	own, err := l.e.ownCertificate()
	if err != nil {
		return nil, nil, err
	}
	host := addr.Addr().Unmap()
	size := l.segments.next(l.e.cfg.Now(), host)
	nd := net.Dialer{Timeout: l.far.connectTimeout(l.cfg.ConnectTimeout), KeepAlive: -1, Control: func(network, address string, c syscall.RawConn) error {
		if err := l.control(network, address, c); err != nil {
			return err
		}
		return clampSegments(c, size)
	}}
	nd.SetMultipathTCP(false)
	conn, err := nd.DialContext(ctx, "tcp", addr.String())
	l.far.connected(err)
	if err != nil {
		return nil, nil, explainConnect(err)
	}
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	w := newWire(conn)
	w.clamp = size
	w.proof = proof{cred: cred, local: l.e.identityWith(cred, own), own: own, at: time.Now()}
	tc := tls.Client(w, cred.dialConfig(l.e.serverName(), own, old))
	began := time.Now()
	err = tc.HandshakeContext(ctx)
	took := time.Since(began)
	l.handshook(host, size, took, err)
	if err != nil {
		conn.Close()
		if gotNoAnswer(err, took) {
			return nil, nil, errNoAnswer
		}
		return nil, nil, explainDial(err, &w.proof)
	}
	w.proof.chain = tc.ConnectionState().PeerCertificates
	return tc, w, nil
}

// control prepares a socket as the router and then the link want it.
func (l *Link) control(network, address string, c syscall.RawConn) error {
	for _, f := range []Control{l.e.cfg.Control, l.cfg.Control} {
		if f == nil {
			continue
		}
		if err := f(network, address, c); err != nil {
			return err
		}
	}
	return nil
}

// introduce exchanges hellos on a connection that was dialed, if Run's goroutine
// still wants it. It closes the connection on failure.
func (l *Link) introduce(ctx context.Context, d *dial, conn *tls.Conn, w *wire, most time.Duration) (peer hello, err error) {
	defer func() {
		if err != nil {
			w.Close()
		}
	}()
	mine := l.ask(ctx, greetRequest{dial: d, local: w.proof.local})
	if mine == nil {
		return hello{}, errors.New("no longer needed")
	}
	peer, err = l.exchange(ctx, conn, w, mine, most)
	if err != nil {
		l.ask(ctx, greetRequest{dial: d, failed: true})
	}
	return peer, err
}

func (l *Link) ask(ctx context.Context, g greetRequest) *hello {
	reply := make(chan *hello, 1)
	g.reply = reply
	select {
	case l.greets <- g:
		return <-reply
	case <-ctx.Done():
	case <-l.done:
	}
	return nil
}

// exchange says hello and reads the answer, which may take so long.
func (l *Link) exchange(ctx context.Context, conn *tls.Conn, w *wire, mine *hello, most time.Duration) (hello, error) {
	mine.identity = w.proof.local
	w.SetDeadline(time.Now().Add(most))
	stop := context.AfterFunc(ctx, func() { w.Close() })
	defer stop()
	if _, err := conn.Write(encode(frameHello, mine.marshal())); err != nil {
		return hello{}, explainDial(err, &w.proof)
	}
	typ, payload, err := readSmall(conn)
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("the peer hung up without an answer to the hello")
		}
		return hello{}, explainDial(err, &w.proof)
	}
	switch typ {
	case frameReject:
		return hello{}, &refusal{clean(payload)}
	case frameHello:
	default:
		return hello{}, protocolError(fmt.Sprintf("frame of type %d instead of the hello", typ))
	}
	peer, err := parseHello(payload)
	if err != nil {
		return hello{}, err
	}
	if peer.link != mine.link || peer.session != mine.session || peer.lane != mine.lane {
		return hello{}, protocolError("the answer to the hello is for another link, session or lane")
	}
	if err := checkIdentity(&w.proof, &peer); err != nil {
		return hello{}, err
	}
	return peer, nil
}

// refusal is what a peer says that does not take a connection.
type refusal struct{ text string }

func (e *refusal) Error() string { return "the peer refused: " + e.text }
