package engine

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/server"

	"warren/bgp"
	"warren/bgp/heap"
	"warren/bgp/sockets"
)

// Config is what a Speaker is made of. It cannot change later.
type Config struct {
	ASN      uint32       // this router's AS number, 1 to 4294967294
	RouterID netip.Addr   // IPv4 form, unique among all peers (RFC 6286)
	Logger   *slog.Logger // nil means slog.Default()

	Connections Connections     // nil means that the speaker opens sockets itself
	OnEvent     func(bgp.Event) // nil, or called from any goroutine; must not block

	// RestartTime is for how long peers are asked to keep this router's routes when it
	// restarts, and for how long it keeps a peer's at most (RFC 4724): up to 4095 s, in
	// whole seconds. 0 means a minute; less than 0 no graceful restart.
	RestartTime time.Duration
	// Restarted says that another Speaker with the same Config has just ended without
	// closing its sessions, and that the kernel has its routes still.
	Restarted bool
}

// A Speaker is one BGP router. Its methods may be called at any time after
// New and from any goroutine; those that change something are carried out one
// after another.
type Speaker struct {
	cfg         Config
	log         *slog.Logger
	port        uint16 // 179, but for tests
	connections Connections
	server      *server.BgpServer
	accept      chan<- net.Conn // into GoBGP; see accept.go

	restartTime time.Duration // Config.RestartTime in use, 0 for none
	synced      chan struct{} // closed by endDeferralLocked

	inspection *inspection // the gobgp command's

	// opMu serialises what changes GoBGP's configuration: neighbors, policy
	// objects, local paths. It is taken before mu and may be held for long.
	opMu     sync.Mutex
	policies *policies

	// mu guards what follows; it is never held across a call into GoBGP.
	mu         sync.Mutex
	neighbors  map[string]*neighbor     // by name
	byAddr     map[netip.Addr]*neighbor // by peer address, without zone
	closing    map[netip.Addr]*neighbor // deleted, but still in GoBGP
	holds      map[string]*hold         // by name of a neighbor
	lastNumber uint32                   // of a neighbor
	rib        rib
	moved      time.Time                   // when a judge has handed something on, or GoBGP has spoken of best paths, last
	announced  map[netip.Prefix]netip.Addr // local prefixes in GoBGP, each with its route origin
	protected  *Protected                  // what judges are told
	wanted     wanted
	failures   map[string]*failure // by neighbor; see announceFailure
	settled    uint64              // the serial of what was last gone through
	passed     chan struct{}       // closed after each pass
	deferring  bool                // after a restart nothing is announced yet; see defer.go
	stopping   bool                // Run has to end
	news       news

	events   chan struct{}      // capacity 1
	kick     chan struct{}      // capacity 1: there is something to reconcile
	cancel   context.CancelFunc // stops background work
	work     sync.WaitGroup     // closing neighbors, restarts
	ctx      context.Context    // of the background work
	releaser heap.Releaser

	reviewing chan struct{} // capacity 1: there is something in rib.review
}

// New starts a speaker with no neighbors; Run must follow, since it is what
// stops it. It fails if GoBGP is not the release this package knows.
func New(cfg Config) (*Speaker, error) { return newSpeaker(cfg, sockets.Port) }

func newSpeaker(cfg Config, port uint16) (*Speaker, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Connections == nil {
		cfg.Connections = sockets.On(port)
	}
	if cfg.OnEvent == nil {
		cfg.OnEvent = func(bgp.Event) {}
	}
	if cfg.ASN == 0 || cfg.ASN == 1<<32-1 {
		return nil, fmt.Errorf("bgp: asn %d: must be from 1 to 4294967294", cfg.ASN)
	}
	if !cfg.RouterID.Is4() || cfg.RouterID.IsUnspecified() {
		return nil, fmt.Errorf("bgp: router_id %s: must be an IPv4 address other than 0.0.0.0", cfg.RouterID)
	}
	if cfg.RestartTime > longestRestartTime {
		return nil, fmt.Errorf("bgp: restart_time %v: must be %v at most", cfg.RestartTime, longestRestartTime)
	}
	s := &Speaker{
		cfg:         cfg,
		log:         cfg.Logger,
		port:        port,
		connections: cfg.Connections,
		neighbors:   make(map[string]*neighbor),
		byAddr:      make(map[netip.Addr]*neighbor),
		closing:     make(map[netip.Addr]*neighbor),
		holds:       make(map[string]*hold),
		rib:         newRIB(cfg.ASN),
		announced:   make(map[netip.Prefix]netip.Addr),
		failures:    make(map[string]*failure),
		passed:      make(chan struct{}),
		synced:      make(chan struct{}),
		events:      make(chan struct{}, 1),
		kick:        make(chan struct{}, 1),
		reviewing:   make(chan struct{}, 1),
	}
	s.restartTime = cfg.restartTime()
	s.deferring = cfg.Restarted && s.restartTime > 0
	if !s.deferring {
		close(s.synced)
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())

	s.server = server.NewBgpServer(server.LoggerOption(s.gobgpLogger(), nil))
	s.inspection = newInspection(s.server)
	s.inspection.correct = s.correct
	accept, err := openAcceptChannel(s.server)
	if err != nil {
		s.server.Stop()
		return nil, err
	}
	s.accept = accept
	go s.server.Serve()
	if err := s.start(); err != nil {
		s.cancel()
		s.server.Stop()
		return nil, err
	}
	return s, nil
}

// start gives GoBGP its global configuration and begins to watch it.
func (s *Speaker) start() error {
	err := s.server.StartBgp(s.ctx, &api.StartBgpRequest{Global: &api.Global{
		Asn:        s.cfg.ASN,
		RouterId:   s.cfg.RouterID.String(),
		ListenPort: -1, // never a listener for everybody; see listen.go
	}})
	if err != nil {
		return fmt.Errorf("bgp: start: %w", err)
	}
	if s.policies, err = newPolicies(s.ctx, s.server); err != nil {
		return err
	}
	err = s.server.WatchEvent(s.ctx, server.WatchEventMessageCallbacks{
		OnBestPath:   s.onBestPath,
		OnPathEor:    s.onPeerEndOfRIB,
		OnPeerUpdate: s.onPeer,
	}, server.WatchBestPath(false), server.WatchPeer(), server.WatchEor(false))
	if err != nil {
		return fmt.Errorf("bgp: watch: %w", err)
	}
	s.work.Go(s.reconcileLoop)
	s.work.Go(s.reviewLoop)
	s.work.Go(s.watchAlive)
	s.work.Go(s.deferUntilSynced)
	return nil
}

// Run blocks until ctx is done, then sends every neighbor a Cease (RFC 4486,
// Administrative Shutdown) and stops. It takes at most about a second longer
// when a neighbor can no longer be reached.
func (s *Speaker) Run(ctx context.Context) error {
	<-ctx.Done()
	stopCtx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	s.mu.Lock()
	s.stopping = true
	s.mu.Unlock()
	s.Want(Wanted{})
	s.waitClosed(stopCtx)
	s.cancel()
	s.work.Wait()
	s.server.Stop()
	return nil
}

const stopTimeout = 3 * time.Second

// Events returns a channel that holds one signal after something changed: a
// route, or a neighbor's state. Signals coalesce; look with TakeChanges and
// Neighbors.
func (s *Speaker) Events() <-chan struct{} { return s.events }

// notify leaves a signal in Events.
func (s *Speaker) notify() {
	select {
	case s.events <- struct{}{}:
	default:
	}
}
