package agent

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"warren/internal/config"
	"warren/internal/link"
	"warren/internal/underlay"
	"warren/tunnel"
)

const (
	// retryInterval is the pause before something that failed is tried again.
	retryInterval = time.Second
	// resyncInterval bounds how long a lost event can go unnoticed.
	resyncInterval = 30 * time.Second
)

// locals is what the loop needs of link.Watcher.
type locals interface {
	Changed() <-chan struct{}
	Locals(link.Redistribute, []string, func(ifname string) bool) []netip.Prefix
	Connected() []netip.Prefix
	Gateways() []netip.Addr
	Hosts() []link.Host
	Interfaces() (map[string]link.Interface, time.Time)
}

// guard is what the loop needs of underlay.Guard.
type guard interface {
	SetTunnels([]string)
	SetUnreachable(bool)
	Swallowed() []underlay.Swallowed
}

// loop owns the agent's state. All of its fields but the inbox belong to the
// goroutine of run; others talk to it through the inbox and ask.
type loop struct {
	log     *slog.Logger
	speaker bgpSpeaker
	routes  routes
	locals  locals
	guard   guard
	tunnels tunnelOpener
	listen  listener
	gobgp   *gobgpPort // nil if it is turned off
	woke    <-chan time.Duration
	calls   chan *session                                                       // of those that a peer without IPv6 has called
	beside  func(ifname string, e ends, called func()) (stop func(), err error) // listenIPv4

	forwarding func(v4 bool, ifname string) (bool, error) // link.Forwarding
	hasIPv6    func() bool                                // link.HasIPv6

	cfg     *config.Config
	load    func() (*config.Config, error)
	setLog  func(config.Log) (change string)
	version string
	started time.Time

	peers      map[string]*peer
	generation uint64         // of the last session
	own        []netip.Prefix // what is announced of this router's
	source     sources        // of this router's own packets into tunnels
	state      state
	feed       feed
	keeps      map[string]bool // the peers with unreachable = true
	troubles   *troubles

	listenErr, portErr error // what cannot be listened on yet

	inbox   inbox
	request chan func(context.Context)
	begun   chan struct{} // closed by run when all peers are known
}

// report is what a tunnel has to say that was opened for p. A reload may have
// replaced p since.
type report struct {
	p      *peer
	ev     tunnel.Event
	failed error // set: the tunnel has ended by itself, ev means nothing
}

// inbox takes the events of all tunnels. It does not bound their number: an
// event is small, the loop is never away for long, and losing one would leave
// a neighbor on a dead tunnel.
type inbox struct {
	mu      sync.Mutex
	reports []report
	signal  chan struct{} // capacity 1
}

func (b *inbox) put(r report) {
	b.mu.Lock()
	b.reports = append(b.reports, r)
	b.mu.Unlock()
	select {
	case b.signal <- struct{}{}:
	default:
	}
}

func (b *inbox) take() []report {
	b.mu.Lock()
	defer b.mu.Unlock()
	reports := b.reports
	b.reports = nil
	return reports
}

// run is the loop: it starts the peers, calls ready, and works until ctx is
// done. It leaves the tunnels open: the caller closes them with close when the
// speaker has said goodbye through them.
func (l *loop) run(ctx context.Context, ready func()) error {
	l.begin(ctx)
	ready()

	retry, resync := time.NewTicker(retryInterval), time.NewTicker(resyncInterval)
	defer retry.Stop()
	defer resync.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-l.inbox.signal:
			l.tunnelReports(ctx)
		case <-l.speaker.Events():
			l.learn()
			l.applyRoutes()
		case <-l.feed.again:
			l.learnSome()
			l.applyRoutes()
		case <-l.locals.Changed():
			l.mend(ctx, false)
			l.announce()
			l.applyRoutes()
		case <-l.routes.Changed():
			l.routesWritten()
		case f := <-l.request:
			f(ctx)
		case asleep := <-l.woke:
			l.wake(ctx, asleep)
		case s := <-l.calls:
			l.called(s)
		case <-retry.C:
			l.mend(ctx, false)
			l.retry(ctx)
		case <-resync.C:
			l.mend(ctx, true)
			l.forgetWithdrawn(time.Now())
			l.announce()
			l.applyRoutes()
		}
	}
}

