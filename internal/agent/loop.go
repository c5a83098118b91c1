package agent

import (
	"context"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"warren/internal/config"
	"warren/internal/history"
	"warren/internal/link"
	"warren/internal/underlay"
)

// resyncInterval bounds how long a lost event can go unnoticed.
const resyncInterval = 30 * time.Second

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
//
// What becomes of tunnels the machine decides. The loop has it take events, and does what it
// returns. What the loop does without it asks the outside for all it needs and keeps nothing
// back: looking at interfaces (mend.go), which prefixes are local and what follows (announce),
// the way of routes (routes.go), which is a function of its own (desired.go), and status.
type loop struct {
	log     *slog.Logger
	speaker bgpSpeaker
	routes  routes
	locals  locals
	guard   guard
	tunnels tunnelOpener
	listen  listener
	gobgp   *gobgpPort // nil if it is turned off
	http    *httpPort
	woke    <-chan time.Duration
	beside  func(ifname string, e ends, called func()) (stop func(), err error) // listenIPv4

	forwarding func(v4 bool, ifname string) (bool, error)             // link.Forwarding
	hasIPv6    func() bool                                            // link.HasIPv6
	leads      func(netip.Addr) (link.Leads, error)                   // link.LeadsTo
	segments   func([][2]netip.Addr, uint16) ([]link.Segments, error) // link.SegmentsBetween
	hashPorts  func(on bool) error                                    // link.FlowHash

	cfg     *config.Config
	load    func() (*config.Config, error)
	setLog  func(config.Log)
	version string
	started time.Time

	logChange func(config.Log) string // what setLog would change, "" if nothing
	note      func(*config.Config)    // what is left if the daemon is killed

	accepted map[string]*accepted // peers that no file names, by name

	unconfirmed *unconfirmed   // nil: no reload waits to be confirmed
	wentBack    *wentBack      // nil: the config is the one that was read last
	undone      []routerChange // of going back, and tried again

	m           *machine
	handles     handles
	invitations invitations
	history     *history.Log
	watched     watched
	quiet       map[string]*quiet // of drained peers, by name
	lines       []string          // what the reload at work has done
	waiting     []chan struct{}   // to be closed when no tunnel is being opened or closed
	working     sync.WaitGroup    // those that open and close tunnels
	ready       func()            // called when all tunnels have been tried once

	now  func() time.Time
	date func(time.Time) time.Time // of a time of now, by the clock as it is set now

	home       []netip.Prefix            // networks and prefixes of this router, announced
	own        []netip.Prefix            // what is announced of this router's: home, and what peers are assigned
	source     sources                   // of this router's own packets into tunnels
	interfaces map[string]link.Interface // as they were seen last
	state      state
	unlistened bool // [::] of tls.listen, as the kernel has no IPv6
	feed       feed
	rising     map[string]bool // interfaces that routes can use when they are applied
	keeps      map[string]int  // max_prefixes of the peers with unreachable = true

	inbox   inbox
	request chan func(context.Context)
	begun   chan struct{} // closed when all tunnels have been tried once

	resuming *resumption // nil: nothing is taken over, or all is
	left     *leftovers  // of the daemon before
}

// run is the loop: it starts the peers, calls ready when all their tunnels have been tried
// once, and works until ctx is done. It leaves the tunnels open: the caller closes them with
// close when the speaker has said goodbye through them.
func (l *loop) run(ctx context.Context, ready func()) error {
	l.ready = ready
	l.begin()
	l.resumed(false)

	retry, resync := time.NewTicker(retryInterval), time.NewTicker(resyncInterval)
	defer retry.Stop()
	defer resync.Stop()
	watchdogDue, stopWatchdog := watchdog(l.log)
	defer stopWatchdog()
	for {
		select {
		case <-ctx.Done():
			l.leaveUnconfirmed()
			return nil
		case <-l.inbox.signal:
			l.takeInbox()
		case <-l.speaker.Events():
			l.followRoutes()
			l.watchSpeaker(l.now())
			l.learn()
			l.applyRoutes()
		case <-l.feed.again:
			l.learnSome()
			l.applyRoutes()
		case <-l.locals.Changed():
			l.localsChanged()
		case <-l.routes.Changed():
			l.routesWritten()
		case f := <-l.request:
			f(ctx)
		case asleep := <-l.woke:
			l.wake(asleep)
		case <-retry.C:
			l.retry()
		case <-resync.C:
			l.mend(true)
			l.forgetWithdrawn(time.Now())
			l.forgetAccepted(l.now())
			l.locate()
			l.announce()
			l.applyRoutes()
		case <-watchdogDue:
			notify(l.log, notifyAlive)
		case <-l.resuming.tooLong():
			l.resumed(true)
		}
		l.resumed(false)
	}
}

