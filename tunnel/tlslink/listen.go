package tlslink

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"warren/tunnel"
)

// handshakeTimeout bounds a connection's way from TCP to the answered hello.
const handshakeTimeout = 5 * time.Second

// serve accepts connections of one listener until it is closed.
func (e *Endpoint) serve(ctx context.Context, l net.Listener) {
	e.serves.Go(func() {
		var told time.Time
		for {
			conn, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if halted := e.halted.Load(); err != nil && halted != nil {
				select {
				case <-*halted:
					continue
				case <-ctx.Done():
					return
				}
			}
			if err != nil { // out of descriptors, or the like: others need time to give some back
				if time.Since(told) >= logInterval {
					told = time.Now()
					e.log.Error("cannot accept connections", "address", l.Addr().String(), "err", err)
				}
				e.gate.makeRoom()
				select {
				case <-time.After(100 * time.Millisecond):
					continue
				case <-ctx.Done():
					return
				}
			}
			guest, ok := e.gate.enter(conn)
			if !ok {
				conn.Close()
				e.complain(conn, errors.New("too many unfinished handshakes from this source"))
				continue
			}
			e.serves.Go(func() { e.welcome(ctx, conn, guest) })
		}
	})
}

// welcome finds out who is there and hands the connection to the link's goroutine,
// which answers the hello.
func (e *Endpoint) welcome(ctx context.Context, conn net.Conn, guest *guest) {
	// The deadline comes first: with the context crypto/tls closes the connection, of which the
	// kernel then says nothing more.
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout+time.Second)
	defer cancel()
	conn.SetDeadline(time.Now().Add(handshakeTimeout))
	w := newWire(conn)
	w.record = true
	v := &visitor{e: e, guest: guest, wire: w}
	tc := tls.Server(w, v.config())
	err := tc.HandshakeContext(ctx)
	w.record, w.recorded = false, nil
	if err != nil {
		holed := w.lacksLarge()
		conn.Close()
		if ctx.Err() == nil || errors.Is(ctx.Err(), context.DeadlineExceeded) {
			explained := explainAccept(err)
			if holed && isTimeout(err) {
				explained = errHoled
			}
			e.complain(conn, explained)
			e.remember(w, v.refused || errors.Is(explained, errRefusedUs), explained)
		}
		e.gate.leave(guest)
		return
	}
	w.proof = proof{cred: v.cred, local: v.local, chain: tc.ConnectionState().PeerCertificates, at: time.Now()}
	in := &incoming{conn: tc, wire: w, leave: e.pending.enter(v.cred.idOf(w.proof.chain[0]), perLink*max(1, len(v.links)), conn)}
	e.gate.leave(guest)
	if len(v.links) == 0 {
		if err := e.admit(ctx, v, w.proof.chain); err != nil {
			e.complain(conn, err)
			e.remember(w, true, err)
			in.reject(err.Error())
			return
		}
		w.proof.cred = v.cred
	}
	if err := in.identify(v.links); err != nil {
		e.complain(conn, err)
		e.remember(w, true, err)
		in.reject(err.Error())
		return
	}
	e.refusals.Forget(w.remote().Addr())
	e.gate.known.sawPeer(&in.link.whereabouts, w.remote().Addr())
	select {
	case in.link.incoming <- in:
	case <-in.link.done:
		in.reject("this tunnel is being stopped")
	case <-ctx.Done():
		in.reject("this tunnel is not running yet")
	}
}

// identify reads the hello and finds the link that it is for, among those of the peer.
func (in *incoming) identify(links []*Link) error {
	typ, payload, err := readSmall(in.conn)
	if err != nil {
		return fmt.Errorf("hello: %w", explainAccept(err))
	}
	if typ != frameHello {
		return protocolError(fmt.Sprintf("frame of type %d instead of the hello", typ))
	}
	if in.hello, err = parseHello(payload); err != nil {
		return err
	}
	for _, l := range links {
		if l.cfg.Link != in.hello.link {
			continue
		}
		if err := checkIdentity(&in.wire.proof, &in.hello); err != nil {
			return err
		}
		if keys := in.wire.proof.cred.keys; keys != nil {
			if cred := l.secret(keys.serverName); cred != nil {
				in.wire.proof.cred = cred // it may have another name there
			}
		}
		in.link = l
		return nil
	}
	return fmt.Errorf("no tunnel here has this peer and link number %d", in.hello.link)
}

// visitor is a connection during its handshake.
type visitor struct {
	e       *Endpoint
	guest   *guest
	wire    *wire
	awaited bool
	refused bool            // by its certificate
	links   []*Link         // of the peer; none if it is to be let in once the handshake is done
	cred    *credential     // of the first of them, or of who is to be let in
	local   tunnel.Identity // of this end towards the peer
}

