package agent

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"warren/bgp"
	"warren/internal/config"
	"warren/internal/fib"
	"warren/internal/history"
	"warren/internal/link"
	"warren/internal/speaker"
	"warren/internal/underlay"
	"warren/tunnel"
	"warren/tunnel/tlslink"
	"warren/tunnel/wireguard/protocol"
)

// A world is a loop with fakes around it, all of which write what they are
// asked to do to one diary, so that a test sees the order too.
type world struct {
	*loop
	diary   []string
	speaker *fakeSpeaker
	routes  *fakeRoutes
	locals  *fakeLocals
	tunnels *fakeTunnels

	unreachable bool              // what the guard was told
	besides     map[string]func() // what a call of a peer without IPv6 does, by interface

	portErr   error // what setting the port fails with
	keyErr    error // what setting the private key fails with
	swallowed []underlay.Swallowed
	refused   []tunnel.Refusal
	listenErr error // what listening fails with
	admission *tlslink.Admission
	stopped   map[string]bool // interfaces that do not forward, with 4: or 6: before

	// The loop's clock goes on where a test says so alone, however long the test takes.
	began time.Time
	ahead time.Duration

	segments link.Segments // of BGP, over each tunnel
}

func (w *world) note(format string, args ...any) {
	w.diary = append(w.diary, fmt.Sprintf(format, args...))
}

// since returns what was noted after mark.
func (w *world) since(mark int) []string { return w.diary[mark:] }

func newWorld(t *testing.T, cfg *config.Config) *world { return newWorldWith(t, cfg, func(*world) {}) }

// newWorldWith lets prepare change the fakes before the loop begins.
func newWorldWith(t *testing.T, cfg *config.Config, prepare func(*world)) *world {
	t.Helper()
	w := &world{besides: map[string]func(){}, began: time.Now()}
	w.speaker = &fakeSpeaker{w: w, neighbors: map[string]bgp.Neighbor{}, changes: map[netip.Prefix]bgp.Route{}}
	w.routes = &fakeRoutes{w: w, wanted: map[netip.Prefix]fib.Change{}, hops: map[string]fib.Hop{}, late: map[string]bool{}}
	w.locals = &fakeLocals{}
	w.tunnels = &fakeTunnels{w: w, open: map[string]reporter{}, fail: map[string]error{}}
	w.loop = &loop{
		log: slog.New(slog.DiscardHandler), speaker: w.speaker, routes: w.routes, locals: w.locals,
		guard: fakeGuard{w}, tunnels: w.tunnels, listen: fakeListener{w},
		cfg: cfg, load: func() (*config.Config, error) { return nil, errors.New("no file") },
		setLog: func(config.Log) {}, note: func(*config.Config) {}, logChange: func(config.Log) string { return "" }, m: newMachine(), handles: newHandles(), ready: func() {},
		started: w.began, state: newState(), feed: newFeed(), rising: map[string]bool{}, accepted: map[string]*accepted{},
		now:   func() time.Time { return w.began.Add(w.ahead) },
		date:  func(t time.Time) time.Time { return t },
		inbox: inbox{signal: make(chan struct{}, 1)}, request: make(chan func(context.Context)),
		forwarding: func(v4 bool, ifname string) (bool, error) {
			if v4 {
				return !w.stopped["4:"+ifname], nil
			}
			return !w.stopped["6:"+ifname], nil
		},
		invitations: newInvitations(),
		history:     history.New(func(error) {}),
		http:        newHTTPPort("", nil, func(error) {}),
		quiet:       map[string]*quiet{},
		segments: func(pairs [][2]netip.Addr, _ uint16) ([]link.Segments, error) {
			all := make([]link.Segments, len(pairs))
			for i := range all {
				all[i] = w.segments
			}
			return all, nil
		},
		hasIPv6:   func() bool { return !w.tunnels.noIPv6 },
		hashPorts: func(bool) error { return nil },
		beside: func(ifname string, e ends, called func()) (func(), error) {
			w.besides[ifname] = called
			return func() { delete(w.besides, ifname) }, nil
		},
	}
	w.handles.begin = func(f func()) { f() } // its result waits in the inbox
	prepare(w)
	// What run does first, without the loop itself: a test plays the events.
	w.begin()
	w.turn()
	return w
}

// turn takes all that waits in the inbox.
func (w *world) turn() {
	for {
		w.inbox.mu.Lock()
		n := len(w.inbox.inputs)
		w.inbox.mu.Unlock()
		if n == 0 {
			return
		}
		w.takeInbox()
	}
}

