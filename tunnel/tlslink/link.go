package tlslink

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"warren/tunnel"
	"warren/tunnel/internal/remote"
	"warren/tunnel/internal/report"
	"warren/tunnel/tun"
)

// Link is one tunnel. Who owns what:
//
//   - the goroutine of Run has the arbiter, the session and the dial; everything
//     else reaches it through channels;
//   - one goroutine for each queue of the device reads it and sends on the lane
//     that routes names, if there is one; where the lane makes it wait somebody else reads (see pump.go);
//   - each lane of a session has a goroutine that receives and writes to the
//     device, and each session one that sends what is not data (session.go).
type Link struct {
	e   *Endpoint
	cfg LinkConfig // but for Trust, which creds has

	creds atomic.Pointer[[]*credential] // at least one; the first is offered; changed with e.mu held

	congestion atomic.Pointer[string] // of connections from now on

	renewal  renewal
	far      far
	maxLanes int // how many connections are of use to this end

	log  *slog.Logger
	dev  Device
	done chan struct{} // closed when Run returns

	incoming chan *incoming
	greets   chan greetRequest
	dialed   chan dialResult
	laneUps  chan laneResult
	returns  chan returnResult

	restarts  chan *session // whose peer is being restarted
	handovers chan handoverRequest
	carries   chan struct{}
	gate      atomic.Pointer[chan struct{}] // of paused; nil: it is not

	laneJoins chan *lane
	rekeyed   chan struct{} // capacity 1: creds or this router's certificate is another

	woken chan struct{} // capacity 1: the machine woke up
	moved chan struct{} // capacity 1: there is another way to a remote

	// Of the goroutine of Run.
	arb     arbiter
	session *session
	held    *incoming
	dial    *dial
	ways    *ways // to the remotes, since the last dial
	backoff backoff
	book    remote.Book        // of addresses that were of no use
	places  [][]netip.AddrPort // of each of the remotes, as of the last round with it
	back    homeward
	paused  *pause           // nil: it is not
	leaving *handoverRequest // nil: this end stays; its done is nil when it was answered

	resolve remote.Resolver
	names   remote.Names

	// One for each queue of the device, and behind these one for each lane's own queue (choice.go).
	routes   []atomic.Pointer[lane] // nil while down
	waits    []waits
	backlogs []backlog

	senders  []pump                 // of the lanes' own queues; they read nothing
	choice   atomic.Pointer[choice] // nil: packets take the lanes of their queues
	widens   chan struct{}          // capacity 1: see widenEarly
	pumps    *group
	busy     atomic.Int32 // pumps that have read packets which they have not sent
	counters report.Counters

	report *report.Report
	twin   twin
	lost   tunnel.Losses // that the peer says it has, of any of its tunnels

	whereabouts whereabouts                    // for known
	form        form                           // of handshakes
	segments    segments                       // of connections that are dialed
	overdue     atomic.Pointer[string]         // what status says of lanes that cannot be replaced; nil or "": nothing
	otherAt     atomic.Pointer[netip.AddrPort] // by TryFirst
	dialedIt    atomic.Bool                    // this end dialed the session
}

func newLink(e *Endpoint, c LinkConfig, creds []*credential) *Link {
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = remote.DefaultConnectTimeout
	}
	l := &Link{
		resolve: remote.Lookup, back: homeward{every: returnEvery, proof: goodFor},
		e: e, cfg: c, dev: c.Device,
		log:      e.log.With("peer", c.Name, "interface", c.Device.Name()),
		done:     make(chan struct{}),
		incoming: make(chan *incoming),
		greets:   make(chan greetRequest),
		dialed:   make(chan dialResult),
		laneUps:  make(chan laneResult),
		returns:  make(chan returnResult),

		restarts:  make(chan *session),
		handovers: make(chan handoverRequest),
		carries:   make(chan struct{}),

		laneJoins: make(chan *lane),
		rekeyed:   make(chan struct{}, 1),

		woken: make(chan struct{}, 1),
		moved: make(chan struct{}, 1),

		renewal: e.renewal,
		// What a session has begun with holds until it ends: the number of processors may become another (GOMAXPROCS
		// follows the quota of the control group).
		maxLanes: max(lossyLanes, min(MaxLanes, c.Device.Queues(), runtime.GOMAXPROCS(0))),

		routes: make([]atomic.Pointer[lane], c.Device.Queues()+MaxLanes),
		waits:  make([]waits, c.Device.Queues()+MaxLanes),

		backlogs: make([]backlog, c.Device.Queues()+MaxLanes), pumps: newGroup(),
		senders: make([]pump, MaxLanes), widens: make(chan struct{}, 1),
	}
	for q := range l.backlogs {
		l.backlogs[q].link = l
	}
	for n := range l.senders {
		l.senders[n].link, l.senders[n].queue = l, l.laneQueue(n)
	}
	l.creds.Store(&creds)
	l.SetCongestion(c.Congestion)
	l.report = report.New("tls", l.dev.Name(), l.dev.MTU())
	return l
}

