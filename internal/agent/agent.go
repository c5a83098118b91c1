package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"warren/bgp"
	"warren/internal/config"
	"warren/internal/fib"
	"warren/internal/history"
	"warren/internal/httpapi"
	"warren/internal/httpapi/page"
	"warren/internal/link"
	"warren/internal/logging"
	"warren/internal/remains"
	"warren/internal/speaker"
	"warren/internal/status"
	"warren/internal/underlay"
	"warren/internal/underlay/paths"
	"warren/tunnel/boottime"
	"warren/tunnel/tlslink"
	"warren/tunnel/wireguard"
)

// Options are what an Agent is made of.
type Options struct {
	Path    string // of the config
	Version string // of the program
	Log     *logging.Log

	// Handover is what the daemon before has left in this process (package handover); nil: there was none.
	Handover []byte
	// Program is the file of the program that `warren restart` starts.
	Program string

	// OverrideLog returns what holds of the log where the config says c; nil
	// is c itself.
	OverrideLog func(c config.Log) config.Log
}

// Agent is the daemon. Make it with [New], then call [Agent.Run] once.
type Agent struct {
	opts Options
	log  *slog.Logger
	cfg  *config.Config

	left       *left // by the daemon before; nil: nothing, or who asked for it was answered
	restarting sync.Mutex
	// Parts that `warren restart` leaves to the next daemon.
	server    *status.Server
	tls       *tlslink.Endpoint
	wireguard *wireguard.Endpoint
	speaker   *speaker.Speaker
	flowHash  *link.FlowHash

	wireguards wireguards
}

// New loads the config and sets up the log as it says. Nothing else is touched
// before Run. The error of a bad config is a config.Errors.
func New(o Options) (*Agent, error) {
	cfg, err := Load(o.Path)
	if err != nil {
		return nil, err
	}
	a := &Agent{opts: o, log: o.Log.Logger(), cfg: cfg, flowHash: new(link.FlowHash), wireguards: kernelWireGuards()}
	a.setLog(cfg.Log)
	if a.left, err = parseLeft(o.Handover); err != nil {
		return nil, err
	}
	if a.left != nil {
		a.flowHash = link.ResumeFlowHash(a.left.FlowHash)
	}
	return a, nil
}

// Run is the daemon's life: it starts the parts, works until ctx is done or a
// part fails, and then stops them in the reverse order. SIGHUP reloads, SIGUSR1
// has the log go to debug and back.
func (a *Agent) Run(ctx context.Context) (err error) {
	// From the first moment to the last: a signal that nobody takes ends the
	// process, and what it had in the kernel stays there. One that comes during
	// the start is taken after it.
	hup, usr1 := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	signal.Notify(usr1, syscall.SIGUSR1)
	defer signal.Stop(hup)
	defer signal.Stop(usr1)
	t := newTasks(a.log)
	defer t.stopAll()
	defer notify(a.log, notifyStopping)

	defer func() {
		if err != nil {
			a.tellRestarted(fmt.Sprintf("the new daemon has ended: %v", err))
		}
	}()
	l, err := a.start(ctx, t)
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		a.log.Info("stopping")
		return nil // told to stop before it had begun
	}
	if err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			a.log.Info("stopping")
			l.history.Add(history.Event{Kind: history.Restart, Cause: "warren was told to stop"})
			return nil
		case err := <-t.failed:
			return err
		case <-hup:
			if _, err := a.reload(ctx, l, bySignal, 0); err != nil {
				a.log.Error("reload failed, nothing was changed", "err", err)
			}
		case <-usr1:
			a.toggleDebug()
		}
	}
}