// begin opens the tunnels of all peers; when they have been tried the door to them is opened.
// WireGuard's port is the way out too, so it comes first; what knocks there is
// heard when all peers are known.
func (l *loop) begin() {
	if err := l.speaker.TakeUp(); err != nil {
		l.log.Error("restart: routes are learned again as after a start", "err", err)
	}
	l.play(l.do(listen{kindListenWireGuard})...)
	l.setAdmission()
	l.takeOrders()
	l.takeAccepted()
	l.keepOrders()
	l.expire()
	l.configure()
	l.takeAssigned()
	l.announce()
	l.takeUp()
	l.locate()
	l.applyRoutes()
}

// configure has the machine take the peers of the config, and the state their attachments.
func (l *loop) configure() {
	l.play(l.using(), configured{wantedPeers(l.peers())})
	l.setAttached()
}

// localsChanged is for addresses, interfaces or routes of this host that changed.
func (l *loop) localsChanged() {
	l.mend(false)
	if seen, _ := l.locals.Interfaces(); !maps.EqualFunc(seen, l.interfaces, sameInterface) {
		l.interfaces = seen
		l.gobgp.hurry()
		l.http.hurry()
		l.play(changedAround{})
	}
	l.locate() // carriers come and go too
	l.announce()
	l.applyRoutes()
}

// sameInterface reports whether what needs an interface or its addresses fails for b as for a.
func sameInterface(a, b link.Interface) bool {
	return a.Index == b.Index && a.Up == b.Up && slices.Equal(a.Addresses, b.Addresses)
}

// retry looks after what failed, and tries again what is due.
func (l *loop) retry() {
	l.mend(false)
	l.followKeys()
	l.followRoutes()
	l.play(tick{})
	l.retryMeetings()
	l.expire()
	l.watch(l.now())
	l.checkConfirmed(l.now())
	l.watchDrains(l.now())
}

// wake is called when the machine woke up.
func (l *loop) wake(asleep time.Duration) {
	l.slept(asleep)
	l.gobgp.hurry()
	l.http.hurry()
	l.play(woke{asleep})
	l.mend(true)
	l.followKeys()
	l.locate()
	l.announce()
	l.applyRoutes()
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

// settled returns a channel that is closed when no tunnel is being opened or closed.
func (l *loop) settled() <-chan struct{} {
	done := make(chan struct{})
	if !l.m.busy() {
		close(done)
		return done
	}
	l.waiting = append(l.waiting, done)
	return done
}

// announce brings the speaker in line with the local prefixes.
func (l *loop) announce() {
	a := l.cfg.Announce
	found := l.locals.Locals(link.Redistribute(a.Redistribute), a.Interfaces, l.isTunnel)
	l.home = announced(a.Networks, found)
	if l.state.setNoIPv6(!l.hasIPv6()); l.state.noIPv6 {
		l.home = slices.DeleteFunc(l.home, isIPv6)
	}
	l.setOwn()
	l.setSources()
	l.setUnreachable()
	l.protect()
	l.want()
}

// want tells the speaker all that it is to do.
func (l *loop) want() { l.do(l.m.neighbors()) }

func (l *loop) isTunnel(ifname string) bool { return l.m.isTunnel(ifname) }