// again is a time after which all that failed is due to be tried again.
func (w *world) again() {
	w.ahead += 2 * maxRetry
	w.retry()
	w.turn()
}

func (w *world) mends(all bool) {
	w.mend(all)
	w.turn()
}

// attachment returns the one of that name.
func (w *world) attachment(name string) (found *attachment) {
	w.m.all(func(a *attachment) {
		if a.name == name {
			found = a
		}
	})
	return found
}

// wrong returns what conditions there are, as kinds with their peers' names.
func (w *world) wrong() (texts []string) {
	for _, c := range w.m.conditions.shown() {
		texts = append(texts, strings.TrimSpace(string(c.kind)+" "+c.peer))
	}
	return texts
}

func (w *world) up(t *testing.T, name string) {
	t.Helper()
	w.tunnels.report(t, name).event(tunnel.Event{Name: name, Up: true, Local: tunnel.Identity{1}, Peer: tunnel.Identity{2}})
	w.turn()
}

func (w *world) down(t *testing.T, name string) {
	t.Helper()
	w.tunnels.report(t, name).event(tunnel.Event{Name: name, Reason: "test"})
	w.turn()
}

func (w *world) learns(t *testing.T, prefix, neighbor string) {
	t.Helper()
	p := netip.MustParsePrefix(prefix)
	w.speaker.changes[p] = way(p, neighbor)
	w.learn()
	w.applyRoutes()
}

// way is the route to p by one neighbor, or by none.
func way(p netip.Prefix, neighbor string) bgp.Route {
	r := bgp.Route{Prefix: p}
	if neighbor != "" {
		r.Ways = []bgp.Way{{Neighbor: neighbor}}
	}
	return r
}

type fakeSpeaker struct {
	families  [2]bgp.Counts // of each neighbor
	w         *world
	neighbors map[string]bgp.Neighbor
	announced []netip.Prefix
	protected *bgp.Protected
	changes   map[netip.Prefix]bgp.Route
	since     time.Time         // of each session
	states    map[string]string // of neighbors whose session is not established
	complete  map[string]bool   // neighbors with which all routes are exchanged
	stale     map[string]bool   // and those that routes of an earlier session are kept of
	received  map[string]int    // prefixes from neighbors
	fails     string            // what each neighbor's status says
	process   speaker.Status
	farewells map[string]bgp.Farewell
	blocked   time.Time // since when there is no answer from any; zero: there is
	ending    func()    // called when neighbors are gone that it had; nil: by nobody
}

// Want notes what is another than it was.
func (s *fakeSpeaker) Want(w bgp.Wanted) {
	next := make(map[string]bgp.Neighbor, len(w.Neighbors))
	for _, n := range w.Neighbors {
		next[n.Name] = n
	}
	had := len(s.neighbors)
	for _, name := range slices.Sorted(maps.Keys(s.neighbors)) {
		if n, ok := next[name]; !ok || n.Generation != s.neighbors[name].Generation || n.ASN != s.neighbors[name].ASN {
			s.w.note("delete neighbor %s", name)
			delete(s.neighbors, name)
		}
	}
	if s.ending != nil && len(s.neighbors) < had {
		s.ending()
	}
	for _, name := range slices.Sorted(maps.Keys(next)) {
		n := next[name]
		switch old, ok := s.neighbors[name]; {
		case !ok:
			s.w.note("add neighbor %s", name)
		case !n.Import.Equal(old.Import) || !n.Export.Equal(old.Export) || n.MaxPrefixes != old.MaxPrefixes:
			s.w.note("policy %s import %v export %v limit %d", name, n.Import, n.Export, n.MaxPrefixes)
		}
	}
	s.neighbors, s.announced, s.protected = next, w.Announced, w.Protected
	s.farewells = w.Farewells
}

func (s *fakeSpeaker) TakeUp() error { return nil }

func (s *fakeSpeaker) Settle(context.Context) error { return nil }

func (s *fakeSpeaker) Part(context.Context) { s.w.note("sessions have ended") }

func (s *fakeSpeaker) Explain(_ context.Context, q bgp.Question) (bgp.Explanation, error) {
	return bgp.Explanation{Prefix: q.Of}, nil
}

func (s *fakeSpeaker) TakeChanges(most int) (changes map[netip.Prefix]bgp.Route, more bool) {
	changes = map[netip.Prefix]bgp.Route{}
	for p, r := range s.changes {
		if len(changes) == most {
			return changes, true
		}
		changes[p] = r
		delete(s.changes, p)
	}
	return changes, false
}

