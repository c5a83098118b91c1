package tlslink

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"
)

// handshakeTimeout bounds a connection's way from TCP to the answered hello.
const handshakeTimeout = 5 * time.Second

// serve accepts connections of one listener until it is closed.
func (e *Endpoint) serve(ctx context.Context, l net.Listener) {
	e.serves.Go(func() {
		for {
			conn, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil { // out of descriptors, or the like: others need time to give some back
				e.log.Error("cannot accept connections", "address", l.Addr().String(), "err", err)
				select {
				case <-time.After(100 * time.Millisecond):
					continue
				case <-ctx.Done():
					return
				}
			}
			leave, ok := e.gate.enter(conn)
			if !ok {
				conn.Close()
				e.complain(conn, errors.New("too many unfinished handshakes from this source"))
				continue
			}
			e.serves.Go(func() { e.welcome(ctx, conn, leave) })
		}
	})
}

// welcome finds out who is there and hands the connection to the link's goroutine,
// which answers the hello.
func (e *Endpoint) welcome(ctx context.Context, conn net.Conn, leave func()) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	conn.SetDeadline(time.Now().Add(handshakeTimeout))
	w := newWire(conn)
	tc := tls.Server(w, e.acceptConfig())
	err := tc.HandshakeContext(ctx)
	leave()
	if err != nil {
		conn.Close()
		if ctx.Err() == nil || errors.Is(ctx.Err(), context.DeadlineExceeded) {
			e.complain(conn, explainAccept(err))
		}
		return
	}
	in, err := e.identify(tc, w)
	if err != nil {
		e.complain(conn, err)
		in.reject(err.Error())
		return
	}
	select {
	case in.link.incoming <- in:
	case <-in.link.done:
		in.reject("this tunnel is being stopped")
	case <-ctx.Done():
		in.reject("this tunnel is not running yet")
	}
}

// identify reads the hello and finds the link that it is for.
func (e *Endpoint) identify(tc *tls.Conn, w *wire) (*incoming, error) {
	in := &incoming{conn: tc, wire: w}
	state := tc.ConnectionState()
	var links []*Link
	if isSecretName(state.ServerName) {
		links = e.secretLinks(state.ServerName)
	} else {
		var err error
		if links, err = e.certifiedLinks(state.PeerCertificates); err != nil {
			return in, err // its link was removed just now
		}
	}
	typ, payload, err := readSmall(tc)
	if err != nil {
		return in, fmt.Errorf("hello: %w", explainAccept(err))
	}
	if typ != frameHello {
		return in, protocolError(fmt.Sprintf("frame of type %d instead of the hello", typ))
	}
	if in.hello, err = parseHello(payload); err != nil {
		return in, err
	}
	for _, l := range links {
		if l.cfg.Link != in.hello.link {
			continue
		}
		if err := l.checkIdentity(state.PeerCertificates, &in.hello); err != nil {
			return in, err
		}
		in.link = l
		return in, nil
	}
	return in, fmt.Errorf("no tunnel here has this peer and link number %d", in.hello.link)
}

// acceptConfig decides about a connection before anything is presented to it.
func (e *Endpoint) acceptConfig() *tls.Config {
	cfg := baseConfig()
	cfg.GetConfigForClient = func(hi *tls.ClientHelloInfo) (*tls.Config, error) {
		cfg := baseConfig()
		cfg.ClientAuth = tls.RequireAnyClientCert
		if isSecretName(hi.ServerName) {
			if links := e.secretLinks(hi.ServerName); len(links) > 0 {
				cred := links[0].cred
				cfg.Certificates = []tls.Certificate{cred.keys.listener}
				cfg.VerifyConnection = func(s tls.ConnectionState) error {
					if s.NegotiatedProtocol != ALPN {
						return errors.New("it does not speak " + ALPN)
					}
					return cred.verify(s.PeerCertificates, true)
				}
				return cfg, nil
			}
		}
		cert, err := e.ownCertificate()
		if err != nil {
			return nil, err
		}
		cfg.Certificates = []tls.Certificate{*cert}
		cfg.VerifyConnection = func(s tls.ConnectionState) error {
			if s.NegotiatedProtocol != ALPN {
				return errors.New("it does not speak " + ALPN)
			}
			if isSecretName(s.ServerName) {
				return errors.New("no peer here has its shared secret")
			}
			_, err := e.certifiedLinks(s.PeerCertificates)
			return err
		}
		return cfg, nil
	}
	return cfg
}

// ownCertificate is the router's, or one that nobody trusts.
func (e *Endpoint) ownCertificate() (*tls.Certificate, error) {
	if e.cfg.Certificate != nil {
		return e.cfg.Certificate, nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.fallback.Leaf == nil {
		cert, err := throwaway()
		if err != nil {
			return nil, err
		}
		e.fallback = cert
	}
	return &e.fallback, nil
}

// complain logs that a connection was refused, now and then.
func (e *Endpoint) complain(conn net.Conn, err error) {
	remote := addrPort(conn.RemoteAddr())
	if e.gate.mayLog(remote.Addr()) {
		e.log.Warn("refused a connection", "remote", remote.String(), "err", err)
	}
}

// incoming is a connection whose peer is known and has said hello.
type incoming struct {
	link  *Link
	conn  *tls.Conn
	wire  *wire
	hello hello
}

// reject says why and closes. It takes a moment: a close with unread input would
// take back the words.
func (in *incoming) reject(reason string) {
	in.wire.SetDeadline(time.Now().Add(time.Second))
	if _, err := in.conn.Write(encode(frameReject, []byte(reason[:min(len(reason), maxText)]))); err == nil {
		in.conn.CloseWrite()
		_, _ = in.conn.Read(make([]byte, 1)) // ends when the peer has hung up
	}
	in.wire.Close()
}
