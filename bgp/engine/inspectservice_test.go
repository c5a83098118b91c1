package engine

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/server"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
)

var (
	family4 = &api.Family{Afi: api.Family_AFI_IP, Safi: api.Family_SAFI_UNICAST}
	family6 = &api.Family{Afi: api.Family_AFI_IP6, Safi: api.Family_SAFI_UNICAST}
)

// collect reads a stream to its end.
func collect[M any](stream grpc.ServerStreamingClient[M], err error) (all []*M, _ error) {
	if err != nil {
		return nil, err
	}
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, m)
	}
}

// texts makes answers comparable, whatever their order.
func texts[M any, P interface {
	*M
	proto.Message
}](all []P, err error) []string {
	if err != nil {
		return []string{"error: " + err.Error()}
	}
	out := make([]string, 0, len(all))
	for _, m := range all {
		m := proto.Clone(m).(P)
		out = append(out, prototext.MarshalOptions{}.Format(m))
	}
	slices.Sort(out)
	return out
}

// inspected is a GoBGP with something to see in it, asked by its own service and by ours.
func inspected(t *testing.T) (ours, its api.GoBgpServiceClient, srv *server.BgpServer) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	srv = server.NewBgpServer(server.GrpcListenAddress("unix://"+path), server.LoggerOption(slog.New(slog.DiscardHandler), nil))
	go srv.Serve()
	t.Cleanup(srv.Stop)
	eventually(t, time.Minute, func() string { // its own service is there a moment later
		c, err := net.Dial("unix", path)
		if err != nil {
			return err.Error()
		}
		c.Close()
		return ""
	})
	ctx := t.Context()
	for _, err := range []error{
		srv.StartBgp(ctx, &api.StartBgpRequest{Global: &api.Global{Asn: 64512, RouterId: "10.0.0.1", ListenPort: -1}}),
		srv.AddPeer(ctx, &api.AddPeerRequest{Peer: &api.Peer{
			Conf:      &api.PeerConf{NeighborAddress: "127.0.9.9", PeerAsn: 64513},
			Transport: &api.Transport{PassiveMode: true},
			AfiSafis:  []*api.AfiSafi{{Config: &api.AfiSafiConfig{Family: family4, Enabled: true}}, {Config: &api.AfiSafiConfig{Family: family6, Enabled: true}}},
		}}),
		srv.AddPeerGroup(ctx, &api.AddPeerGroupRequest{PeerGroup: &api.PeerGroup{Conf: &api.PeerGroupConf{PeerGroupName: "g", PeerAsn: 64514}}}),
		srv.AddDynamicNeighbor(ctx, &api.AddDynamicNeighborRequest{DynamicNeighbor: &api.DynamicNeighbor{Prefix: "127.1.0.0/16", PeerGroup: "g"}}),
		srv.AddDefinedSet(ctx, &api.AddDefinedSetRequest{DefinedSet: &api.DefinedSet{
			DefinedType: api.DefinedType_DEFINED_TYPE_PREFIX, Name: "p", Prefixes: []*api.Prefix{{IpPrefix: "10.0.0.0/8", MaskLengthMin: 8, MaskLengthMax: 24}},
		}}),
		srv.AddPolicy(ctx, &api.AddPolicyRequest{Policy: &api.Policy{Name: "q", Statements: []*api.Statement{{
			Name: "s", Conditions: &api.Conditions{PrefixSet: &api.MatchSet{Name: "p", Type: api.MatchSet_TYPE_ANY}}, Actions: &api.Actions{RouteAction: api.RouteAction_ROUTE_ACTION_ACCEPT},
		}}}}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	// A neighbor leaves Idle in a moment, and one of two answers might be of before.
	eventually(t, time.Minute, func() (wrong string) {
		err := srv.ListPeer(ctx, &api.ListPeerRequest{}, func(p *api.Peer) {
			if is := p.GetState().GetSessionState(); is != api.PeerState_SESSION_STATE_ACTIVE {
				wrong = is.String()
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		return wrong
	})
	s := &Speaker{server: srv, announced: make(map[netip.Prefix]netip.Addr)}
	if err := s.announceBatches(prefixes("10.1.0.0/16", "10.1.2.0/24", "10.2.0.0/16", "2001:db8:1::/48"), map[netip.Prefix]netip.Addr{}); err != nil {
		t.Fatal(err)
	}
	return inspectClient(t, serveInspection(t, newInspection(srv), 8)), inspectClient(t, "unix://"+path), srv
}

// What the gobgp command is told is what GoBGP itself would tell it.
func TestInspectionAnswersAsGoBGPDoes(t *testing.T) {
	ours, its, _ := inspected(t)
	paths := func(r *api.ListPathRequest) func(context.Context, api.GoBgpServiceClient) []string {
		return func(ctx context.Context, c api.GoBgpServiceClient) []string {
			return texts(collect(c.ListPath(ctx, r)))
		}
	}
	for name, ask := range map[string]func(context.Context, api.GoBgpServiceClient) []string{
		"ListPeer": func(ctx context.Context, c api.GoBgpServiceClient) []string {
			return texts(collect(c.ListPeer(ctx, &api.ListPeerRequest{EnableAdvertised: true})))
		},
		"ListPeerGroup": func(ctx context.Context, c api.GoBgpServiceClient) []string {
			return texts(collect(c.ListPeerGroup(ctx, &api.ListPeerGroupRequest{})))
		},
		"ListDynamicNeighbor": func(ctx context.Context, c api.GoBgpServiceClient) []string {
			return texts(collect(c.ListDynamicNeighbor(ctx, &api.ListDynamicNeighborRequest{})))
		},
		"ListDefinedSet": func(ctx context.Context, c api.GoBgpServiceClient) []string {
			return texts(collect(c.ListDefinedSet(ctx, &api.ListDefinedSetRequest{DefinedType: api.DefinedType_DEFINED_TYPE_PREFIX})))
		},
		"ListPolicy": func(ctx context.Context, c api.GoBgpServiceClient) []string {
			return texts(collect(c.ListPolicy(ctx, &api.ListPolicyRequest{})))
		},
		"ListStatement": func(ctx context.Context, c api.GoBgpServiceClient) []string {
			return texts(collect(c.ListStatement(ctx, &api.ListStatementRequest{})))
		},
		"ListPolicyAssignment": func(ctx context.Context, c api.GoBgpServiceClient) []string {
			return texts(collect(c.ListPolicyAssignment(ctx, &api.ListPolicyAssignmentRequest{})))
		},
		"GetTable": func(ctx context.Context, c api.GoBgpServiceClient) []string {
			m, err := c.GetTable(ctx, &api.GetTableRequest{TableType: api.TableType_TABLE_TYPE_GLOBAL, Family: family4})
			return texts([]*api.GetTableResponse{m}, err)
		},
		"GetBgp": func(ctx context.Context, c api.GoBgpServiceClient) []string {
			m, err := c.GetBgp(ctx, &api.GetBgpRequest{})
			return texts([]*api.GetBgpResponse{m}, err)
		},
		"ListPath":      paths(&api.ListPathRequest{TableType: api.TableType_TABLE_TYPE_GLOBAL, Family: family4}),
		"ListPath IPv6": paths(&api.ListPathRequest{TableType: api.TableType_TABLE_TYPE_GLOBAL, Family: family6}),
		"ListPath in all forms": paths(&api.ListPathRequest{TableType: api.TableType_TABLE_TYPE_GLOBAL, Family: family6,
			EnableNlriBinary: true, EnableAttributeBinary: true}),
		"ListPath in binary": paths(&api.ListPathRequest{TableType: api.TableType_TABLE_TYPE_GLOBAL, Family: family6, EnableOnlyBinary: true}),
		"ListPath longer": paths(&api.ListPathRequest{TableType: api.TableType_TABLE_TYPE_GLOBAL, Family: family4,
			Prefixes: []*api.TableLookupPrefix{{Prefix: "10.1.0.0/16", Type: api.TableLookupPrefix_TYPE_LONGER}}}),
		"ListPath shorter": paths(&api.ListPathRequest{TableType: api.TableType_TABLE_TYPE_GLOBAL, Family: family4,
			Prefixes: []*api.TableLookupPrefix{{Prefix: "10.1.2.0/24", Type: api.TableLookupPrefix_TYPE_SHORTER}}}),
		"ListPath of an address": paths(&api.ListPathRequest{TableType: api.TableType_TABLE_TYPE_GLOBAL, Family: family4,
			Prefixes: []*api.TableLookupPrefix{{Prefix: "10.1.2.3"}}}),
		"ListPath adj-in":    paths(&api.ListPathRequest{TableType: api.TableType_TABLE_TYPE_ADJ_IN, Name: "127.0.9.9", Family: family4, EnableFiltered: true}),
		"ListPath adj-out":   paths(&api.ListPathRequest{TableType: api.TableType_TABLE_TYPE_ADJ_OUT, Name: "127.0.9.9", Family: family4}),
		"ListPath of nobody": paths(&api.ListPathRequest{TableType: api.TableType_TABLE_TYPE_ADJ_IN, Name: "127.0.9.8", Family: family4}),
		"ListRpki": func(ctx context.Context, c api.GoBgpServiceClient) []string {
			return texts(collect(c.ListRpki(ctx, &api.ListRpkiRequest{})))
		},
		"ListRpkiTable": func(ctx context.Context, c api.GoBgpServiceClient) []string {
			return texts(collect(c.ListRpkiTable(ctx, &api.ListRpkiTableRequest{Family: family4})))
		},
		"ListBmp": func(ctx context.Context, c api.GoBgpServiceClient) []string {
			return texts(collect(c.ListBmp(ctx, &api.ListBmpRequest{})))
		},
		"ListVrf": func(ctx context.Context, c api.GoBgpServiceClient) []string {
			return texts(collect(c.ListVrf(ctx, &api.ListVrfRequest{})))
		},
	} {
		got, want := ask(t.Context(), ours), ask(t.Context(), its)
		normalise(got)
		normalise(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s:\n got %q\nwant %q", name, got, want)
		}
	}
}

// normalise undoes that prototext varies its spaces on purpose.
func normalise(all []string) {
	for i := range all {
		all[i] = strings.Join(strings.Fields(all[i]), " ")
	}
	slices.Sort(all)
}

// Questions that make no sense are refused: each of these ends GoBGP's process, at once or at the
// next UPDATE, or is of no use here.
func TestQuestionsThatMakeNoSense(t *testing.T) {
	client, _, srv := inspected(t)
	global := api.TableType_TABLE_TYPE_GLOBAL
	lookups := func(family *api.Family, prefix string, types ...api.TableLookupPrefix_Type) (all []*api.ListPathRequest) {
		for _, typ := range types {
			all = append(all, &api.ListPathRequest{TableType: global, Family: family, Prefixes: []*api.TableLookupPrefix{{Prefix: prefix, Type: typ}}})
		}
		return all
	}
	const exact, longer, shorter = api.TableLookupPrefix_TYPE_EXACT, api.TableLookupPrefix_TYPE_LONGER, api.TableLookupPrefix_TYPE_SHORTER
	bad := slices.Concat(
		lookups(family6, "10.0.0.1", exact, shorter, longer, 0),
		lookups(family4, "2001:db8::1", exact, shorter, longer, 0),
		lookups(family6, "10.0.0.0/8", exact, shorter, longer),
		lookups(family4, "2001:db8::/32", exact, shorter, longer),
		lookups(family6, "::ffff:10.0.0.0/104", exact, shorter, longer),
		lookups(family6, "fe80::1%lo", exact),
		lookups(family4, "10.0.0.0/33", exact, shorter, longer),
		lookups(family4, "", exact, shorter, longer),
		[]*api.ListPathRequest{
			{TableType: global, Family: family4, Prefixes: []*api.TableLookupPrefix{{}}},
			{TableType: global},
			{TableType: global, Family: &api.Family{Afi: api.Family_AFI_L2VPN, Safi: api.Family_SAFI_EVPN}},
			{TableType: global, Family: &api.Family{Afi: 1 << 16, Safi: 1 << 8}},
		})
	for _, r := range bad {
		if _, err := collect(client.ListPath(t.Context(), r)); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%v: %v", r, err)
		}
	}
	for _, r := range []*api.ListPathRequest{
		{Family: family4}, {TableType: 99, Family: family4}, {TableType: api.TableType_TABLE_TYPE_VRF, Family: family4, Name: "x"},
		{TableType: global, Family: family4, Name: "nobody"}, {TableType: api.TableType_TABLE_TYPE_ADJ_OUT, Family: family4, Name: "nobody"},
	} {
		if _, err := collect(client.ListPath(t.Context(), r)); err == nil {
			t.Errorf("%v: no error", r)
		}
	}
	watch := func(types ...api.WatchEventRequest_Table_Filter_Type) (all []*api.WatchEventRequest) {
		for _, typ := range types {
			f := &api.WatchEventRequest_Table_Filter{Type: typ, PeerAddress: "not-an-address", Init: true}
			all = append(all, &api.WatchEventRequest{Table: &api.WatchEventRequest_Table{Filters: []*api.WatchEventRequest_Table_Filter{f}}})
		}
		return all
	}
	for _, r := range append(watch(api.WatchEventRequest_Table_Filter_TYPE_ADJIN, api.WatchEventRequest_Table_Filter_TYPE_POST_POLICY,
		api.WatchEventRequest_Table_Filter_TYPE_BEST, 99), &api.WatchEventRequest{}) {
		if _, err := collect(client.WatchEvent(t.Context(), r)); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%v: %v", r, err)
		}
	}
	// GoBGP works on.
	if _, err := srv.GetBgp(t.Context(), &api.GetBgpRequest{}); err != nil {
		t.Fatal(err)
	}
	if all, err := collect(client.ListPath(t.Context(), &api.ListPathRequest{TableType: global, Family: family4})); err != nil || len(all) != 3 {
		t.Errorf("%d prefixes, %v", len(all), err)
	}
}

// GoBGP counts all routes for what it says of neighbors, while all else waits. So that has its turn too.
func TestNeighborsHaveTheirTurn(t *testing.T) {
	_, _, srv := inspected(t)
	i := newInspection(srv)
	client := inspectClient(t, serveInspection(t, i, 8))
	ask := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		_, err := collect(client.ListPeer(ctx, &api.ListPeerRequest{EnableAdvertised: true}))
		return err
	}
	<-i.bounds.table
	if err := ask(); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("while a table is copied, the answer is %v", err)
	}
	i.bounds.table <- struct{}{}
	peers, err := collect(client.ListPeer(t.Context(), &api.ListPeerRequest{}))
	if err != nil || len(peers) != 1 {
		t.Errorf("afterwards: %v, %v", peers, err)
	}
}