// start starts the parts in an order that has reasons:
//
//   - the status socket, because only one daemon can have it, and all that
//     follows must not be done by a second one;
//   - the guard, before anything is dialed;
//   - what a killed daemon left is removed before anything new is made;
//   - the tunnels' shared side, then the FIB, then the speaker: when all is
//     stopped, neighbors get their Cease through tunnels that still carry it, then
//     the tunnels go, with which the kernel drops a million routes at once, then
//     the routes that are left.
func (a *Agent) start(ctx context.Context, t *tasks) (*loop, error) {
	l := a.newLoop()
	a.cleanUpKernel(l, t)
	c := status.Config{
		Socket: a.cfg.API.Socket,
		Source: func(ctx context.Context) (status.Status, error) { return l.snapshot(ctx) },
		Reload: func(ctx context.Context, uid int64) (status.ReloadResult, error) {
			r, err := a.reload(ctx, l, uid, 0)
			return reloadResult(r.lines, err), nil
		},
		Foresee: l.foretellFor,
		Try: func(ctx context.Context, uid int64, within time.Duration) (status.ReloadResult, error) {
			r, err := a.reload(ctx, l, uid, within)
			result := reloadResult(r.lines, err)
			result.GoesBack = status.At(r.goesBack)
			return result, nil
		},
		Confirm: l.confirmFor,
		Undo: func(ctx context.Context, uid int64) (status.ReloadResult, error) {
			r, err := a.change(ctx, l, func() (reloaded, error) { lines, err := l.undo(uid); return reloaded{lines: lines}, err })
			return reloadResult(r.lines, err), nil
		},
		Restart: func(ctx context.Context, leave func() (*os.File, error)) (status.RestartResult, error) {
			return a.restart(ctx, l, leave), nil
		},
		Do: func(ctx context.Context, o status.Order, uid int64) (status.OrderResult, error) {
			return a.operate(ctx, l, o, uid)
		},
		Routes:      func(ctx context.Context, of netip.Prefix) (status.Routes, error) { return l.waysOf(ctx, of) },
		Why:         l.why,
		SetLogLevel: a.setLogLevel,
		History:     l.history,
		Logger:      a.log,
	}
	if a.left != nil {
		c.Resume = &a.left.Socket
	}
	server, err := status.New(c)
	if err != nil {
		return nil, err
	}
	a.server = server
	if err := t.startReady(ctx, "status socket", server); err != nil {
		return nil, withRights(err, os.Geteuid())
	}
	t.start("history", l.history.Run)
	l.history.Add(a.startEvent())
	ways := paths.New(underlay.Mark, a.log)
	g, err := a.startGuard(ctx, t, ways)
	if err != nil {
		return nil, err
	}
	l.guard = g
	a.warn(a.cfg) // while the interfaces are others'
	if err := a.startInterfaces(l, t, g, ways); err != nil {
		return nil, err
	}
	if err := a.startRoutes(ctx, l, t); err != nil {
		return nil, err
	}
	a.startSpeaker(l, t)
	return l, a.startLoop(ctx, l, t)
}

func (a *Agent) newLoop() *loop {
	l := &loop{
		log:    a.log,
		cfg:    a.cfg,
		load:   func() (*config.Config, error) { return Load(a.opts.Path) },
		setLog: a.setLog,

		logChange: a.logChange,
		note:      a.noteRemains,

		version: a.opts.Version,
		started: time.Now(),
		m:       newMachine(),
		handles: newHandles(),
		state:   newState(),
		feed:    newFeed(),
		rising:  map[string]bool{},
		inbox:   inbox{signal: make(chan struct{}, 1)},
		request: make(chan func(context.Context)),
		begun:   make(chan struct{}),

		resuming: newResumption(a.left),
		left:     newLeftovers(a.left),

		forwarding: link.Forwarding,
		hasIPv6:    link.HasIPv6,
		hashPorts:  a.flowHash.SetByPorts,
		leads:      link.LeadsTo,
		segments:   link.SegmentsBetween,
		quiet:      map[string]*quiet{},
		beside:     listenIPv4,
		now:        time.Now,
		date:       func(t time.Time) time.Time { return t },

		accepted: map[string]*accepted{},

		invitations: newInvitations(),
	}
	l.history = a.takeHistory(func(err error) { l.inbox.put(tried{subject{kind: kindHistory}, err}) })
	l.history.SetFile(historyFile(a.cfg))
	server := httpapi.New(httpapi.Config{
		Source: httpSource{l}, Version: a.opts.Version, Logger: a.log,
		Page: func(s httpapi.Source) httpapi.Page { return page.New(s, a.log) },
	})
	l.http = newHTTPPort(a.cfg.API.HTTP, server.Serve, func(err error) { l.inbox.put(tried{subject{kind: kindHTTPPort}, err}) })
	return l
}

// withRights completes the first error that a daemon gets which an ordinary user has started.
func withRights(err error, user int) error {
	if user == 0 || !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return fmt.Errorf("%w: run it as root; or with CAP_NET_ADMIN, CAP_NET_RAW and CAP_NET_BIND_SERVICE, and with api.socket in a directory of its user's", err)
}

