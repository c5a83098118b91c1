package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"warren/internal/config"
	"warren/internal/link"
	"warren/internal/underlay"
	"warren/tunnel"
	"warren/tunnel/external"
	"warren/tunnel/kernelwg"
	"warren/tunnel/tun"
)

// kernelTunnel is a tunnel of the wireguard transport whose packets the kernel carries: an interface of our own that
// the kernel's WireGuard works (package kernelwg), watched as one that something else made (package external).
type kernelTunnel struct {
	*external.Link // whether the peer lives
	peer           *kernelwg.Link
	control        kernelwg.Control
	cfg            config.Tunnel
	index          int
	key            string // what the peer is known by
	local, remote  tunnel.Identity

	cancel context.CancelFunc
	work   sync.WaitGroup
	gone   sync.Once
	failed func(error)
	forget func()
}

// kernelAlias marks an interface of the kernel's WireGuard: the peer's name, and the config of the daemon, as the kernel
// does not say whose it is.
func kernelAlias(name, path string) string { return aliasPrefix + name + kernelSuffix(path) }

func kernelSuffix(path string) string { return " of " + path }

// openKernel makes the interface, or goes on with that which the daemon before has left.
func (i *interfaces) openKernel(name string, t config.Tunnel, report reporter) (tunnelHandle, error) {
	index, err := link.AddWireGuard(t.Interface, kernelAlias(name, i.path), i.left != nil)
	if err != nil {
		return nil, err
	}
	k := &kernelTunnel{cfg: t, index: index, failed: report.failed}
	if err := i.setUpKernel(k, name, t, report); err != nil {
		if k.control != nil {
			err = errors.Join(err, k.control.Close())
		}
		return nil, errors.Join(err, link.Delete(t.Interface))
	}
	i.kernel.add(t.Interface)
	k.forget = func() { i.kernel.remove(t.Interface) }
	ctx, cancel := context.WithCancel(context.Background())
	k.cancel = cancel
	k.work.Go(func() { k.peer.Run(ctx) })
	k.work.Go(func() { _ = k.Run(ctx) }) // which never fails
	return k, nil
}

func (i *interfaces) setUpKernel(k *kernelTunnel, name string, t config.Tunnel, report reporter) (err error) {
	if k.control, err = kernelwg.OpenControl(); err != nil {
		return err
	}
	keys, key := kernelKeys(t)
	k.key, k.local, k.remote = key, keys.Public(), keys.PeerPublicKey
	if k.peer, err = kernelwg.New(kernelwg.Config{
		Name: name, Interface: t.Interface, Control: k.control, Keys: keys, Port: t.ListenPort, Mark: underlay.Mark,
		Remotes: dialed(t.Remotes), RandomOrder: t.RemoteOrder == config.RemotesRandom, ConnectTimeout: t.ConnectTimeout,
		PersistentKeepalive: t.PersistentKeepalive, Logger: i.log,
	}); err != nil {
		return err
	}
	if err := link.Prepare(t.Interface); err != nil {
		return err
	}
	if err := link.SetUp(t.Interface, t.MTU); err != nil {
		return err
	}
	own, far := endpoints(t, k.local, k.remote)
	if beside := endpoints4(t, k.local, k.remote); beside.valid() && !link.HasIPv6() {
		own, far = beside.local, beside.peer
	}
	addresses := t.Address
	if len(addresses) == 0 {
		addresses = pairsOf([]netip.Addr{own})
	}
	if _, err := link.AddAddresses(t.Interface, link.WithIPv4(addresses)); err != nil {
		return err
	}
	k.Link, err = external.New(external.Config{
		Name: name, Interface: t.Interface, Look: k.look, PeerAddress: far.WithZone(""),
		Ping: true, Keepalive: t.Keepalive, DeadAfter: t.DeadAfter, Now: i.now, Logger: i.log,
		Events: func(ev tunnel.Event) {
			k.peer.SetUp(ev.Up)
			ev.Local, ev.Peer = k.local, k.remote
			if s, err := k.peer.Session(); err == nil {
				ev.Remote = s.Remote
			}
			report.event(ev)
		},
	})
	return err
}