// await waits until the handshake may go on, which takes a processor some time.
func (v *visitor) await(hi *tls.ClientHelloInfo) error {
	if v.awaited {
		return nil
	}
	v.awaited = true
	return v.e.gate.await(hi.Context(), v.guest)
}

// config decides about a connection before anything is presented to it.
func (v *visitor) config() *tls.Config {
	cfg := baseConfig()
	cfg.GetEncryptedClientHelloKeys = func(hi *tls.ClientHelloInfo) ([]tls.EncryptedClientHelloKey, error) {
		if err := v.await(hi); err != nil {
			return nil, err
		}
		return v.e.echKeys(hi.ServerName, v.wire.recorded), nil
	}
	cfg.GetConfigForClient = func(hi *tls.ClientHelloInfo) (*tls.Config, error) {
		if err := v.await(hi); err != nil {
			return nil, err
		}
		cfg := baseConfig()
		cfg.NextProtos = append(slices.Clone(protocols), oldProtocol)
		cfg.ClientAuth = tls.RequireAnyClientCert
		if isSecretName(hi.ServerName) {
			links := v.e.secretLinks(hi.ServerName)
			var cred *credential
			if len(links) > 0 {
				cred = links[0].secret(hi.ServerName)
			}
			if cred != nil {
				var err error
				v.cred, v.local = cred, v.e.cfg.Identity
				cfg.Certificates = []tls.Certificate{cred.keys.listener}
				cfg.VerifyConnection = func(s tls.ConnectionState) error {
					v.links, err = links, cred.verify(s.PeerCertificates, true)
					v.refused = err != nil
					return err
				}
				return cfg, nil
			}
		}
		cert, err := v.e.ownCertificate()
		if err != nil {
			return nil, err
		}
		v.local = CertificateIdentity(cert.Certificate[0])
		cfg.Certificates = []tls.Certificate{*cert}
		cfg.VerifyConnection = func(s tls.ConnectionState) error {
			if v.refused = true; isSecretName(s.ServerName) {
				return errors.New("no peer here has its shared secret")
			}
			v.links, v.cred, err = v.e.certifiedLinks(s.PeerCertificates)
			if err != nil {
				if cred, why := v.e.vouched(s.PeerCertificates); cred != nil || why != nil {
					v.cred, err = cred, why
				}
			}
			v.refused = err != nil
			return err
		}
		return cfg, nil
	}
	return cfg
}

// ownCertificate is the router's, or one that nobody trusts.
func (e *Endpoint) ownCertificate() (*tls.Certificate, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.own != nil {
		return e.own, nil
	}
	if e.fallback.Leaf == nil {
		cert, err := throwaway()
		if err != nil {
			return nil, err
		}
		e.fallback = cert
	}
	return &e.fallback, nil
}

// remember keeps for the status why a connection was refused that is probably a peer's: it
// comes from where one is expected, or showed what peers show. On a public port there are
// always others, who speak HTTP or nothing.
func (e *Endpoint) remember(w *wire, telling bool, err error) {
	source := w.remote().Addr()
	expected := e.gate.known.has(source)
	if !telling && !expected {
		return
	}
	note := e.refusals.Note
	if isUnfinished(err) {
		note = e.refusals.NoteUnfinished
	}
	note(time.Now(), source, err.Error(), expected)
}

// Refusals returns who was refused since a moment, the latest first.
func (e *Endpoint) Refusals(since time.Time) []tunnel.Refusal { return e.refusals.List(since) }

// complain logs that a connection was refused, now and then.
func (e *Endpoint) complain(conn net.Conn, err error) {
	e.complaints.refused(time.Now(), addrPort(conn.RemoteAddr()), err)
}

// incoming is a connection whose peer is known.
type incoming struct {
	conn  *tls.Conn
	wire  *wire
	hello hello // once identified, as is link
	link  *Link
	leave func() // when it is part of a session, or closed
}

// reject says why and closes. It takes a moment: a close with unread input would
// take back the words.
func (in *incoming) reject(reason string) {
	in.wire.SetDeadline(time.Now().Add(time.Second))
	if _, err := in.conn.Write(encode(frameReject, []byte(reason[:min(len(reason), maxText)]))); err == nil {
		in.conn.CloseWrite()
		_, _ = in.conn.Read(make([]byte, 1)) // ends when the peer has hung up
	}
	in.close()
}

func (in *incoming) close() {
	in.wire.Close()
	in.leave()
}