func historyFile(c *config.Config) history.File {
	return history.File{Path: c.History.File, MaxSize: c.History.MaxSize}
}

func (a *Agent) startGuard(ctx context.Context, t *tasks, ways *paths.Watcher) (*underlay.Guard, error) {
	c := guardConfig(a.cfg)
	c.Logger, c.Heard = a.log, ways.Heard
	g, err := underlay.New(c)
	if err != nil {
		return nil, err
	}
	if a.left != nil {
		a.left.expect(a.cfg, g)
	}
	return g, t.startReady(ctx, "underlay guard", g)
}

// startInterfaces starts what has to do with interfaces: the watcher of local
// prefixes, and the transports' shared sides.
func (a *Agent) startInterfaces(l *loop, t *tasks, g *underlay.Guard, ways *paths.Watcher) error {
	stale, err := link.RemoveStale(isOurs)
	if err == nil && a.left == nil {
		var more []string
		more, err = a.wireguards.removeAll(kernelSuffix(a.cfg.Path), nil)
		stale = append(stale, more...)
	}
	if err != nil {
		return err
	}
	if len(stale) > 0 {
		a.log.Warn("removed tunnel interfaces that a killed daemon left behind", "interfaces", stale)
	}
	watcher, err := link.NewWatcher(link.WatcherConfig{Owned: []int{a.cfg.FIB.Protocol}, Logger: a.log})
	if err != nil {
		return err
	}
	l.locals = watcher
	t.start("link watcher", watcher.Run)
	clock := boottime.New()
	l.woke, l.date = clock.Woke(), clock.DateNow
	l.history.SetDate(clock.DateNow)
	t.start("clock", clock.Run)
	t.start("underlay paths", ways.Run)

	var resume *tlslink.EndpointHandover
	var resumeWireGuard *wireguard.EndpointHandover
	if a.left != nil {
		resume, resumeWireGuard = a.left.TLS, a.left.WireGuard
	}
	endpoint := tlslink.NewEndpoint(tlslink.Config{
		Resume:      resume,
		Certificate: a.cfg.TLS.Certificate,
		Identity:    identity(a.cfg),
		Control:     g.Control(""),
		Now:         clock.Now,
		Logger:      a.log,
	})
	endpoint.SetServerName(a.cfg.TLS.ServerName)
	a.tls = endpoint
	t.start("tls transport", endpoint.Run)
	wg := wireguard.NewEndpoint(wireguard.Config{
		PrivateKey: wireguardKey(a.cfg.WireGuard),
		Control:    g.Control,
		Resume:     resumeWireGuard,
		Listens:    g.ListensUDP,
		Leaves:     g.LeavesUDP,
		Now:        clock.Now,
		Date:       clock.Date,
		Logger:     a.log,
	})
	a.wireguard = wg
	t.start("wireguard transport", func(ctx context.Context) error {
		select {
		case <-l.begun: // what comes before waits in the sockets
			wg.DropInherited()
			return wg.Run(ctx)
		case <-ctx.Done():
			return nil
		}
	})
	tunnels := &interfaces{
		tls: endpoint, wireguard: wg, wireguards: a.wireguards, guard: g, paths: ways,
		now: clock.Now, log: a.log, left: l.left, path: a.cfg.Path,
	}
	l.left.also(tunnels.dropKernel)
	l.listen, l.tunnels = tunnels, tunnels
	return nil
}

