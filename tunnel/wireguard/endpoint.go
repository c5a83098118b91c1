package wireguard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"warren/tunnel/wireguard/protocol"
)

// Endpoint is a router's end of all its WireGuard tunnels: one UDP port for all of
// them, in both families. Its methods may be called at any time and from any
// goroutine.
type Endpoint struct {
	cfg       Config
	log       *slog.Logger
	machine   *protocol.Machine
	links     sync.Map // *protocol.Peer to *Link
	free      *outlet  // without an underlay
	strangers *strangers
	waiting   chan handshake
	spare     atomic.Int32 // goroutines that may still join a team

	mu      sync.Mutex
	bound   map[string]*outlet // by underlay, while a link has it
	serving context.Context    // of Run; nil before and after
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
	m := protocol.New(protocol.Config{PrivateKey: c.PrivateKey, Date: c.Date})
	e := &Endpoint{
		cfg: c, log: c.Logger, machine: m, strangers: &strangers{log: c.Logger, own: m.PublicKey},
		free: newOutlet(""), bound: make(map[string]*outlet), waiting: make(chan handshake, maxWaiting),
	}
	e.spare.Store(int32(runtime.GOMAXPROCS(0)))
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
	e.eachOutlet(func(o *outlet) { e.serve(o.current.Load()) })
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
	e.eachOutlet(func(o *outlet) { o.current.Swap(&pair{err: errNoPort}).close() })
	e.mu.Unlock()
	e.serves.Wait()
	return nil
}

func (e *Endpoint) eachOutlet(f func(*outlet)) {
	f(e.free)
	for _, o := range e.bound {
		f(o)
	}
}

// mendEvery is how often is looked whether an underlay came, went, or was made anew.
const mendEvery = time.Second

// mend opens the sockets of underlays that lack them, or whose interface is another.
func (e *Endpoint) mend() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, o := range e.bound {
		if o.stale() {
			e.renew(o)
		}
	}
}

// renew opens the sockets of an underlay on the endpoint's port.
func (e *Endpoint) renew(o *outlet) {
	p := &pair{err: errNoPort}
	if port := e.ListenPort(); port != 0 {
		var err error
		if p, err = e.open(o.underlay, port); err != nil {
			p = &pair{err: err}
			if old := o.problem(); old == nil || old.Error() != err.Error() {
				e.log.Warn("cannot open a socket on the underlay", "interface", o.underlay, "err", err)
			}
		}
	}
	e.replace(o, p)
}

// replace puts other sockets into an outlet.
func (e *Endpoint) replace(o *outlet, p *pair) {
	if e.serving != nil {
		e.serve(p)
	}
	o.current.Swap(p).close()
}

// SetListenPort makes the endpoint use this UDP port; 0 has the kernel choose one. A
// port that it uses already stays open. On an error it goes on with the one it has.
func (e *Endpoint) SetListenPort(port uint16) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if port != 0 && e.ListenPort() == port {
		return nil
	}
	p, err := e.open("", port)
	if err != nil {
		return fmt.Errorf("wireguard: listen on UDP port %d: %w", port, err)
	}
	if e.cfg.Listens != nil {
		e.cfg.Listens(p.port)
	}
	e.replace(e.free, p)
	for _, o := range e.bound {
		e.renew(o)
	}
	return nil
}

// ListenPort returns the port in use; 0 is none.
func (e *Endpoint) ListenPort() uint16 { return e.free.current.Load().port }

// outlet returns where a link with an underlay leaves by, for one more link. An
// underlay that is not there is not an error: it may come.
func (e *Endpoint) outlet(underlay string) *outlet {
	if underlay == "" {
		return e.free
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	o := e.bound[underlay]
	if o == nil {
		o = newOutlet(underlay)
		e.bound[underlay] = o
		e.renew(o)
	}
	o.links++
	return o
}

// release ends a link's use of its outlet.
func (e *Endpoint) release(underlay string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	o := e.bound[underlay]
	if o == nil {
		return
	}
	if o.links--; o.links == 0 {
		delete(e.bound, underlay)
		o.current.Swap(&pair{err: errNoPort}).close()
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
	l.peer = peer
	l.out = e.outlet(c.Underlay)
	e.links.Store(peer, l)
	return l, nil
}

func (e *Endpoint) removeLink(l *Link) {
	e.machine.RemovePeer(l.peer)
	e.links.Delete(l.peer)
	e.release(l.cfg.Underlay)
}

// serve starts the receiving of a pair.
func (e *Endpoint) serve(p *pair) {
	p.each(func(s *socket) {
		r := newReceiver(e, s)
		r.team.start()
	})
}
