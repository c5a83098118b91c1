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
	"warren/tunnel/internal/remote"
	"warren/tunnel/internal/report"
	"warren/tunnel/wireguard/flow"
	"warren/tunnel/wireguard/liveness"
	"warren/tunnel/wireguard/pathmtu"
	"warren/tunnel/wireguard/protocol"
)

// Link is one tunnel. The goroutine of Run keeps its session alive and says whether it is up.
// The goroutines of package flow move its packets.
type Link struct {
	e    *Endpoint
	cfg  LinkConfig
	log  *slog.Logger
	dev  Device
	mtu  int // of packets in the tunnel, as configured
	peer *protocol.Peer
	flow *flow.Tunnel  // which also has whether the tunnel is up, and what was counted
	wake chan struct{} // something changed at the peer
	// woken is told that the machine woke up.
	woken  chan struct{}
	keys   chan keysChange
	leaves chan struct{} // capacity 1: the peer is to be looked for elsewhere
	done   chan struct{} // closed when Run returns
	out    exits

	// Of the goroutine of Run.
	resolving bool
	lookAt    time.Time // when to look the remotes up again; zero: with the next round
	tries     attempts
	beside    netip.AddrPort // where the peer is by another transport; not valid: nowhere, as far as is known
	back      homeward
	known     []Keys          // of the peer
	local     tunnel.Identity // of this end, since the tunnel came up or SetEnds
	remote    tunnel.Identity // of the peer
	probe     prober
	changes   changes // of the interface
	raised    bool    // the tunnel is up, the interface has its carrier, and that was told
	rises     int     // counts how often the tunnel was to be raised
	live      *liveness.Machine
	backlog   *flow.Backlog // what has to be read before the peer is said to be silent; nil: nothing
	quiet     bool          // keepalives are suppressed
	measured  time.Time     // the session whose handshake's round trip is in the status
	behind    time.Duration // of the peer's clock, while its handshakes are refused for it
	suspected string        // what is wrong with who has the peer's key
	unsent    error         // why the last message of the protocol could not be sent
	initiated time.Time     // when a handshake was begun last
	calling   time.Time     // when the first was that the peer was not heard since

	timed   timed
	measure atomic.Bool // Measure was called

	joins   atomic.Pointer[netip.AddrPort] // by Join; nil: nothing is to be done
	renamed atomic.Pointer[names]          // by SetEnds; nil: nothing is to be done

	roundTrip atomic.Int64 // in ns, that was measured last

	resolve remote.Resolver
	names   remote.Names

	path *path
	ways ways

	assigning assigning
	meeting   meeting
	noticed   chan pathmtu.Notice // of the peer
	restart   restarting
	losing    losing

	report *report.Report
}

// sender is what a link needs of its binding.
type sender interface {
	flow.Sender
	problem() error // why nothing can be sent, or nil
}

func newLink(e *Endpoint, c LinkConfig) *Link {
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = remote.DefaultConnectTimeout
	}
	l := &Link{
		resolve: remote.Lookup, back: homeward{every: returnEvery, proof: goodFor},
		e: e, cfg: c, dev: c.Device, mtu: c.Device.MTU(),
		log:  e.log.With("peer", c.Name, "interface", c.Device.Name()),
		wake: make(chan struct{}, 1), woken: make(chan struct{}, 1), keys: make(chan keysChange), leaves: make(chan struct{}, 1), done: make(chan struct{}),
		known: c.keys(), probe: newProber(&c), live: liveness.New(c.liveness()), path: newPath(c.Device.MTU()),
		assigning: assigning{messages: make(chan pathmtu.Assign, 8)}, meeting: meeting{told: make(chan [SecretLen]byte, 8)},
		noticed: make(chan pathmtu.Notice, 8), restart: newRestarting(), losing: newLosing(),
	}
	l.ways.paths = c.Paths
	l.flow = &flow.Tunnel{
		Flow: e.flow, Device: l.dev, Joins: l.dev.Offload() != 0, Logger: l.log,
		Notify: l.notify, Probed: l.probed, Assigns: l.assigns, Notices: l.notice, Told: l.isTold,
	}
	l.flow.Limit.Store(int32(l.mtu))
	l.flow.SetMarking(c.Marking)
	l.setEnds(c.LocalAddress, c.PeerAddress)
	l.report = report.New("wireguard", l.dev.Name(), l.mtu)
	return l
}

// attach gives the link its peer and its way out. From now on its packets flow.
func (l *Link) attach(peer *protocol.Peer, out sender) {
	l.peer, l.out.main = peer, out
	l.flow.Peer, l.flow.Out = peer, &l.out
	l.e.flow.Add(l.flow)
}