func (a *Agent) startRoutes(ctx context.Context, l *loop, t *tasks) error {
	c := fibConfig(a.cfg)
	c.Logger = a.log
	f, err := fib.New(c)
	if err != nil {
		return err
	}
	a.noteRemains(a.cfg)
	t.cleanup("fib", removeTimeout, func() {
		ctx, cancel := context.WithTimeout(context.Background(), removeTimeout)
		defer cancel()
		var keep []fib.Change
		if a.cfg.FIB.KeepUnreachable {
			keep = nowhere(&l.state)
		}
		err := errors.Join(f.Cleanup(ctx, keep...), f.Close())
		if err != nil {
			a.log.Error("cannot remove the owned routes", "err", err)
			return
		}
		if err := remains.Forget(a.cfg.API.Socket); err != nil {
			a.log.Warn("cannot take a note back", "err", err)
		}
	})
	// What must not take another way does not from now on, between a killed daemon
	// and this one too.
	l.setUnreachable()
	l.routes = f
	if l.resuming == nil {
		if err := a.removeStaleRoutes(ctx, l, f); err != nil {
			return err
		}
	}
	t.cleanup("flow hash", stopTimeout, func() {
		if err := l.hashPorts(false); err != nil {
			a.log.Warn("cannot set the kernel's flow hash back", "err", err)
		}
	})
	t.cleanup("tunnels", stopTimeout, func() { l.close("the router is shutting down") })
	if l.resuming == nil {
		t.start("fib", f.Run)
		return nil
	}
	// The kernel has the routes. They are looked at when all is known again that they follow from.
	back := l.resuming.done
	t.start("fib", func(ctx context.Context) error {
		select {
		case <-back:
			return f.Run(ctx)
		case <-ctx.Done():
			return nil
		}
	})
	return nil
}

// removeStaleRoutes removes what a killed daemon left.
func (a *Agent) removeStaleRoutes(ctx context.Context, l *loop, f *fib.FIB) error {
	var failed *fib.Error
	if err := f.Cleanup(ctx, desired(&l.state)...); err != nil && (!errors.As(err, &failed) || failed.Removals()) {
		return fmt.Errorf("remove what a killed daemon left: %w", err)
	}
	return nil
}

func (a *Agent) startSpeaker(l *loop, t *tasks) {
	c := speakerConfig(a.cfg)
	c.Logger = a.log
	if a.left != nil {
		c.Resume = a.left.Speaker
	}
	c.OnEvent = func(e bgp.Event) { l.inbox.put(spoken{e}) }
	s := speaker.New(c)
	l.speaker, a.speaker = s, s
	t.start("bgp", s.Run)
	if a.cfg.API.Gobgp != "" {
		l.gobgp = &gobgpPort{
			api: a.cfg.API, serve: s.ServeInspection, backOff: backOff, again: make(chan struct{}, 1),
			report: func(err error) { l.inbox.put(tried{subject{kind: kindGobgpPort}, err}) },
		}
		t.start("gobgp port", l.gobgp.Run)
	}
	t.start("http", l.http.Run)
}

func (a *Agent) startLoop(ctx context.Context, l *loop, t *tasks) error {
	var back <-chan struct{} // nil: nothing is taken over
	if l.resuming != nil {
		back = l.resuming.done
	}
	t.start("agent", func(ctx context.Context) error {
		return l.run(ctx, func() { close(l.begun) })
	})
	select {
	case <-l.begun:
	case err := <-t.failed:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
	if back != nil {
		select {
		case <-back:
		case err := <-t.failed:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
		a.log.Info("restart: this daemon goes on where the one before was")
	}
	a.log.Info("running", "name", a.cfg.Name, "asn", a.cfg.ASN, "router_id", a.cfg.RouterID, "peers", len(a.cfg.Peers))
	notify(a.log, notifyReady)
	a.tellRestarted()
	return nil
}

// reload runs one reload in the loop. uid is the user who asked for it, or bySignal.
func (a *Agent) reload(ctx context.Context, l *loop, uid int64, within time.Duration) (reloaded, error) {
	return a.change(ctx, l, func() (reloaded, error) { return l.reloadFor(uid, within) })
}

// change has the loop take another config, and tells systemd when that begins and ends.
func (a *Agent) change(ctx context.Context, l *loop, do func() (reloaded, error)) (r reloaded, err error) {
	notify(a.log, notifyReloading())
	defer notify(a.log, notifyReady)
	var cfg *config.Config
	var settled <-chan struct{}
	if asked := l.ask(ctx, func(context.Context) { r, err = do(); cfg, settled = l.cfg, l.settled() }); asked != nil {
		return r, asked
	}
	if err != nil {
		return r, err
	}
	a.warn(cfg)
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	select {
	case <-settled:
	case <-ctx.Done(): // what cannot be opened is a condition
	}
	if err := l.speaker.Settle(ctx); err != nil {
		r.lines = append(r.lines, fmt.Sprintf("not all is applied yet, and tried again: %v", err))
	}
	return r, nil
}

// settleTimeout is how long a reload waits for tunnels and the speaker to have done what has
// changed. They go on by themselves afterwards.
const settleTimeout = 5 * time.Second
