package external

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"warren/tunnel"
	"warren/tunnel/internal/ping"
	"warren/tunnel/internal/report"
)

// Config says which interface to watch, and how.
type Config struct {
	Name      string // of the peer, for events
	Interface string

	// Look sees the interface of that name, in the network namespace of the
	// daemon. It is called once every Keepalive, and after each Status, in Run's goroutine. An error means that the kernel could not be asked.
	Look func(name string) (Sight, error)

	// Addresses are those that the interface should have, host part included.
	// If there are any, PeerAddress is in the subnet of one of them.
	Addresses   []netip.Prefix
	PeerAddress netip.Addr // where the peer is inside the tunnel, without a zone

	// Beside is where the peer is too, of the other kind than PeerAddress, as a peer may lack IPv6: with Ping, an
	// answer from either means that it lives. One of Addresses is this end's. Invalid: there is no such address.
	Beside netip.Addr

	// Own is that the interface belongs to who watches: nothing that it lacks is for the operator to do.
	Own bool

	// AddAddresses gives the interface, which has that index now, addresses
	// that it lacks. It is called in Run's goroutine, and again if they
	// disappear. May be nil if there are no Addresses.
	AddAddresses func(index int, lacking []netip.Prefix) error

	Ping      bool          // send ICMP echoes to PeerAddress; otherwise the interface's state decides alone
	Keepalive time.Duration // between looks at the interface, and between echoes
	DeadAfter time.Duration // without a reply: down. At least twice Keepalive; only with Ping

	// Now is the clock by which the peer is silent. It should go on while the machine
	// sleeps, and is not asked for dates. nil is [time.Now], which stops then.
	Now func() time.Time

	// Events is told when the tunnel comes up and goes down. It must not
	// block. Of the event's fields, Remote, Local and Peer stay zero.
	Events func(tunnel.Event)
	Logger *slog.Logger // nil discards
}

// Link follows one interface. Run's goroutine does all the work; Status and
// LocalAddress may be called from any.
type Link struct {
	cfg     Config
	log     *slog.Logger
	newPing func(ifname string, local, peer netip.Addr) (pinger, error)

	// Of the goroutine of Run.
	index  int         // of the interface that was seen last and could be used
	blind  bool        // the interface could not be looked at, while it was up
	pings  [2]pinger   // to PeerAddress, to Beside; nil while there is nothing to ping through
	alive  int         // by which of the two the peer has answered last
	silent *time.Timer // fires DeadAfter after the last sign of life
	heard  time.Time   // when that was
	asked  time.Time   // when the first echo was sent since then; zero: none was

	answeredOnce bool // the peer does answer pings

	localBeside netip.Addr // this end's address for Beside

	woken  chan struct{} // capacity 1: the machine woke up, or the peer is to be asked at once
	count  chan struct{} // capacity 1: somebody has seen the counters, and may want later ones
	ways   chan struct{} // capacity 1: lost has changed
	report *report.Report
	mu     sync.Mutex
	local  netip.Addr
	speaks ends         // at which the peer has answered last
	lost   string       // why nothing reaches the far end; "": something may
	stats  tunnel.Stats // as seen last
}

// pinger is what Link needs of [ping.Pinger].
type pinger interface {
	Send() error
	Answers() <-chan ping.Answer
	Close()
}

func newPing(ifname string, local, peer netip.Addr) (pinger, error) {
	return ping.Open(ifname, local, peer)
}

