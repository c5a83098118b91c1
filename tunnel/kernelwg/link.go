package kernelwg

import (
	"context"
	"fmt"
	"log/slog"
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
	// ConnectTimeout is how long the addresses of one remote have for an answer, before the next remote is tried.
	ConnectTimeout time.Duration
	// PersistentKeepalive is how long nothing is sent before an empty packet is, in whole seconds. 0: an end with remotes sends
	// one each 25 s, which keeps the way through a NAT open, and another end none.
	PersistentKeepalive time.Duration
	// Ask is called when a handshake was completed while the tunnel is not up, to have the peer asked at once whether it
	// lives; the answer is told by SetUp. It must not block. nil: nobody is to be asked.
	Ask func()
	// Listens is told the UDP port of the interface, as it is found, each time it is another. It must not block, nor call the
	// Link; may be nil.
	Listens func(port uint16)
	// MTU is the interface's, in bytes, while larger packets are not known to vanish, and SetMTU sets it to what was found out, which
	// is at least what IPv6 demands. Without either nothing is sought.
	MTU    int
	SetMTU func(mtu int) error
	// Paths follows the way to the peer on the underlay; nil: what becomes of it is not known.
	Paths Paths
	// Lost is told why nothing gets to the peer, and with "" that something may again, each time that this changes. It must not
	// block, nor call the Link; may be nil.
	Lost   func(why string)
	Logger *slog.Logger // nil discards
}

// Link is one tunnel. Its methods may be called from any goroutine.
type Link struct {
	cfg     Config
	dev     device
	log     *slog.Logger
	resolve remote.Resolver
	names   remote.Names
	pause   time.Duration // roundsApart, or less in tests

	mu    sync.Mutex
	isUp  bool
	ups   int           // how often it became so
	turn  chan struct{} // closed when isUp changes
	error string        // why no address was of use
	seen  Session       // as the kernel said last
	blind error         // why it could not say more
	port  uint16        // that was told
	way   way
	path  path
	lost  string // that was told
	ended bool   // nothing is followed any more

	found chan struct{} // capacity 1: the way to the peer is another, or there again
}

// Times of an end with remotes.
const (
	usualKeepalive = 25 * time.Second
	roundsApart    = 5 * time.Second        // the beginnings of two rounds through all addresses
	takesAtMost    = 5 * time.Second        // from a handshake until packets have come through
	leastShare     = time.Second            // that an address has for an answer, or connect_timeout if that is less
	lookEach       = 500 * time.Millisecond // whether there was a handshake, during an attempt
)

// New gives the interface its keys and its peer. A peer that it has already with the same keys goes on with its session.
func New(c Config) (*Link, error) {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Ask == nil {
		c.Ask = func() {}
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
		turn: make(chan struct{}), found: make(chan struct{}, 1),
		path: path{news: make(chan struct{}, 1), open: openProber},
	}
	return l, l.dev.adopt()
}

// SetUp says whether packets come through.
func (l *Link) SetUp(up bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if up {
		l.error = ""
	}
	if up != l.isUp {
		if l.isUp = up; up {
			l.ups++
		}
		l.pathMayDiffer()
		close(l.turn)
		l.turn = make(chan struct{})
	}
}

// wait waits until the tunnel is up, or not, for at most a time, and reports whether it is so.
func (l *Link) wait(ctx context.Context, up bool, most time.Duration) bool {
	is, _ := l.waitOr(ctx, up, most, nil)
	return is
}

// waitOr is wait, which ends early when something comes.
func (l *Link) waitOr(ctx context.Context, up bool, most time.Duration, something <-chan struct{}) (is, came bool) {
	late := time.NewTimer(most)
	defer late.Stop()
	for {
		l.mu.Lock()
		now, turn := l.isUp, l.turn
		l.mu.Unlock()
		if now == up {
			return true, false
		}
		select {
		case <-turn:
		case <-something:
			return false, true
		case <-late.C:
			return false, false
		case <-ctx.Done():
			return false, false
		}
	}
}

// Look asks the kernel about the peer. It waits for its turn, which takes long while the kernel writes a large table (both
// take the lock of rtnetlink).
func (l *Link) Look() (Session, error) {
	s, err := l.dev.session()
	l.follow(s.Remote)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.blind = err; err == nil {
		if s.Remote != l.seen.Remote {
			l.pathMayDiffer()
		}
		l.seen = s
	}
	if s.Port != 0 && s.Port != l.port {
		if l.port = s.Port; l.cfg.Listens != nil {
			l.cfg.Listens(s.Port)
		}
	}
	return s, err
}

// Session returns what the kernel said when it was asked last (see [Link.Look]). It does not wait.
func (l *Link) Session() (Session, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seen, l.blind
}

// Error says why nothing gets to the peer, or why no address was of use lately; "": it is not known, or the tunnel is up.
func (l *Link) Error() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.isUp:
		return ""
	case l.lost != "":
		return l.lost
	}
	return l.error
}

// tried notes what has become of the attempts; nil: nothing is wrong.
func (l *Link) tried(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.error = ""
		return
	}
	if text := err.Error(); text != l.error && !l.isUp {
		l.error = text
		l.log.Info("the tunnel is not up", "err", text)
	}
}