func (s *fakeSpeaker) Neighbors() (all []bgp.NeighborStatus) {
	for name := range s.neighbors {
		var until time.Time
		if s.stale[name] {
			until = s.w.now().Add(time.Minute)
		}
		if !s.blocked.IsZero() {
			all = append(all, bgp.NeighborStatus{Name: name, State: "active", Unanswered: s.blocked})
			continue
		}
		all = append(all, bgp.NeighborStatus{
			Name: name, State: cmp.Or(s.states[name], stateEstablished), Since: s.since, LastError: s.fails,
			Received: s.received[name], RestartUntil: until, Families: s.families, EndOfRIB: s.complete[name], Delivered: s.complete[name],
		})
	}
	return all
}

func (s *fakeSpeaker) SetLimits(memoryMax int64, restartTime time.Duration) {
	s.w.note("limits %d %v", memoryMax, restartTime)
}

func (s *fakeSpeaker) Status() speaker.Status { return s.process }

func (s *fakeSpeaker) Events() <-chan struct{} { return nil }

// fakeRoutes notes the routes that can be used of what is wanted, when they change.
type fakeRoutes struct {
	w      *world
	wanted map[netip.Prefix]fib.Change
	hops   map[string]fib.Hop
	late   map[string]bool
	want   []string
	err    error

	sources   sources
	noObjects bool
}

func (r *fakeRoutes) Apply(changes ...fib.Change) {
	for _, c := range changes {
		r.wanted[c.Prefix] = c
	}
	r.note()
}

func (r *fakeRoutes) SetHop(name string, h fib.Hop) {
	r.hops[name] = h
	r.note()
}

func (r *fakeRoutes) SetLate(neighbor string, late bool) { r.late[neighbor] = late }

func (r *fakeRoutes) note() {
	texts := []string{}
	for prefix, c := range r.wanted {
		var usable []string
		for _, x := range c.Ways {
			if h, known := r.hops[x.Interface]; known && !h.Down {
				if x.Gateway.IsValid() {
					x.Interface += " via " + x.Gateway.String()
				}
				usable = append(usable, x.Interface)
			}
		}
		if len(usable) > 0 {
			texts = append(texts, prefix.String()+" dev "+strings.Join(usable, ","))
		}
		if c.Unreachable {
			texts = append(texts, prefix.String()+" unreachable")
		}
	}
	slices.Sort(texts)
	if !slices.Equal(texts, r.want) {
		r.w.note("routes %v", texts)
	}
	r.want = texts
}

func (r *fakeRoutes) Status() (fib.Result, error) { return fib.Result{Installed4: len(r.want)}, r.err }

func (r *fakeRoutes) Changed() <-chan struct{} { return nil }

func (r *fakeRoutes) HasObjects() bool { return !r.noObjects }

func (r *fakeRoutes) SetSources(v4, v6 netip.Addr) error {
	if next := (sources{v4, v6}); next != r.sources {
		r.w.note("sources %v %v", v4, v6)
		r.sources = next
	}
	return nil
}

type fakeLocals struct {
	hosts             []link.Host
	locals, connected []netip.Prefix
	gateways          []netip.Addr
	interfaces        map[string]link.Interface
	looked            time.Time // at the interfaces
}

func (f *fakeLocals) Changed() <-chan struct{} { return nil }
func (f *fakeLocals) Locals(link.Redistribute, []string, func(string) bool) []netip.Prefix {
	return f.locals
}
func (f *fakeLocals) Connected() []netip.Prefix { return f.connected }
func (f *fakeLocals) Hosts() []link.Host        { return slices.Clone(f.hosts) }
func (f *fakeLocals) Gateways() []netip.Addr    { return f.gateways }
func (f *fakeLocals) Interfaces() (map[string]link.Interface, time.Time) {
	return f.interfaces, f.looked
}

type fakeGuard struct{ w *world }

func (g fakeGuard) SetTunnels(names []string) { g.w.note("guard %v", names) }

func (g fakeGuard) SetUnreachable(some bool) { g.w.unreachable = some }

func (g fakeGuard) Swallowed() []underlay.Swallowed { return g.w.swallowed }

type fakeListener struct{ w *world }

func (l fakeListener) SetListen(a []netip.AddrPort) error {
	l.w.note("listen %v", a)
	return l.w.listenErr
}

func (l fakeListener) Refusals(since time.Time) []tunnel.Refusal {
	return slices.DeleteFunc(slices.Clone(l.w.refused), func(r tunnel.Refusal) bool { return r.Last.Before(since) })
}

