package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"warren/internal/socket"
)

// hostRoutes are enough that the list of them does not fit the windows of a connection.
func hostRoutes(n int) []netip.Prefix {
	all := make([]netip.Prefix, n)
	for i := range all {
		all[i] = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
	}
	return all
}

var (
	wholeTable = &api.ListPathRequest{TableType: api.TableType_TABLE_TYPE_GLOBAL, Family: family4}
	watchBest  = watchRequest(api.WatchEventRequest_Table_Filter_TYPE_BEST, false)
)

func watchRequest(typ api.WatchEventRequest_Table_Filter_Type, current bool) *api.WatchEventRequest {
	return &api.WatchEventRequest{Table: &api.WatchEventRequest_Table{
		Filters: []*api.WatchEventRequest_Table_Filter{{Type: typ, Init: current}},
	}}
}

// counts returns what is under way: answers with tables, with those that wait, watchers, and the
// paths that are queued for them.
func (b *inspectBounds) counts() (answers, watchers, queued int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.tables.busy) + len(b.tables.waiting), len(b.watchers), b.queued
}

// users makes the connections of a listener those of users.
type users struct {
	net.Listener
	next func() client
}

type userConn struct {
	net.Conn
	client client
}

func (u users) Accept() (net.Conn, error) {
	c, err := u.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return userConn{c, u.next()}, nil
}