func (l *Link) isUp() bool { return l.flow.Up.Load() }

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
	defer close(l.done)
	if !l.isUp() {
		l.report.SetState(time.Now(), report.Rest(l.cfg.Remotes))
	}
	l.changes.start()
	l.changes.add(func() error { return l.dev.SetOffload(l.dev.Offload()) }, func(err error) {
		if err != nil && !isGone(err) {
			l.log.Warn("cannot set the device's offload", "err", err)
		}
	})
	var sending sync.WaitGroup
	broken := make(chan error, 1)
	fail := func(err error) {
		select {
		case broken <- err:
		default: // one is enough
		}
	}
	for q := range l.dev.Queues() {
		l.flow.Start(q, &sending, fail)
	}
	err := l.loop(ctx, broken)
	reason := err
	if reason == nil {
		reason = errors.New("stopped")
	}
	l.probe.close()
	l.ways.end()
	l.changes.finish()
	l.down(l.e.cfg.Now(), reason)
	l.report.SetState(time.Now(), tunnel.StateDown)
	err = errors.Join(err, l.dev.Close())
	sending.Wait()
	return err
}

func (l *Link) loop(ctx context.Context, broken <-chan error) error {
	ctx, cancel := context.WithCancel(ctx)
	var resolving sync.WaitGroup
	defer resolving.Wait()
	defer cancel()
	found := make(chan resolved)
	look := func() {
		if l.resolving || len(l.cfg.Remotes) == 0 {
			return
		}
		l.resolving = true
		resolving.Go(func() { l.lookUp(ctx, found) })
	}
	look()
	if now := l.e.cfg.Now(); !l.isUp() && len(l.cfg.Remotes) == 0 && l.peer.Status(now).Endpoint.IsValid() {
		l.peer.Initiate(now) // it was known before, and would go on with a session that is gone
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-broken:
			return fmt.Errorf("wireguard: %s: %w", l.cfg.Name, err)
		case r := <-found:
			l.found(l.e.cfg.Now(), r)
		case a := <-l.probe.answers():
			l.echoed(a)
		case err := <-l.changes.done:
			l.changes.made(err)
		case c := <-l.keys:
			c.done <- l.setKeys(l.e.cfg.Now(), c.to)
		case <-l.wake:
		case done := <-l.restart.asks:
			l.askAwait(l.e.cfg.Now(), done)
		case <-l.leaves:
			l.leavePlace(l.e.cfg.Now())
		case <-l.woken:
			if l.awake(l.e.cfg.Now()) {
				look()
			}
		case <-timer.C:
		}
		now := l.e.cfg.Now()
		if l.tick(now) || !l.lookAt.IsZero() && !now.Before(l.lookAt) {
			l.lookAt = time.Time{}
			look()
		}
		now = l.e.cfg.Now()
		timer.Reset(l.deadline(now).Sub(now))
	}
}

// tick does what is due at the peer, and reports whether the remotes are to be looked up again, as
// they are tried all over.
func (l *Link) tick(now time.Time) (look bool) {
	l.followWays(now)
	l.assess(now)
	l.diagnose(now)
	l.tryEnds(now)
	l.tryJoin(now)
	l.tryPath(now)
	l.tryMeasure(now)
	l.tryAssign(now)
	l.tryMeet(now)
	l.takeNotices(now)
	l.tryRestart(now)
	l.tryLost(now)
	look = l.tryNext(now) || l.seekFirst(now)
	for _, msg := range l.peer.Tick(now) {
		s := l.peer.Status(now)
		if l.quiet && protocol.IsKeepalive(msg) {
			continue
		}
		to := []netip.AddrPort{s.Endpoint}
		if protocol.IsInitiation(msg) {
			if l.initiated.After(s.Heard) || l.live.Doubts(now, l.facts(now, &s)) {
				l.flow.ForgetSource() // nothing comes: it may be the source's fault
			}
			l.initiated = now
			if !s.Heard.Before(l.calling) {
				l.calling = now
			}
			to = l.initiateAt(to)
		}
		l.followExit(&s)
		if x := l.trySpare(); x != nil && protocol.IsInitiation(msg) {
			l.unsent = l.transmitBy(x, msg, to)
		} else {
			l.unsent = l.transmit(msg, to)
		}
		if l.unsent != nil && !l.isUp() {
			l.fail(l.unsent)
			l.tries.unsent(now)
		}
	}
	return look
}

// transmit sends a message to some places. It returns an error if it could be sent to none.
func (l *Link) transmit(msg []byte, places []netip.AddrPort) error {
	return sendEach(places, func(to netip.AddrPort) error { return l.flow.Transmit(l.flow.Single(msg), to) })
}

func sendEach(places []netip.AddrPort, send func(to netip.AddrPort) error) error {
	var failed error
	sent := false
	for _, to := range places {
		if err := send(to); err != nil {
			failed = fmt.Errorf("send to %s: %w", to, err)
		} else {
			sent = true
		}
	}
	if sent {
		return nil
	}
	return failed
}

// settled reports whether there is nothing to look the remotes up for.
func (l *Link) settled() bool { return l.isUp() || l.live.Distrusts() }

func (l *Link) emit(ev tunnel.Event) {
	if l.cfg.Events == nil {
		return
	}
	ev.Name, ev.Local, ev.Peer = l.cfg.Name, l.local, l.remote
	l.cfg.Events(ev)
}