// New makes a link. The interface need not exist.
func New(c Config) (*Link, error) {
	switch {
	case c.Interface == "":
		return nil, errors.New("external: no interface")
	case c.Look == nil:
		return nil, fmt.Errorf("external: %s: no Look", c.Name)
	case !c.PeerAddress.IsValid() || c.PeerAddress.Zone() != "":
		return nil, fmt.Errorf("external: %s: peer address %s: must be an address without a zone", c.Name, c.PeerAddress)
	case c.Keepalive <= 0 || c.Ping && c.DeadAfter < 2*c.Keepalive:
		return nil, fmt.Errorf("external: %s: keepalive %v and dead_after %v: the second must be at least twice the first", c.Name, c.Keepalive, c.DeadAfter)
	case len(c.Addresses) > 0 && c.AddAddresses == nil:
		return nil, fmt.Errorf("external: %s: addresses, and nobody to add them", c.Name)
	}
	var beside netip.Addr
	if c.Beside.IsValid() {
		var problem string
		if beside, problem = localAddress(c.Interface, c.Addresses, c.Beside); problem != "" {
			return nil, fmt.Errorf("external: %s: %s", c.Name, problem)
		}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Link{
		cfg: c, log: c.Logger.With("peer", c.Name, "interface", c.Interface),
		newPing: newPing, localBeside: beside,
		woken: make(chan struct{}, 1), count: make(chan struct{}, 1), ways: make(chan struct{}, 1),
		report: report.New("external", c.Interface, 0),
	}, nil
}

// Run follows the interface until ctx is done. It never fails: whatever is
// wrong with the interface, its owner may put right.
func (l *Link) Run(ctx context.Context) error {
	l.report.SetState(time.Now(), tunnel.StateWaiting)
	tick := time.NewTicker(l.cfg.Keepalive)
	defer tick.Stop()
	l.silent = time.NewTimer(l.cfg.DeadAfter)
	l.silent.Stop()
	defer l.stopPings()
	l.glance()
	for {
		select {
		case <-l.silent.C: // first: a look that takes longer than a keepalive has the next one always due
			l.silence()
		default:
		}
		select {
		case <-ctx.Done():
			l.down(tunnel.StateDown, "stopped")
			return nil
		case <-tick.C:
			l.glance()
		case a := <-l.answers(0):
			l.answered(0, a)
		case a := <-l.answers(1):
			l.answered(1, a)
		case <-l.silent.C:
			l.silence()
		case <-l.woken:
			l.awake()
		case <-l.ways:
			l.wayChanged()
		case <-l.count:
			if s, err := l.cfg.Look(l.cfg.Interface); err == nil {
				l.setStats(s.stats())
			}
		}
	}
}

// Wake is called when the machine woke up from a sleep: whether the peer was silent for too
// long is decided then, and it is asked at once. Timers, which have slept too, would do so
// later. It may be called at any time to have the peer asked at once.
func (l *Link) Wake() {
	select {
	case l.woken <- struct{}{}:
	default: // it has not yet dealt with the last time
	}
}

func (l *Link) awake() {
	if l.cfg.Ping && l.report.IsUp() && l.cfg.Now().Sub(l.heard) >= l.cfg.DeadAfter {
		l.silent.Stop()
		l.unanswered()
	}
	l.glance()
}

// Status returns how the tunnel is now. Its counters are the interface's own, as of the last look at it, and begin
// again when that is made again. It does not wait for a look, which takes long while the kernel is busy with the routes of
// a large table (both take the lock of rtnetlink); but one follows, so that who asks again and again has them of the
// time before at the latest, and who asks once those of a Keepalive ago.
func (l *Link) Status() tunnel.Status {
	select {
	case l.count <- struct{}{}:
	default: // one follows anyway
	}
	s := l.report.Status()
	l.mu.Lock()
	defer l.mu.Unlock()
	s.Stats = l.stats
	return s
}

func (l *Link) setStats(s tunnel.Stats) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stats = s
}

// ends are an address of this end and one of the peer's, without zones.
type ends struct{ local, peer netip.Addr }

// Speaks returns the two addresses between which the peer has answered a ping last, without zones; the zero Addr before it
// has.
func (l *Link) Speaks() (local, peer netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.speaks.local, l.speaks.peer
}

// LocalAddress is this end's address in the tunnel, without a zone; the zero
// Addr before the tunnel came up for the first time.
func (l *Link) LocalAddress() netip.Addr {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.local
}