// watching is a watcher from whose moment on it misses nothing.
func watching(ctx context.Context, t *testing.T, client api.GoBgpServiceClient, r *api.WatchEventRequest) grpc.ServerStreamingClient[api.WatchEventResponse] {
	t.Helper()
	stream, err := client.WatchEvent(ctx, r)
	if err == nil {
		_, err = stream.Header()
	}
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

func (c userConn) User() (int64, bool) { return c.client.user, c.client.trusted }

// attackUnread has clients ask for tables and watch, and never read.
func attackUnread(ctx context.Context, t testing.TB, addr string, clients, each int) {
	for i := range clients {
		client := inspectClient(t, addr)
		for k := range each {
			// Not waited for: a stream that is not let in blocks here.
			go func() {
				if (i+k)%3 == 0 {
					_, _ = client.WatchEvent(ctx, watchRequest(api.WatchEventRequest_Table_Filter_TYPE_BEST, true))
				} else {
					_, _ = client.ListPath(ctx, wholeTable)
				}
			}()
		}
	}
}

// patiently asks until there is an answer, or ctx is done: on a busy machine a client may read so late that it is taken for one
// of those that do not.
func patiently[M any](ctx context.Context, ask func() (M, error)) (is M, err error) {
	for is, err = ask(); err != nil && ctx.Err() == nil; {
		is, err = ask()
	}
	return is, err
}

// Clients that never read hold up nobody for long, however many there are, and are dropped.
func TestUnreadStreams(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1")
	const prefixes = 3000
	if err := s.SetAnnounced(t.Context(), hostRoutes(prefixes)); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var who atomic.Pointer[client]
	who.Store(&client{user: 1000})
	serveListener(t, s.inspection, users{socket.Limit(l, 64), func() client { return *who.Load() }})
	addr := l.Addr().String()
	attack, end := context.WithCancel(t.Context())
	defer end()
	attackUnread(attack, t, addr, 60, 6)
	eventually(t, 40*time.Second, func() string {
		if answers, _, _ := s.inspection.bounds.counts(); answers < 100 {
			return fmt.Sprintf("only %d answers are under way", answers)
		}
		return ""
	})
	for _, c := range []client{{user: 0, trusted: true}, {user: 1001}, {user: 1000}} {
		who.Store(&c)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		start := time.Now()
		client := inspectClient(t, addr)
		all, err := patiently(ctx, func() ([]*api.ListPathResponse, error) { return collect(client.ListPath(ctx, wholeTable)) })
		if err != nil || len(all) != prefixes {
			t.Fatalf("%+v: %d prefixes, %v", c, len(all), err)
		}
		if _, err := patiently(ctx, func() ([]*api.ListPeerResponse, error) { return collect(client.ListPeer(ctx, &api.ListPeerRequest{})) }); err != nil {
			t.Fatalf("%+v: %v", c, err)
		}
		cancel()
		t.Logf("%+v was answered after %v", c, time.Since(start))
		b := s.inspection.bounds
		b.mu.Lock()
		if len(b.tables.busy) > maxTables || len(b.watchers) > maxWatchers || b.queued > maxQueued {
			t.Errorf("%d answers, %d watchers, %d paths queued", len(b.tables.busy), len(b.watchers), b.queued)
		}
		b.mu.Unlock()
	}
	end()
	eventually(t, 60*time.Second, func() string {
		if answers, watchers, queued := s.inspection.bounds.counts(); answers+watchers+queued > 0 {
			return fmt.Sprintf("%d answers, %d watchers, %d paths are left", answers, watchers, queued)
		}
		return ""
	})
}

// A client that leaves a message unread for too long loses its connection, and GoBGP's watcher
// goes with it.
func TestStalledWatcherEnds(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1")
	addr := serveInspection(t, s.inspection, 8)
	stream := watching(t.Context(), t, inspectClient(t, addr), watchBest)
	// More than the windows take, and not more than may be queued.
	if err := s.SetAnnounced(t.Context(), hostRoutes(5000)); err != nil {
		t.Fatal(err)
	}
	eventually(t, 60*time.Second, func() string {
		if _, watchers, queued := s.inspection.bounds.counts(); watchers != 0 || queued != 0 {
			return fmt.Sprintf("%d watchers, %d paths queued", watchers, queued)
		}
		return ""
	})
	var err error
	for err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.Unavailable {
		t.Errorf("the client is told: %v", err)
	}
}

// Of too many watchers the oldest ends, and is told why.
func TestOldestWatcherEnds(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1")
	addr := serveInspection(t, s.inspection, 64)
	first, err := inspectClient(t, addr).WatchEvent(t.Context(), watchBest)
	if err != nil {
		t.Fatal(err)
	}
	for n := range maxWatchers {
		eventually(t, 40*time.Second, func() string {
			if _, watchers, _ := s.inspection.bounds.counts(); watchers != n+1 {
				return fmt.Sprintf("%d watch", watchers)
			}
			return ""
		})
		if _, err := inspectClient(t, addr).WatchEvent(t.Context(), watchBest); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := first.Recv(); status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "too many clients watch") {
		t.Errorf("%v", err)
	}
	if _, watchers, _ := s.inspection.bounds.counts(); watchers != maxWatchers {
		t.Errorf("%d watch", watchers)
	}
}

// Of watchers that read too slowly for what happens, the one ends that is the furthest behind; of
// too many, the oldest of the user that has the most.
func TestQueueOfWatchers(t *testing.T) {
	b := newInspectBounds()
	ended := map[*watcher]error{}
	add := func(c client) (w *watcher) {
		w = b.watch(as(t.Context(), c), func(err error) { ended[w] = err })
		return w
	}
	root, anna, bert := client{user: 0, trusted: true}, client{user: 1000}, client{user: 1001}
	some := watchEvent{paths: make([]*apiutil.Path, 1000)}
	fast, slow := add(anna), add(root)
	for range maxQueued/1000 + 1 {
		fast.put(some)
		slow.put(some)
		if e, err := fast.next(t.Context()); err != nil || len(e.paths) != 1000 {
			t.Fatal(err)
		}
	}
	if len(ended) != 1 || !errors.Is(ended[slow], errTooSlow) {
		t.Fatalf("ended %v", ended)
	}
	slow.put(some) // as GoBGP may, until it has noticed
	if _, watchers, queued := b.counts(); watchers != 1 || queued != 0 {
		t.Fatalf("%d watchers, %d queued", watchers, queued)
	}
	roots, berts := add(root), add(bert)
	for range maxWatchers {
		add(anna).put(some)
	}
	if len(ended) != 4 || !errors.Is(ended[fast], errReplaced) || ended[roots] != nil || ended[berts] != nil {
		t.Fatalf("ended %v", ended)
	}
	if _, watchers, queued := b.counts(); watchers != maxWatchers || queued != (maxWatchers-2)*1000 {
		t.Fatalf("%d watchers, %d queued", watchers, queued)
	}
	for _, w := range slices.Clone(b.watchers) {
		w.leave()
	}
	if _, watchers, queued := b.counts(); watchers != 0 || queued != 0 {
		t.Fatalf("%d watchers, %d queued", watchers, queued)
	}
	for range maxWatchers {
		add(root)
	}
	add(anna)
	if !errors.Is(ended[nil], errReplaced) { // before it could be returned
		t.Fatal("root's make room for another user")
	}
}

// Turns: root comes first, then who has least, then the newest; one that leaves is not given any,
// and a client that is slow while others wait loses its connection.
func TestTurns(t *testing.T) {
	var mu sync.Mutex
	b := &turns{mu: &mu, most: 3, busy: map[*answer]struct{}{}}
	root, anna, bert := client{user: 0, trusted: true}, client{user: 1000}, client{user: 1001}
	closed := make(chan struct{})
	slow := anna
	slow.conn = closer(sync.OnceFunc(func() { close(closed) })) // each of those that wait may close it
	var busy []*answer
	for _, c := range []client{slow, anna, root} {
		a, err := b.wait(as(t.Context(), c))
		if err != nil {
			t.Fatal(err)
		}
		busy = append(busy, a)
	}
	turn := make(chan string)
	wait := func(name string, ctx context.Context) {
		mu.Lock()
		n := len(b.waiting) + 1
		mu.Unlock()
		go func() {
			a, err := b.wait(ctx)
			if err != nil {
				turn <- name + " left"
				return
			}
			turn <- name
			a.end()
		}()
		eventually(t, 40*time.Second, func() string {
			mu.Lock()
			defer mu.Unlock()
			if len(b.waiting) != n {
				return fmt.Sprintf("%d wait", len(b.waiting))
			}
			return ""
		})
	}
	gone, leave := context.WithCancel(as(t.Context(), bert))
	wait("anna's first", as(t.Context(), anna))
	wait("bert's first", as(t.Context(), bert))
	wait("bert's", gone)
	wait("bert's second", as(t.Context(), bert))
	wait("anna's second", as(t.Context(), anna))
	wait("root's", as(t.Context(), root))
	leave()
	if got := <-turn; got != "bert's left" {
		t.Fatal(got)
	}
	busy[2].end() // root's place is for root alone
	if got := <-turn; got != "root's" {
		t.Fatal(got)
	}
	_ = busy[0].send(func() error { // nobody reads
		<-closed
		return io.ErrClosedPipe
	})
	busy[0].end()
	for _, want := range []string{"bert's second", "bert's first", "anna's second", "anna's first"} {
		if got := <-turn; got != want {
			t.Fatalf("%s; want %s", got, want)
		}
	}
	busy[1].end()
	eventually(t, 40*time.Second, func() string {
		mu.Lock()
		defer mu.Unlock()
		if len(b.busy) > 0 {
			return fmt.Sprintf("%d answers are left", len(b.busy))
		}
		return ""
	})
}

// as is the context of an RPC of a client.
func as(ctx context.Context, c client) context.Context {
	if c.conn == nil {
		c.conn = io.NopCloser(nil)
	}
	return peer.NewContext(ctx, &peer.Peer{Addr: knownAddr{client: c}})
}

type closer func()

func (c closer) Close() error { c(); return nil }

// A client that watches gets what there is, if it asks for that, and then what changes.
func TestWatch(t *testing.T) {
	a, b := startSpeaker(t, 64512, "10.0.0.1"), startSpeaker(t, 64513, "10.0.0.2")
	connect(t, a, b, nil, nil)
	if err := a.SetAnnounced(t.Context(), prefixes("10.1.0.0/16", "2001:db8:1::/48")); err != nil {
		t.Fatal(err)
	}
	waitRoutes(t, b, "a", "10.1.0.0/16", "2001:db8:1::/48")
	client := inspectClient(t, serveInspection(t, b.inspection, 8))
	for _, typ := range []api.WatchEventRequest_Table_Filter_Type{
		api.WatchEventRequest_Table_Filter_TYPE_BEST, api.WatchEventRequest_Table_Filter_TYPE_ADJIN, api.WatchEventRequest_Table_Filter_TYPE_POST_POLICY,
	} {
		for _, current := range []bool{true, false} {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			stream := watching(ctx, t, client, watchRequest(typ, current))
			news := "10.9.0.0/16"
			seen := map[string]bool{}
			receive := func(until string) {
				for !seen[until] {
					m, err := stream.Recv()
					if err != nil {
						t.Fatalf("%s, current %v: %v; saw %v, want %s", typ, current, err, seen, until)
					}
					for _, p := range m.GetTable().GetPaths() {
						if n := p.GetNlri().GetPrefix(); n != nil {
							seen[fmt.Sprintf("%s/%d %v", n.Prefix, n.PrefixLen, p.IsWithdraw)] = true
						}
					}
				}
			}
			if current {
				receive("10.1.0.0/16 false")
				receive("2001:db8:1::/48 false")
			}
			if err := a.SetAnnounced(t.Context(), prefixes("10.1.0.0/16", "2001:db8:1::/48", news)); err != nil {
				t.Fatal(err)
			}
			receive(news + " false")
			if err := a.SetAnnounced(t.Context(), prefixes("10.1.0.0/16", "2001:db8:1::/48")); err != nil {
				t.Fatal(err)
			}
			receive(news + " true")
			if seen["10.1.0.0/16 false"] != current {
				t.Errorf("%s, current %v: saw %v", typ, current, seen)
			}
			cancel()
			eventually(t, 40*time.Second, func() string {
				if _, watchers, _ := b.inspection.bounds.counts(); watchers != 0 {
					return "somebody watches still"
				}
				return ""
			})
		}
	}
	stream, err := client.WatchEvent(t.Context(), &api.WatchEventRequest{Peer: &api.WatchEventRequest_Peer{}})
	if err != nil {
		t.Fatal(err)
	}
	if m, err := stream.Recv(); err != nil || m.GetPeer().GetPeer().GetConf().GetPeerAsn() != 64512 {
		t.Errorf("peers: %v, %v", m, err)
	}
}
