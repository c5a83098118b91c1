package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

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
	keys           kernelwg.Keys
	local, remote  tunnel.Identity
	addresses      []netip.Prefix // of the interface, IPv4 first
	quiet          []netip.Prefix // those of them that nothing but BGP is to send from

	port *toldPort // of the kernel's socket

	packets, bytes uint64 // that the interface had sent when it was looked at last

	mu  sync.Mutex
	key string // what the peer is known by

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
func (i *interfaces) openKernel(name string, t config.Tunnel, report reporter) (_ tunnelHandle, err error) {
	i.kernel.add(t.Interface) // before it is there: what is not among them may be removed
	defer func() {
		if err != nil {
			i.kernel.remove(t.Interface)
		}
	}()
	if was := i.left.take(t.Interface); was != nil {
		i.giveUp(name, was)
	}
	alias := kernelAlias(name, i.path)
	if err := i.removeKernel(t.Interface, func(has string) bool { return has != alias }); err != nil {
		return nil, err
	}
	index, err := i.wireguards.add(t.Interface, alias, i.left != nil)
	if err != nil {
		return nil, err
	}
	k := &kernelTunnel{cfg: t, index: index, failed: report.failed, forget: func() { i.kernel.remove(t.Interface) }}
	k.port = &toldPort{guard: i.guard, port: i.left.takeStanding(name).Port} // which the guard was told before it began
	if err := i.setUpKernel(k, name, t, report); err != nil {
		k.port.is(0)
		if k.control != nil {
			err = errors.Join(err, k.control.Close())
		}
		return nil, errors.Join(err, link.Delete(t.Interface))
	}
	ctx, cancel := context.WithCancel(context.Background())
	k.cancel = cancel
	k.work.Go(func() { k.peer.Run(ctx) })
	k.work.Go(func() { k.peer.SeekMTU(ctx) })
	k.work.Go(func() { _ = k.Run(ctx) }) // which never fails
	return k, nil
}

func (i *interfaces) setUpKernel(k *kernelTunnel, name string, t config.Tunnel, report reporter) (err error) {
	if k.control, err = i.wireguards.control(); err != nil {
		return err
	}
	k.keys, k.key = kernelKeys(t)
	k.local, k.remote = k.keys.Public(), k.keys.PeerPublicKey
	if k.peer, err = kernelwg.New(kernelwg.Config{
		Name: name, Interface: t.Interface, Control: k.control, Keys: k.keys, Port: t.ListenPort, Mark: underlay.Mark,
		Remotes: dialed(t.Remotes), RandomOrder: t.RemoteOrder == config.RemotesRandom, ConnectTimeout: t.ConnectTimeout,
		PersistentKeepalive: t.PersistentKeepalive, Ask: k.Wake, Listens: k.port.is, Logger: i.log,
		Paths: i.paths.Socket(unix.IPPROTO_UDP, ""), Lost: func(why string) { k.SetLost(why) },
		MTU: t.MTU, SetMTU: k.setMTU,
	}); err != nil {
		return err
	}
	if err := link.Prepare(t.Interface); err != nil {
		return err
	}
	if err := link.SetUp(t.Interface, t.MTU); err != nil {
		return err
	}
	_, far := endpoints(t, k.local, k.remote)
	beside := endpoints4(t, k.local, k.remote)
	k.setAddresses(beside)
	// The kernel takes the IPv6 addresses away whenever the interface is set down: the link gives it all, and again.
	k.Link, err = external.New(external.Config{
		Name: name, Interface: t.Interface, Own: true, Look: k.look, PeerAddress: far.WithZone(""), Beside: beside.peer,
		Addresses: k.addresses, AddAddresses: k.addAddresses,
		Ping: true, Keepalive: t.Keepalive, DeadAfter: t.DeadAfter, Now: i.now, Logger: i.log,
		Events: func(ev tunnel.Event) {
			if ev.Up {
				k.peer.SetEnds(k.Speaks())
			}
			k.peer.SetUp(ev.Up)
			ev.Local, ev.Peer = k.local, k.remote
			if ev.Up { // one that is down is told at once: the kernel may be busy
				if s, err := k.peer.Look(); err == nil {
					ev.Remote = s.Remote
				}
			}
			report.event(ev)
		},
	})
	return err
}

// setAddresses says which addresses the interface is to have: the configured ones, or its halves of both pairs.
func (k *kernelTunnel) setAddresses(beside ends) {
	k.addresses = link.WithIPv4(k.cfg.Address)
	if len(k.cfg.Address) > 0 {
		return
	}
	own, _ := endpoints(k.cfg, k.local, k.remote)
	k.quiet = pairsOf([]netip.Addr{beside.local})
	k.addresses = append(slices.Clone(k.quiet), pairsOf([]netip.Addr{own})...)
}

