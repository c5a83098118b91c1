package wireguard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"warren/tunnel/wireguard/flow"
	"warren/tunnel/wireguard/protocol"
)

// Endpoint is a router's end of all its WireGuard tunnels: one UDP port for all of
// them, in both families. Its methods may be called at any time and from any
// goroutine.
type Endpoint struct {
	cfg       Config
	log       *slog.Logger
	machine   *protocol.Machine
	flow      *flow.Flow // the packets of all links
	free      *binding   // without an underlay
	strangers *strangers
	waiting   chan handshake
	siblings  siblings

	mu      sync.Mutex
	bound   map[string]*binding // by underlay, while a link has it
	spares  map[*binding]struct{}
	handed  []HandedSocket  // by the program before, that nothing has asked for yet
	unread  atomic.Bool     // there are sockets of the program before, and Run has not begun
	serving context.Context // of Run; nil before and after
	serves  sync.WaitGroup
}

// NewEndpoint returns an endpoint that has no port yet.
func NewEndpoint(c Config) *Endpoint {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now, c.Date = time.Now, func(t time.Time) time.Time { return t }
	}
	for _, told := range []*func(uint16){&c.Listens, &c.Leaves} {
		if *told == nil {
			*told = func(uint16) {}
		}
	}
	m := protocol.New(protocol.Config{PrivateKey: c.PrivateKey, Date: c.Date})
	e := &Endpoint{
		cfg: c, log: c.Logger, machine: m, strangers: &strangers{log: c.Logger, own: m.PublicKey},
		free: newBinding(""), bound: make(map[string]*binding), spares: make(map[*binding]struct{}), waiting: make(chan handshake, maxWaiting),
	}
	if c.Resume != nil {
		e.handed = c.Resume.Sockets
		e.unread.Store(len(e.handed) > 0)
	}
	e.flow = flow.New(flow.Config{Machine: m, Now: c.Now, Handshake: e.takeHandshake, Logger: c.Logger})
	return e
}

// PublicKey returns who this router is to peers without [Keys.PrivateKey].
func (e *Endpoint) PublicKey() protocol.PublicKey { return e.machine.PublicKey() }

// SetPrivateKey changes the router's own key. Sessions stay; handshakes are begun, and
// answered, with the new one from now on.
func (e *Endpoint) SetPrivateKey(k protocol.PrivateKey) error {
	if err := e.machine.SetPrivateKey(e.cfg.Now(), k); err != nil {
		return fmt.Errorf("wireguard: %w", err)
	}
	return nil
}

// Run receives for all links until ctx is done, then closes the port. Links run on
// their own.
func (e *Endpoint) Run(ctx context.Context) error {
	e.mu.Lock()
	if e.serving != nil {
		e.mu.Unlock()
		return errors.New("wireguard: endpoint runs already")
	}
	e.serving = ctx
	e.eachBinding(func(b *binding) { e.serve(b.current.Load()) })
	e.unread.Store(false)
	e.serves.Go(func() { e.shake(ctx) })
	e.mu.Unlock()

	tick := time.NewTicker(mendEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
			e.mend()
		}
	}
	e.mu.Lock()
	e.serving = nil
	e.eachBinding(func(b *binding) { b.current.Swap(&socketPair{err: errNoPort}).close() })
	e.mu.Unlock()
	e.serves.Wait()
	return nil
}

func (e *Endpoint) eachBinding(f func(*binding)) {
	f(e.free)
	for _, b := range e.bound {
		f(b)
	}
	for b := range e.spares {
		f(b)
	}
}

// mendEvery is how often is looked whether an underlay came, went, or was replaced.
const mendEvery = time.Second

// mend opens the sockets of underlays that lack them, or whose interface is another.
func (e *Endpoint) mend() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, b := range e.bound {
		if b.stale() {
			e.renew(b)
		}
	}
}

