package wireguard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"warren/tunnel"
	"warren/tunnel/wireguard/protocol"
)

// Link is one tunnel. The goroutine of Run keeps its session alive and says whether it
// is up; one goroutine for each queue of the device sends (pump.go); the endpoint's
// goroutines receive (receiver.go).
type Link struct {
	e    *Endpoint
	cfg  LinkConfig
	log  *slog.Logger
	dev  Device
	mtu  int
	peer *protocol.Peer
	wake chan struct{} // something changed at the peer

	// Of the goroutine of Run.
	resolving bool
	heard     time.Time // when the peer last was, before it was looked up
	lookAt    time.Time // when to look the remotes up again; zero: after the next attempt
	turn      int       // of the addresses of the remotes

	up atomic.Bool // set by the goroutine of Run

	counters counters
	mu       sync.Mutex
	status   tunnel.Status // without what counters, the peer and cfg say
}

// counters are added to by many goroutines.
type counters struct {
	rxBytes, rxPackets, txBytes, txPackets, drops atomic.Uint64
}

func newLink(e *Endpoint, c LinkConfig) *Link {
	l := &Link{
		e: e, cfg: c, dev: c.Device, mtu: c.Device.MTU(),
		log:  e.log.With("peer", c.Name, "interface", c.Device.Name()),
		wake: make(chan struct{}, 1),
	}
	l.status = tunnel.Status{State: tunnel.StateDown, Since: time.Now()}
	return l
}

// notify is called by the peer when something changed.
func (l *Link) notify() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Run works the tunnel until ctx is done or the device fails. It then closes the
// device and takes the link from its endpoint. The protocol has no word to say that to
// the peer.
func (l *Link) Run(ctx context.Context) error {
	defer l.e.removeLink(l)
	l.setState(l.restState())
	if err := l.dev.SetOffload(l.dev.Offload()); err != nil {
		l.log.Warn("cannot set the device's offload", "err", err)
	}
	var pumps sync.WaitGroup
	broken := make(chan error, l.dev.Queues())
	for q := range l.dev.Queues() {
		pumps.Go(func() {
			if err := l.pump(q); err != nil {
				broken <- err
			}
		})
	}
	err := l.loop(ctx, broken)
	reason := err
	if reason == nil {
		reason = errors.New("stopped")
	}
	l.down(reason)
	l.setState(tunnel.StateDown)
	err = errors.Join(err, l.dev.Close())
	pumps.Wait()
	return err
}

func (l *Link) loop(ctx context.Context, broken <-chan error) error {
	ctx, cancel := context.WithCancel(ctx)
	var resolving sync.WaitGroup
	defer resolving.Wait()
	defer cancel()
	found := make(chan resolved, 1)
	look := func() {
		if l.resolving || len(l.cfg.Remotes) == 0 {
			return
		}
		l.resolving = true
		l.heard = l.peer.Status(time.Now()).Heard
		resolving.Go(func() { found <- resolve(ctx, l.cfg.Remotes) })
	}
	look()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-broken:
			return fmt.Errorf("wireguard: %s: %w", l.cfg.Name, err)
		case r := <-found:
			l.resolving = false
			l.found(r)
		case <-l.wake:
		case <-timer.C:
		}
		again := !l.lookAt.IsZero() && !time.Now().Before(l.lookAt)
		if again {
			l.lookAt = time.Time{}
		}
		if began := l.tick(time.Now()); (began || again) && !l.up.Load() {
			look() // the next attempt goes to the next address
		}
		timer.Reset(time.Until(l.deadline(time.Now())))
	}
}

// tick does what is due at the peer, and reports whether a handshake was begun.
func (l *Link) tick(now time.Time) (began bool) {
	l.assess(now)
	for _, msg := range l.peer.Tick(now) {
		began = began || protocol.IsInitiation(msg)
		to := l.peer.Status(now).Endpoint
		if err := l.e.send(msg, len(msg), to); err != nil {
			l.fail(fmt.Errorf("send to %s: %w", to, err))
		}
	}
	return began
}