// Run works the tunnel until ctx is done or the device fails. It then tells the
// peer, closes the device and takes the link from its endpoint. If ctx has a cause
// ([context.WithCancelCause]) that is what the peer is told.
func (l *Link) Run(ctx context.Context) error {
	defer l.e.removeLink(l)
	defer close(l.done)
	if l.paused == nil {
		l.report.SetState(time.Now(), report.Rest(l.cfg.Remotes))
	}

	if len(l.cfg.Remotes) > 0 {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		go l.lookupAll(ctx)
	}
	for q := range l.dev.Queues() {
		l.pumps.Go(func() error { return l.pump(q) })
	}
	err := l.loop(ctx, l.pumps.failed)
	l.endDial()
	l.ways.end()
	if err == nil {
		l.endSession(goodbye(ctx), true)
	} else {
		l.endSession(err, true)
	}
	if l.paused != nil {
		l.fall(errors.New("stopped"))
	}
	l.letGo(errors.New("this tunnel is being stopped"))
	l.report.SetState(time.Now(), tunnel.StateDown)
	err = errors.Join(err, l.dev.Close())
	l.pumps.Wait()
	return err
}

// goodbye is what the peer is told at a clean stop.
func goodbye(ctx context.Context) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return errors.New("stopped")
}

// loop is where all that happens to a link is decided.
func (l *Link) loop(ctx context.Context, broken <-chan error) error {
	redial := time.NewTimer(0)
	defer redial.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-broken:
			return fmt.Errorf("tlslink: %s: %w", l.cfg.Name, err)
		case <-redial.C:
			l.startDial(ctx)
		case g := <-l.greets:
			l.greet(g)
		case r := <-l.dialed:
			l.dialDone(r)
		case in := <-l.incoming:
			l.arrived(in)
		case r := <-l.laneUps:
			l.laneDialed(r)
		case r := <-l.returns:
			l.returned(ctx, r)
		case ln := <-l.laneJoins:
			l.joined(ln)
		case <-l.rekeyed:
			l.rekey()
		case <-l.session.over():
			l.endSession(l.session.reason(), false)
		case <-l.session.ticks():
			l.lookBack(ctx)
		case <-l.session.deadline():
			if !l.session.checkAlive(false) {
				l.watchEnd(l.e.cfg.Now())
			}
		case why := <-l.session.doubtful():
			l.session.doubt(why)
		case s := <-l.restarts:
			l.peerRestarts(s)
		case <-l.paused.over():
			l.pauseExpired()
		case r := <-l.handovers:
			l.handOver(r)
		case <-l.carries:
			l.carry()
		case <-l.widens:
			l.widenEarly(ctx)
		case <-l.moved:
			l.redial()
		case <-l.woken:
			l.awake(ctx)
		}
		l.handedOver()
		if l.session == nil && l.dial == nil && l.leaving == nil && len(l.cfg.Remotes) > 0 && l.backoff.due {
			redial.Reset(l.backoff.next())
		}
	}
}

// choreEvery is the least time between two looks back. In less than that a burst looks like
// traffic that lasts.
const choreEvery = 100 * time.Millisecond

// choreBusy is the most time between two looks back while there is traffic, however long a keepalive is: what may wait unsent
// follows the path's rate, and lanes open, within a look or two.
const choreBusy = time.Second