// renew opens the sockets of an underlay on the endpoint's port.
func (e *Endpoint) renew(b *binding) {
	p := &socketPair{err: errNoPort}
	if port := e.ListenPort(); port != 0 {
		var err error
		if p, err = e.open(opening{underlay: b.underlay, port: port}); err != nil {
			p = &socketPair{err: err}
			if old := b.problem(); old == nil || old.Error() != err.Error() {
				e.log.Warn("cannot open a socket on the underlay", "interface", b.underlay, "err", err)
			}
		}
	}
	e.replace(b, p)
}

// replace puts other sockets into a binding.
func (e *Endpoint) replace(b *binding, p *socketPair) {
	if e.serving != nil {
		e.serve(p)
	}
	b.current.Swap(p).close()
}

// SetListenPort makes the endpoint use this UDP port; 0 has the kernel choose one. A
// port that it uses already stays open. On an error it goes on with the one it has.
func (e *Endpoint) SetListenPort(port uint16) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if port != 0 && e.ListenPort() == port {
		return nil
	}
	p, err := e.open(opening{port: port})
	if err != nil {
		return fmt.Errorf("wireguard: listen on UDP port %d: %w", port, err)
	}
	e.cfg.Listens(p.port)
	old := e.ListenPort()
	e.replace(e.free, p)
	for _, b := range e.bound {
		e.renew(b)
	}
	e.left(old)
	return nil
}

// left tells that a port was given up by some sockets, unless others have it: spare ones that are bound to different
// underlays may get the same from the kernel. It is for who has mu.
func (e *Endpoint) left(port uint16) {
	used := port == 0
	e.eachBinding(func(b *binding) { used = used || b.current.Load().port == port })
	if !used {
		e.cfg.Leaves(port)
	}
}

// ListenPort returns the port in use; 0 is none.
func (e *Endpoint) ListenPort() uint16 { return e.free.current.Load().port }

// binding returns the sockets that a link with an underlay sends by, for one more link. An
// underlay that is not there is not an error: it may come.
func (e *Endpoint) binding(underlay string) *binding {
	if underlay == "" {
		return e.free
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	b := e.bound[underlay]
	if b == nil {
		b = newBinding(underlay)
		e.bound[underlay] = b
		e.renew(b)
	}
	b.links++
	return b
}

// release ends a link's use of its binding.
func (e *Endpoint) release(underlay string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	b := e.bound[underlay]
	if b == nil {
		return
	}
	if b.links--; b.links == 0 {
		delete(e.bound, underlay)
		b.current.Swap(&socketPair{err: errNoPort}).close()
	}
}

// AddLink makes the endpoint know a tunnel; [Link.Run] works it, and takes it away
// when it returns. A link that was added must be run.
func (e *Endpoint) AddLink(c LinkConfig) (*Link, error) {
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("wireguard: %s: %w", c.Name, err)
	}
	if c.Underlay != "" && e.cfg.Control == nil {
		return nil, fmt.Errorf("wireguard: %s: nobody binds to underlay %s", c.Name, c.Underlay)
	}
	l := newLink(e, c)
	peer, err := e.machine.AddPeer(protocol.PeerConfig{
		Keys: c.keys(), Keepalive: c.Keepalive, Notify: l.notify,
	})
	if err != nil {
		return nil, fmt.Errorf("wireguard: %s: %w", c.Name, err)
	}
	l.out.open = func() (spare, error) { return e.openSpare(opening{underlay: c.Underlay, spare: true}) }
	l.attach(peer, e.binding(c.Underlay))
	if c.Resume != nil {
		l.takeUp(c.Resume)
	}
	e.siblings.add(l)
	return l, nil
}

func (e *Endpoint) removeLink(l *Link) {
	e.siblings.remove(l)
	e.machine.RemovePeer(l.peer)
	e.flow.Remove(l.flow)
	l.out.close()
	e.release(l.cfg.Underlay)
}

// serve starts the receiving of a pair.
func (e *Endpoint) serve(p *socketPair) {
	p.each(func(s *flow.Socket) { e.flow.Receive(s, &e.serves) })
}
