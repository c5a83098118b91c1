package wireguard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"warren/tunnel/wireguard/protocol"
)

// Endpoint is a router's end of all its WireGuard tunnels: one UDP port for all of
// them, in both families. Its methods may be called at any time and from any
// goroutine.
type Endpoint struct {
	cfg     Config
	log     *slog.Logger
	machine *protocol.Machine
	sockets atomic.Pointer[pair] // nil: none
	links   sync.Map             // *protocol.Peer to *Link

	mu      sync.Mutex
	serving context.Context // of Run; nil before and after
	serves  sync.WaitGroup
}

// pair is the two sockets of a port; v6 is nil on a host without IPv6.
type pair struct {
	v4, v6 *socket
	port   uint16
}

func (p *pair) each(f func(*socket)) {
	for _, s := range []*socket{p.v4, p.v6} {
		if s != nil {
			f(s)
		}
	}
}

// NewEndpoint returns an endpoint that has no port yet.
func NewEndpoint(c Config) *Endpoint {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return &Endpoint{cfg: c, log: c.Logger, machine: protocol.New(protocol.Config{PrivateKey: c.PrivateKey})}
}

// PublicKey returns who this router is to peers without a LinkConfig.PrivateKey.
func (e *Endpoint) PublicKey() protocol.PublicKey { return e.machine.PublicKey() }

// Run receives for all links until ctx is done, then closes the port. Links run on
// their own.
func (e *Endpoint) Run(ctx context.Context) error {
	e.mu.Lock()
	if e.serving != nil {
		e.mu.Unlock()
		return errors.New("wireguard: endpoint runs already")
	}
	e.serving = ctx
	if p := e.sockets.Load(); p != nil {
		e.serve(p)
	}
	e.mu.Unlock()

	<-ctx.Done()
	e.mu.Lock()
	e.serving = nil
	if p := e.sockets.Swap(nil); p != nil {
		p.close()
	}
	e.mu.Unlock()
	e.serves.Wait()
	return nil
}

func (p *pair) close() { p.each(func(s *socket) { s.conn.Close() }) }

// SetListenPort makes the endpoint use this UDP port; 0 has the kernel choose one. A
// port that it uses already stays open. On an error it goes on with the one it has.
func (e *Endpoint) SetListenPort(port uint16) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	old := e.sockets.Load()
	if old != nil && port != 0 && old.port == port {
		return nil
	}
	p, err := e.open(port)
	if err != nil {
		return fmt.Errorf("wireguard: listen on UDP port %d: %w", port, err)
	}
	if e.serving != nil {
		e.serve(p)
	}
	e.sockets.Store(p)
	if old != nil {
		old.close()
	}
	return nil
}

// ListenPort returns the port in use; 0 is none.
func (e *Endpoint) ListenPort() uint16 {
	if p := e.sockets.Load(); p != nil {
		return p.port
	}
	return 0
}

// open binds a port in both families. A port that the kernel chose for one may be
// taken in the other: then it is asked again.
func (e *Endpoint) open(port uint16) (*pair, error) {
	for range 10 {
		v4, err := e.bind("udp4", port)
		if err != nil {
			return nil, err
		}
		p := &pair{v4: newSocket(v4), port: v4.LocalAddr().(*net.UDPAddr).AddrPort().Port()}
		v6, err := e.bind("udp6", p.port)
		switch {
		case err == nil:
			p.v6 = newSocket(v6)
			return p, nil
		case errors.Is(err, unix.EAFNOSUPPORT), errors.Is(err, unix.EADDRNOTAVAIL):
			e.log.Info("no IPv6 here", "err", err)
			return p, nil
		}
		p.close()
		if port != 0 {
			return nil, err
		}
	}
	return nil, errors.New("no port is free in both families")
}

func (e *Endpoint) bind(network string, port uint16) (*net.UDPConn, error) {
	lc := net.ListenConfig{Control: func(network, address string, c syscall.RawConn) error {
		if err := prepare(network, c); err != nil {
			return err
		}
		if e.cfg.Control == nil {
			return nil
		}
		return e.cfg.Control("")(network, address, c)
	}}
	c, err := lc.ListenPacket(context.Background(), network, ":"+strconv.Itoa(int(port)))
	if err != nil {
		return nil, err
	}
	return c.(*net.UDPConn), nil
}

// errNoSocket is why something was not sent.
var errNoSocket = errors.New("no socket of this family is open")

// send sends messages as socket.send does.
func (e *Endpoint) send(b []byte, size int, to netip.AddrPort) error {
	p := e.sockets.Load()
	if p == nil || !to.IsValid() {
		return errNoSocket
	}
	s := p.v4
	if !to.Addr().Is4() {
		s = p.v6
	}
	if s == nil {
		return errNoSocket
	}
	return s.send(b, size, to)
}

// AddLink makes the endpoint know a tunnel; [Link.Run] works it, and takes it away
// when it returns. A link that was added must be run.
func (e *Endpoint) AddLink(c LinkConfig) (*Link, error) {
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("wireguard: %s: %w", c.Name, err)
	}
	l := newLink(e, c)
	peer, err := e.machine.AddPeer(protocol.PeerConfig{
		PrivateKey: c.PrivateKey, PublicKey: c.PublicKey, PresharedKey: c.PresharedKey,
		Keepalive: c.Keepalive, Notify: l.notify,
	})
	if err != nil {
		return nil, fmt.Errorf("wireguard: %s: %w", c.Name, err)
	}
	l.peer = peer
	e.links.Store(peer, l)
	return l, nil
}

func (e *Endpoint) removeLink(l *Link) {
	e.machine.RemovePeer(l.peer)
	e.links.Delete(l.peer)
}

// serve starts the receiving of a pair.
func (e *Endpoint) serve(p *pair) {
	p.each(func(s *socket) { e.serves.Go(newReceiver(e, s).run) })
}