// addAddresses gives the interface what it lacks. Without IPv6 there is the IPv4 half.
func (k *kernelTunnel) addAddresses(_ int, lacking []netip.Prefix) error {
	_, err := link.AddAddresses(k.cfg.Interface, lacking, k.quiet...)
	if errors.Is(err, link.ErrNoIPv6) && len(k.quiet) > 0 {
		return nil
	}
	return err
}

// kernelKeys are those of a tunnel, and what the peer is known by. The config makes sure that there is one of each.
func kernelKeys(t config.Tunnel) (k kernelwg.Keys, name string) {
	keys := wireguardKeys(t)[0]
	return kernelwg.Keys{PrivateKey: keys.PrivateKey, PeerPublicKey: keys.PeerPublicKey, PresharedKey: keys.PresharedKey}, keys.Name
}

// look sees the interface, and what the kernel knows of the peer. It notices that the interface is gone, which ends the
// tunnel: it is made again.
func (k *kernelTunnel) look(name string) (external.Sight, error) {
	s, err := look(name)
	if err != nil {
		return s, err
	}
	if s.Index != k.index {
		k.gone.Do(func() {
			k.failed(fmt.Errorf("interface %s is gone: something else has removed it, or renamed it", name))
		})
		return external.Sight{}, nil // another one of that name is not ours
	}
	_, _ = k.peer.Look() // what failed is remembered
	if k.sendsLarge(s) {
		k.peer.Busy()
	}
	return s, nil
}

// setMTU leaves it to look that the interface is gone.
func (k *kernelTunnel) setMTU(mtu int) error {
	if err := link.SetMTU(k.index, mtu); !errors.Is(err, link.ErrNotFound) {
		return err
	}
	return nil
}

// sendsLarge reports whether the interface has sent many large packets since the look before, by their mean. It is called in one
// goroutine.
func (k *kernelTunnel) sendsLarge(s external.Sight) bool {
	packets, bytes := s.TxPackets-k.packets, s.TxBytes-k.bytes
	k.packets, k.bytes = s.TxPackets, s.TxBytes
	return packets >= manyPackets && bytes/packets >= largePacket
}

const (
	manyPackets = 10  // between two looks
	largePacket = 640 // bytes
)

// stand implements standingTunnel.
func (k *kernelTunnel) stand() leftStanding {
	return leftStanding{Interface: k.cfg.Interface, Index: k.index, Port: k.port.now()}
}

// carry has nothing to go on with: the kernel has carried the packets.
func (k *kernelTunnel) carry() {}

// Status is that of the liveness, with what the kernel said last of the peer.
func (k *kernelTunnel) Status() tunnel.Status {
	s := k.Link.Status() // which has looked, if the kernel has answered in time
	asking := s.State == tunnel.StateConnecting
	s.Transport, s.Datapath, s.Interface = config.TransportWireGuard, config.DatapathKernel, k.cfg.Interface
	s.Local, s.Peer, s.MTU = k.local, k.remote, cmp.Or(s.MTU, k.cfg.MTU)
	session, err := k.peer.Session()
	if err == nil {
		s.Handshake = session.Handshake
	}
	if s.State == tunnel.StateUp {
		k.mu.Lock()
		defer k.mu.Unlock()
		s.Remote, s.Key, s.KeyPlace, s.Hint = session.Remote, k.key, 1, k.peer.Hint()
		return s
	}
	if s.State != tunnel.StateDown {
		if s.State = tunnel.StateConnecting; len(k.cfg.Remotes) == 0 {
			s.State = tunnel.StateWaiting
		}
	}
	// Why no address was of use says more than that nothing answers, and less than what is wrong with the interface.
	if why := k.peer.Error(); why != "" && asking {
		s.LastError = why
	}
	return s
}

// Wake has the peer asked at once.
func (k *kernelTunnel) Wake() { k.Link.Wake() }

// SetTrust takes over another name of the keys that there are. For other keys the tunnel is made again, as the kernel's
// interface has one private key.
func (k *kernelTunnel) SetTrust(t config.Tunnel) error {
	keys, name := kernelKeys(t)
	if keys != k.keys {
		return errors.New("the keys of a tunnel of the kernel's WireGuard cannot be changed while it is up")
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.key = name
	return nil
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
	k.port.is(0) // while nothing else can have the port
	_ = k.control.Close()
	if name, err := link.Name(k.index); err == nil { // by its index: it may have got another name since
		_ = link.Delete(name)
	}
	k.forget()
}