// found tries the next address of the remotes, unless the peer has been heard
// meanwhile.
func (l *Link) found(r resolved) {
	if l.up.Load() {
		return
	}
	if len(r.addrs) > 0 {
		l.peer.TryEndpoint(time.Now(), r.addrs[l.turn%len(r.addrs)], l.heard)
		l.turn++
		return
	}
	l.fail(r.err)
	l.lookAt = time.Now().Add(lookAgain)
}

// renewAt is when this end asks for the next session, also if there is no data that
// would: the initiator first, and if that does not happen, either.
func renewAt(s *protocol.Status) time.Time {
	if s.Initiator {
		return s.Since.Add(protocol.RekeyAfterTime)
	}
	return s.Since.Add((protocol.RekeyAfterTime + protocol.RejectAfterTime) / 2)
}

// assess decides whether the tunnel is up.
func (l *Link) assess(now time.Time) {
	s := l.peer.Status(now)
	silent := l.cfg.DeadAfter > 0 && now.Sub(s.Heard) >= l.cfg.DeadAfter
	switch {
	case s.Established && !silent:
		l.setUp(now, &s)
		if !s.Trying && !now.Before(renewAt(&s)) {
			l.peer.Initiate(now)
		}
	case l.up.Load() && silent:
		l.down(fmt.Errorf("nothing came from the peer for %v", l.cfg.DeadAfter))
		l.peer.Initiate(now)
	case l.up.Load():
		l.down(fmt.Errorf("the session could not be renewed for %v", protocol.RejectAfterTime))
		l.peer.Initiate(now)
	case len(l.cfg.Remotes) > 0 && !s.Trying && !l.resolving && s.Endpoint.IsValid():
		l.peer.Initiate(now) // the protocol gives up after a while; a tunnel does not
	}
}

// deadline is when tick has to be called next.
func (l *Link) deadline(now time.Time) time.Time {
	first := now.Add(time.Hour)
	earlier := func(t time.Time) {
		if !t.IsZero() && t.Before(first) {
			first = t
		}
	}
	earlier(l.lookAt)
	earlier(l.peer.NextDeadline())
	if s := l.peer.Status(now); l.up.Load() {
		earlier(s.Since.Add(protocol.RejectAfterTime))
		if !s.Trying {
			earlier(renewAt(&s))
		}
		if l.cfg.DeadAfter > 0 {
			earlier(s.Heard.Add(l.cfg.DeadAfter))
		}
	}
	return first
}

// setUp takes note of a session, and of where the peer is.
func (l *Link) setUp(now time.Time, s *protocol.Status) {
	l.mu.Lock()
	moved := l.status.Remote != s.Endpoint
	l.status.Remote = s.Endpoint
	l.mu.Unlock()
	if l.up.Load() {
		if moved {
			l.log.Info("the peer is somewhere else now", "remote", s.Endpoint)
		}
		return
	}
	l.up.Store(true)
	if err := l.dev.SetCarrier(true); err != nil {
		l.log.Error("cannot raise the carrier", "err", err)
	}
	l.log.Info("tunnel up", "remote", s.Endpoint)
	l.mu.Lock()
	l.status.State, l.status.Since, l.status.LastError = tunnel.StateUp, now, ""
	l.mu.Unlock()
	l.emit(tunnel.Event{Up: true, Time: now, Remote: s.Endpoint})
}

// down takes the tunnel down, if it is up: first the carrier, so that the kernel stops
// routing into it, then the event.
func (l *Link) down(reason error) {
	if !l.up.Load() {
		return
	}
	l.up.Store(false)
	if err := l.dev.SetCarrier(false); err != nil {
		l.log.Error("cannot drop the carrier", "err", err)
	}
	now := time.Now()
	l.mu.Lock()
	remote := l.status.Remote
	l.status.State, l.status.Since = l.restState(), now
	l.status.Remote, l.status.LastError = netip.AddrPort{}, reason.Error()
	l.mu.Unlock()
	l.log.Info("tunnel down", "remote", remote, "err", reason)
	l.emit(tunnel.Event{Time: now, Remote: remote, Reason: reason.Error()})
}

func (l *Link) emit(ev tunnel.Event) {
	if l.cfg.Events == nil {
		return
	}
	ev.Name, ev.Local, ev.Peer = l.cfg.Name, tunnel.Identity(l.peer.LocalPublicKey()), tunnel.Identity(l.cfg.PublicKey)
	l.cfg.Events(ev)
}
