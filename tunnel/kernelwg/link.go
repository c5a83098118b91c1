package kernelwg

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"warren/tunnel/internal/remote"
)

// Config is one tunnel.
type Config struct {
	Name      string // of the peer
	Interface string // of the type wireguard, which is there
	Control   Control
	Keys      Keys
	Port      uint16 // of UDP at this end; 0: the kernel's choice
	Mark      int    // of the packets that leave by the underlay
	// Remotes are where the peer may be, as host:port; none: it comes.
	Remotes []string
	// RandomOrder has the remotes tried in another order each time, instead of as they are.
	RandomOrder bool
	// ConnectTimeout is how long an address has for an answer, before the next is tried.
	ConnectTimeout time.Duration
	// PersistentKeepalive is how long nothing is sent before an empty packet is, in whole seconds. 0: an end with remotes sends
	// one each 25 s, which keeps the way through a NAT open, and another end none.
	PersistentKeepalive time.Duration
	Logger              *slog.Logger // nil discards
}

// Link is one tunnel. Its methods may be called from any goroutine.
type Link struct {
	cfg     Config
	dev     device
	log     *slog.Logger
	resolve remote.Resolver
	pause   time.Duration // roundsApart, or less in tests

	mu    sync.Mutex
	isUp  bool
	turn  chan struct{} // closed when isUp changes
	error string        // why no address was of use
}

// Times of an end with remotes.
const (
	usualKeepalive = 25 * time.Second
	roundsApart    = 5 * time.Second // the beginnings of two rounds through all addresses
	takesAtMost    = 5 * time.Second // from a handshake until packets have come through
)

// New gives the interface its keys and its peer. A peer that it has already with the same keys goes on with its session.
func New(c Config) (*Link, error) {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.ConnectTimeout <= 0 {
		c.ConnectTimeout = remote.DefaultConnectTimeout
	}
	if err := remote.Check(c.Remotes); err != nil {
		return nil, fmt.Errorf("kernelwg: %s: %w", c.Name, err)
	}
	keepalive := c.PersistentKeepalive
	if keepalive == 0 && len(c.Remotes) > 0 {
		keepalive = usualKeepalive
	}
	l := &Link{
		cfg: c, log: c.Logger.With("peer", c.Name, "interface", c.Interface), resolve: remote.Lookup, pause: roundsApart,
		dev:  device{control: c.Control, name: c.Interface, keys: c.Keys, port: c.Port, mark: c.Mark, keepalive: keepalive},
		turn: make(chan struct{}),
	}
	return l, l.dev.adopt()
}

// SetUp says whether packets come through.
func (l *Link) SetUp(up bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if up != l.isUp {
		l.isUp = up
		close(l.turn)
		l.turn = make(chan struct{})
	}
}

// wait waits until the tunnel is up, or not, for at most a time, and reports whether it is so.
func (l *Link) wait(ctx context.Context, up bool, most time.Duration) bool {
	late := time.NewTimer(most)
	defer late.Stop()
	for {
		l.mu.Lock()
		is, turn := l.isUp, l.turn
		l.mu.Unlock()
		if is == up {
			return true
		}
		select {
		case <-turn:
		case <-late.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// Session returns what the kernel knows of the peer.
func (l *Link) Session() (Session, error) { return l.dev.session() }

// Error says why no address was of use lately; "": it is not known, or the tunnel is up.
func (l *Link) Error() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isUp {
		return ""
	}
	return l.error
}

func (l *Link) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if text := err.Error(); text != l.error {
		l.error = text
		if !l.isUp {
			l.log.Info("the tunnel is not up", "err", text)
		}
	}
}

// forever is longer than anything waits.
const forever = 1 << 62

// Run sees to the peer whenever the tunnel is not up, until ctx is done.
func (l *Link) Run(ctx context.Context) {
	s := seeker{Link: l}
	// A session that was there already is believed for as long as an attempt.
	if seen, err := l.dev.session(); err == nil && !seen.Handshake.IsZero() {
		l.wait(ctx, true, l.cfg.ConnectTimeout)
	}
	for l.wait(ctx, false, forever) && ctx.Err() == nil {
		began := time.Now()
		if len(l.cfg.Remotes) > 0 {
			s.round(ctx)
		} else if err := l.dev.configure(netip.AddrPort{}, false); err != nil { // something else may have changed it
			l.fail(err)
		}
		l.wait(ctx, true, time.Until(began.Add(l.pause)))
	}
}

// seeker goes through the places where the peer may be. It belongs to the goroutine of Run.
type seeker struct {
	*Link
	book remote.Book
	came time.Time // when the tunnel came up last
	at   netip.AddrPort
}

// round tries all addresses once, or until the tunnel is up.
func (s *seeker) round(ctx context.Context) {
	if !s.came.IsZero() {
		s.book.Ended(s.at, time.Since(s.came), time.Now())
		s.came = time.Time{}
	}
	var errs []error
	plan := remote.Plan{
		Remotes: s.cfg.Remotes, Network: "udp", Random: s.cfg.RandomOrder, Patience: s.cfg.ConnectTimeout, Resolve: s.resolve,
	}
	for g := range plan.Groups(ctx, &s.book, func(err error) { errs = append(errs, err) }) {
		for _, at := range remote.Reachable(g.Addrs) {
			up, err := s.try(ctx, at)
			switch {
			case ctx.Err() != nil:
				return
			case up:
				s.at, s.came = at, time.Now()
				return
			case err != nil:
				errs = append(errs, err)
			default:
				errs = append(errs, fmt.Errorf("no answer from %v", at))
			}
			s.book.Failed(at, time.Now())
		}
	}
	s.fail(remote.OneLine(errs))
}

// try has the kernel begin a handshake at an address, and reports whether the tunnel came up by that. Where one
// was completed, packets have some time to come through.
func (s *seeker) try(ctx context.Context, at netip.AddrPort) (up bool, err error) {
	began := time.Now()
	if err := s.dev.configure(at, true); err != nil {
		return false, err
	}
	if s.wait(ctx, true, s.cfg.ConnectTimeout) {
		return true, nil
	}
	seen, err := s.dev.session()
	if err != nil || seen.Handshake.Before(began) {
		return false, err
	}
	if s.wait(ctx, true, takesAtMost) {
		return true, nil
	}
	return false, fmt.Errorf("%v answers handshakes, and nothing comes through", at)
}