// lookEvery is the time between two looks back: a number of keepalives, or choreBusy if that is shorter.
func (l *Link) lookEvery() time.Duration {
	return min(choreBusy, (choreEvery+l.cfg.Keepalive-1)/l.cfg.Keepalive*l.cfg.Keepalive)
}

// isResting reports whether a look back can wait: a tunnel with long keepalives does nothing more often than these while it is
// idle.
func (l *Link) isResting(now time.Duration) bool {
	return now-l.session.looked < l.cfg.Keepalive && l.lookEvery() < l.cfg.Keepalive && l.load() == l.session.load && !l.session.isSending()
}

// lookBack does what need not be done at each keepalive.
func (l *Link) lookBack(ctx context.Context) {
	if l.session.parting.Load() { // nothing begins any more
		return
	}
	now := monotonic()
	if l.isResting(now) {
		return
	}
	l.session.looked = now
	if l.endExhausted() {
		return
	}
	l.noteOverdue(l.e.cfg.Now())
	l.watchSegments(l.e.cfg.Now())
	l.boundAllUnsent()
	l.restBacklogs()
	l.noteKey()
	l.tellSecret()
	l.forgetTwin(l.e.cfg.Now())
	l.widen(ctx)
	l.replaceStalled(ctx)
	l.renew(ctx)
	l.followChoice()
	l.seekFirst(ctx)
}

// arrived answers the hello of a connection that the peer dialed.
func (l *Link) arrived(in *incoming) {
	if !l.accepts(&in.wire.proof) {
		go in.reject(errKeyRemoved.Error())
		return
	}
	if l.leaving != nil {
		go in.reject(errRestart.Error())
		return
	}
	if err := l.prepare(in); err != nil {
		l.fail(fmt.Errorf("prepare the connection from %s: %w", in.wire.remote().Addr(), err))
		go in.reject("this connection cannot be used")
		return
	}
	if in.hello.lane > 0 || l.session != nil && in.hello.session == l.session.id {
		l.laneArrived(in)
		return
	}
	if l.isAnothers(in) {
		go in.reject(errInvitationInUse.Error())
		return
	}
	switch l.arb.incoming(&in.hello) {
	case hold:
		l.letGo(errors.New("replaced by a later connection"))
		l.held = in
	case reject:
		go in.reject("the tunnel is up already")
	case refuse:
		l.refuseTwin(in)
	case replace:
		reason := "the peer began a new session"
		if in.hello.instance != l.arb.peer.instance {
			reason = "the peer was restarted"
		}
		l.endSession(errors.New(reason), false)
		l.acceptSession(in)
	case accept:
		l.endDial()
		l.acceptSession(in)
	}
}

// prepare has the link's Control see a socket that was accepted before anybody knew
// which link it is for. What Config.Control did it has from the listening socket.
func (l *Link) prepare(in *incoming) error {
	if l.cfg.Control == nil || in.wire.raw == nil {
		return nil
	}
	return l.cfg.Control("tcp", in.wire.remote().String(), in.wire.raw)
}

// acceptSession answers an incoming hello with ours and begins the session.
func (l *Link) acceptSession(in *incoming) {
	l.letGo(errors.New("another connection came up"))
	h := l.hello(in.hello.session, 0)
	h.identity = in.wire.proof.local
	if _, err := in.conn.Write(encode(frameHello, h.marshal())); err != nil {
		in.close()
		l.fail(fmt.Errorf("answer the hello of %s: %w", in.wire.remote().Addr(), err))
		l.arb.dialEnded()
		l.backoff.due = true
		return
	}
	in.leave()
	l.begin(newSession(l, in.conn, in.wire, in.hello, false))
}

// letGo refuses the connection that is held, if any.
func (l *Link) letGo(why error) {
	if in := l.held; in != nil {
		l.held = nil
		go in.reject(why.Error())
	}
}

// decideHeld is called when what a connection was held for is over.
func (l *Link) decideHeld() {
	if in := l.held; in != nil {
		l.held = nil
		l.arrived(in)
	}
}