// kernelKeys are those of a tunnel, and what the peer is known by. The config makes sure that there is one of each.
func kernelKeys(t config.Tunnel) (k kernelwg.Keys, name string) {
	keys := wireguardKeys(t)[0]
	return kernelwg.Keys{PrivateKey: keys.PrivateKey, PeerPublicKey: keys.PeerPublicKey, PresharedKey: keys.PresharedKey}, keys.Name
}

// dropKernel removes the interfaces that the daemon before has left to the kernel's WireGuard and that no tunnel has
// taken.
func (i *interfaces) dropKernel() (removed []string, err error) {
	return link.RemoveWireGuards(kernelSuffix(i.path), i.kernel.set())
}

// look sees the interface, and notices that it is gone, which ends the tunnel: it is made again.
func (k *kernelTunnel) look(name string) (external.Sight, error) {
	s, err := look(name)
	if err == nil && s.Index != k.index {
		k.gone.Do(func() {
			k.failed(fmt.Errorf("interface %s is gone: something else has removed it, or renamed it", name))
		})
	}
	return s, err
}

// Status is that of the liveness, with what the kernel knows.
func (k *kernelTunnel) Status() tunnel.Status {
	s := k.Link.Status()
	s.Transport, s.Datapath, s.Interface = config.TransportWireGuard, config.DatapathKernel, k.cfg.Interface
	s.Local, s.Peer, s.MTU = k.local, k.remote, cmp.Or(s.MTU, k.cfg.MTU)
	session, err := k.peer.Session()
	if err == nil {
		s.Handshake = session.Handshake
	}
	if s.State == tunnel.StateUp {
		s.Remote, s.Key, s.KeyPlace = session.Remote, k.key, 1
		return s
	}
	if s.State != tunnel.StateDown {
		if s.State = tunnel.StateConnecting; len(k.cfg.Remotes) == 0 {
			s.State = tunnel.StateWaiting
		}
	}
	if why := k.peer.Error(); why != "" {
		s.LastError = why
	}
	return s
}

// Wake has both look again.
func (k *kernelTunnel) Wake() { k.Link.Wake() }

// SetTrust is not called: the tunnel is made again for other keys, as the kernel's interface has one private key.
func (k *kernelTunnel) SetTrust(config.Tunnel) error {
	return errors.New("the keys of a tunnel of the kernel's WireGuard cannot be changed while it is up")
}

// Tune does nothing: the kernel has nothing of it.
func (k *kernelTunnel) Tune(config.Tunnel) {}

// Ends are as those of the other transports of our own.
func (k *kernelTunnel) Ends(ev tunnel.Event) (local, peer netip.Addr, beside ends) {
	local, peer = endpoints(k.cfg, ev.Local, ev.Peer)
	return local, peer, endpoints4(k.cfg, ev.Local, ev.Peer)
}

// SetAddresses is as that of the other transports of our own.
func (k *kernelTunnel) SetAddresses(locals, assigned []netip.Addr) ([]netip.Prefix, error) {
	return setUpAddresses(k.cfg, k.check, locals, assigned)
}

// check makes sure that the interface is still what it was.
func (k *kernelTunnel) check() error {
	name, err := link.Name(k.index)
	if err == nil && name == k.cfg.Interface {
		return nil
	}
	return fmt.Errorf("interface %s: %w", k.cfg.Interface, tun.ErrLost)
}

// Index returns the interface's.
func (k *kernelTunnel) Index() int { return k.index }

// Mend takes the interface up again.
func (k *kernelTunnel) Mend() (changed []string, err error) {
	if err := k.check(); err != nil {
		return nil, err
	}
	s, err := look(k.cfg.Interface)
	if err != nil || s.Up {
		return nil, err
	}
	return []string{"it was down"}, link.SetUp(k.cfg.Interface, 0)
}

// Close returns when the interface is gone.
func (k *kernelTunnel) Close(string) {
	k.cancel()
	k.work.Wait()
	_ = k.control.Close()
	if name, err := link.Name(k.index); err == nil { // by its index: it may have got another name since
		_ = link.Delete(name)
	}
	k.forget()
}

// names are those of interfaces. The methods may be called from any goroutine; the zero value has none.
type names struct {
	mu  sync.Mutex
	all []string
}

func (n *names) add(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = append(n.all, name)
}

func (n *names) remove(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = slices.DeleteFunc(n.all, func(have string) bool { return have == name })
}

func (n *names) set() map[string]bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	set := map[string]bool{}
	for _, name := range n.all {
		set[name] = true
	}
	return set
}