// begin opens the tunnels of all peers, and then the door to them: a peer that
// dials in before its tunnel is known would be turned away as a stranger.
// WireGuard's port is the way out too, so it comes first; who knocks there is
// heard when all peers are known.
func (l *loop) begin(ctx context.Context) {
	l.setTunnels()
	l.setPort()
	peers := make([]*peer, 0, len(l.cfg.Peers))
	for _, cfg := range l.cfg.Peers {
		p := &peer{cfg: cfg}
		l.peers[cfg.Name] = p
		peers = append(peers, p)
	}
	l.setPeers()
	l.open(peers)
	l.announce()
	l.applyRoutes()
	l.setListen()
}

// ask runs f in the loop's goroutine and waits for it.
func (l *loop) ask(ctx context.Context, f func(context.Context)) error {
	done := make(chan struct{})
	select {
	case l.request <- func(ctx context.Context) { defer close(done); f(ctx) }:
	case <-ctx.Done():
		return ctx.Err()
	}
	<-done
	return nil
}

// tunnelReports takes the last word of each tunnel: on a machine that is too
// busy, what came before it is over, and catching up with it would take longer
// than it takes to happen again.
func (l *loop) tunnelReports(ctx context.Context) {
	reports := l.inbox.take()
	last := make(map[*peer]int, len(reports))
	for i, r := range reports {
		if before, ok := last[r.p]; !ok || reports[before].failed == nil {
			last[r.p] = i
		}
	}
	up := false
	for i, r := range reports {
		if last[r.p] != i {
			continue
		}
		switch {
		case l.peers[r.p.cfg.Name] != r.p || r.p.tunnel == nil:
			// Of a tunnel that a reload has replaced.
		case r.failed != nil:
			l.tunnelFailed(ctx, r.p, r.failed)
		case r.ev.Up:
			l.endSession(ctx, r.p)
			l.tunnelUp(ctx, r.p, r.ev)
			up = true
		default:
			l.tunnelDown(ctx, r.p, r.ev.Reason)
		}
	}
	if up {
		l.protect() // the tunnels' own addresses
		l.applyRoutes()
		l.want()
	}
}

// announce brings the speaker in line with the local prefixes.
func (l *loop) announce() {
	a := l.cfg.Announce
	found := l.locals.Locals(link.Redistribute(a.Redistribute), a.Interfaces, l.isTunnel)
	l.own = announced(a.Networks, found)
	if l.state.setNoIPv6(!l.hasIPv6()); l.state.noIPv6 {
		l.own = slices.DeleteFunc(l.own, isIPv6)
	}
	l.setSources()
	l.setUnreachable()
	l.protect()
	l.want()
}

func (l *loop) isTunnel(ifname string) bool {
	for _, p := range l.peers {
		if p.cfg.Tunnels[0].Interface == ifname {
			return true
		}
	}
	return false
}

// setTunnels tells the guard which interfaces the transports must keep out of.
func (l *loop) setTunnels() {
	names := make([]string, 0, len(l.cfg.Peers))
	for _, p := range l.cfg.Peers {
		names = append(names, p.Tunnels[0].Interface)
	}
	l.guard.SetTunnels(names)
}

// close closes all tunnels. run must have returned.
func (l *loop) close(reason string) {
	var closing sync.WaitGroup
	defer closing.Wait()
	for _, p := range l.peers {
		p.session.endFallback()
		if p.tunnel == nil {
			continue
		}
		closing.Go(func() { p.tunnel.Close(reason) })
	}
}