// hello is what this end says of itself. The identity is filled in from the connection.
func (l *Link) hello(session [16]byte, laneNumber int) hello {
	flags := l.e.able
	if l.cfg.Heard != nil {
		flags |= flagBeside
	}
	return hello{
		link:     l.cfg.Link,
		instance: l.e.instance, generation: l.arb.generation,
		session: session, lane: uint8(laneNumber), lanes: uint8(l.maxLanes),
		offload: l.dev.Offload(), mtu: uint32(l.dev.MTU()), maxFrame: tun.MaxFrame,
		keepalive: l.cfg.Keepalive, deadAfter: l.cfg.DeadAfter, flags: flags,
		assigned: l.cfg.Assign,
	}
}

// checkIdentity decides whether a hello may come over this TLS connection.
func checkIdentity(p *proof, h *hello) error {
	if h.identity == p.local {
		return errors.New("connected to itself: the peer has this router's own identity; if it is another machine, it is a copy: give it keys of its own")
	}
	if p.cred.keys == nil && h.identity != CertificateIdentity(p.chain[0].Raw) {
		return protocolError("hello with an identity that is not the certificate's")
	}
	return nil
}

// begin makes a session the one that carries the link.
func (l *Link) begin(s *session) {
	s.speak() // before all that may wait for the kernel
	resumed := l.resumes(s)
	l.arb.established(s.peer)
	l.session = s
	l.ways.end()
	l.dialedIt.Store(s.dialer)
	offload := l.dev.Offload().Intersect(s.peer.offload)
	if err := l.dev.SetOffload(offload); err != nil {
		l.log.Warn("cannot set the offload that both ends have", "err", err)
	}
	if int(s.peer.mtu) != l.dev.MTU() {
		l.log.Warn("the two ends have different MTUs: set the same", "mtu", l.dev.MTU(), "peer_mtu", s.peer.mtu)
	}
	s.load = l.load()
	s.start()
	for q := range l.routes {
		l.routes[q].Store(s.lanes[0])
	}
	if err := l.dev.SetCarrier(true); err != nil {
		l.log.Error("cannot raise the carrier", "err", err)
	}
	l.log.Debug("session up", "remote", s.remote, "dialed", s.dialer, "offload", offload.String())
	l.report.Up(s.began, s.remote)
	l.report.Change(func(t *tunnel.Status) { t.Local, t.Peer, t.Lanes, t.LastError = s.local, s.peer.identity, 1, "" })
	l.noteKey()
	l.meet(s)
	if resumed {
		l.log.Info("the tunnel goes on after a restart", "remote", s.remote)
		l.endPause()
		return
	}
	l.emit(tunnel.Event{Up: true, Time: s.began, Remote: s.remote, Local: s.local, Peer: s.peer.identity, Assigned: s.peer.assigned, Beside: s.peer.beside()})
}

// endSession takes the session down, if there is one: first the carrier, so that
// the kernel stops routing into the tunnel, then the event. With goodbye the peer
// is told the reason.
func (l *Link) endSession(reason error, goodbye bool) {
	s := l.session
	if s == nil {
		return
	}
	if l.paused != nil && !goodbye {
		l.suspend(s)
		return
	}
	if l.paused != nil {
		l.endPause()
	}
	for q := range l.routes {
		l.routes[q].Store(nil)
	}
	if err := l.dev.SetCarrier(false); err != nil && !errors.Is(err, unix.EBADFD) { // gone, which its reader will say
		l.log.Error("cannot drop the carrier", "err", err)
	}
	l.session = nil
	l.choice.Store(nil)
	l.overdue.Store(nil)
	l.arb.ended()
	if goodbye {
		s.sayGoodbye(reason.Error())
	}
	s.close()
	l.backoff.sessionEnded(time.Since(s.began))
	l.leave(s, reason)
	if lost := (*lostWay)(nil); errors.As(reason, &lost) {
		l.backoff.urgent = true // there may be another
	}
	l.log.Debug("session down", "remote", s.remote, "err", reason)
	now := time.Now()
	l.report.Down(now, report.Rest(l.cfg.Remotes), reason.Error())
	l.emit(tunnel.Event{Time: now, Remote: s.remote, Local: s.local, Peer: s.peer.identity, Reason: reason.Error()})
	l.sayLost(s, reason)
}

func (l *Link) emit(ev tunnel.Event) {
	if l.cfg.Events == nil {
		return
	}
	ev.Name = l.cfg.Name
	l.cfg.Events(ev)
}

func newSessionID() (id [16]byte) {
	rand.Read(id[:])
	return id
}