func (l fakeListener) SetAdmission(a *tlslink.Admission) { l.w.admission = a }

func (l fakeListener) SetServerName(name string) { l.w.note("server name %s", name) }

func (l fakeListener) SetCertificate(c *tls.Certificate) { l.w.note("certificate %t", c != nil) }

func (l fakeListener) SetPrivateKey(k protocol.PrivateKey) error {
	l.w.note("private key %d", k[0])
	return l.w.keyErr
}

func (l fakeListener) SetPort(port uint16) error {
	l.w.note("port %d", port)
	return l.w.portErr
}

// fakeTunnels opens tunnels that do nothing. open holds how to report for
// those that are open, fail what opening an interface fails with.
type fakeTunnels struct {
	addressErr error // what giving addresses fails with
	w          *world
	mu         sync.Mutex // several are opened at once
	open       map[string]reporter
	fail       map[string]error
	changed    map[string][]string      // what Mend finds, by peer
	waits      map[string]time.Time     // since when, of tunnels that are not up
	lost       map[string]error         // what Mend fails with, by peer
	says       map[string]tunnel.Status // of tunnels that are up
	keysErr    error                    // what SetTrust fails with
	index      int                      // of each interface
	noIPv6     bool                     // no interface can have it
}

func (f *fakeTunnels) Open(name string, cfg config.Tunnel, r reporter) (tunnelHandle, error) {
	if err := f.fail[name]; err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	// What is opened at once is noted in order.
	i := len(f.w.diary)
	for line := fmt.Sprintf("open %s on %s", name, cfg.Interface); ; i-- {
		if i == 0 || !strings.HasPrefix(f.w.diary[i-1], "open ") || f.w.diary[i-1] < line {
			f.w.diary = slices.Insert(f.w.diary, i, line)
			break
		}
	}
	f.open[name] = r
	return &fakeTunnel{f: f, name: name, cfg: cfg}, nil
}

func (f *fakeTunnels) report(t *testing.T, name string) reporter {
	t.Helper()
	r, ok := f.open[name]
	if !ok {
		t.Fatalf("no tunnel %s is open", name)
	}
	return r
}

type fakeTunnel struct {
	f    *fakeTunnels
	name string
	cfg  config.Tunnel
}

func (t *fakeTunnel) Status() tunnel.Status {
	if since, ok := t.f.waits[t.name]; ok {
		return tunnel.Status{State: tunnel.StateWaiting, Since: since}
	}
	s := t.f.says[t.name]
	s.State = tunnel.StateUp
	return s
}
func (t *fakeTunnel) Ends(ev tunnel.Event) (local, peer netip.Addr, beside ends) {
	local, peer = endpoints(t.cfg, ev.Local, ev.Peer)
	return local, peer, endpoints4(t.cfg, ev.Local, ev.Peer)
}
func (t *fakeTunnel) SetAddresses(locals, assigned []netip.Addr) ([]netip.Prefix, error) {
	if t.f.addressErr != nil {
		return nil, t.f.addressErr
	}
	if t.f.noIPv6 && locals[0].Is6() {
		return nil, link.ErrNoIPv6
	}
	t.f.w.note("addresses %s from %s", t.name, locals[0])
	if len(assigned) > 0 {
		t.f.w.note("assigned to %s: %v", t.name, assigned)
	}
	return append(pairsOf(locals), hosts(assigned)...), nil
}
func (t *fakeTunnel) Index() int { return t.f.index }
func (t *fakeTunnel) Wake()      { t.f.w.note("wake %s", t.name) }
func (t *fakeTunnel) Mend() ([]string, error) {
	t.f.w.note("mend %s", t.name)
	changed := t.f.changed[t.name]
	delete(t.f.changed, t.name)
	return changed, t.f.lost[t.name]
}
func (t *fakeTunnel) SetTrust(cfg config.Tunnel) error {
	t.f.w.note("keys %s", t.name)
	return t.f.keysErr
}
func (t *fakeTunnel) Tune(cfg config.Tunnel) {
	t.f.w.note("tune %s: congestion %q, ecn %v, dscp %d", t.name, cfg.Congestion, cfg.ECN, cfg.DSCP)
}
func (t *fakeTunnel) SetEnds(local, peer tunnel.Identity) {
	t.f.w.note("ends of %s are %d and %d", t.name, local[0], peer[0])
}
func (t *fakeTunnel) Close(string) { t.f.w.note("close %s", t.name) }
