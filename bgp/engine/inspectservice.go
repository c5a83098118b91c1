package engine

import (
	"context"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/server"
	"google.golang.org/grpc"
)

// inspection answers the RPCs of GoBGP's API that look. GoBGP's own service can't be had without
// its own listener, which nobody else must have taken when the router starts; it keeps whole
// tables in memory for a client that does not read, and some questions end its process
// (inspecttable.go).
type inspection struct {
	api.UnimplementedGoBgpServiceServer // for all that change something
	server                              *server.BgpServer
	bounds                              *inspectBounds
	correct                             func(*api.Peer) // puts right what GoBGP does not know
}

func newInspection(srv *server.BgpServer) *inspection {
	return &inspection{server: srv, bounds: newInspectBounds(), correct: func(*api.Peer) {}}
}

// stream is the server's side of a streaming RPC that answers with messages of type M.
type stream[M any] interface {
	grpc.ServerStream
	Send(M) error
}

// list answers an RPC with what ask gives to its function, each as a message made by wrap.
func list[T, M any](i *inspection, s stream[M], ask func(context.Context, func(T)) error, wrap func(T) M) error {
	a, err := i.bounds.lists.wait(s.Context())
	if err != nil {
		return err
	}
	defer a.end()
	ctx, cancel := context.WithCancel(s.Context())
	defer cancel()
	var sendErr error
	err = ask(ctx, func(v T) {
		if sendErr != nil {
			return
		}
		if sendErr = a.send(func() error { return s.Send(wrap(v)) }); sendErr != nil {
			cancel()
		}
	})
	if sendErr != nil {
		return sendErr
	}
	return err
}

func (i *inspection) GetBgp(ctx context.Context, r *api.GetBgpRequest) (*api.GetBgpResponse, error) {
	return i.server.GetBgp(ctx, r)
}

func (i *inspection) ListPeer(r *api.ListPeerRequest, s api.GoBgpService_ListPeerServer) error {
	return list(i, s,
		func(ctx context.Context, f func(*api.Peer)) error {
			peers, err := i.peers(ctx, r)
			for _, p := range peers {
				f(p)
			}
			return err
		},
		func(v *api.Peer) *api.ListPeerResponse { return &api.ListPeerResponse{Peer: v} })
}

// peers returns what GoBGP says of neighbors. It counts their routes for that, with the lock held that all
// else waits for, so this has its turn as the copies of tables have.
func (i *inspection) peers(ctx context.Context, r *api.ListPeerRequest) (peers []*api.Peer, err error) {
	done, err := i.bounds.tableTurn(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	err = i.server.ListPeer(ctx, r, func(p *api.Peer) {
		i.correct(p)
		peers = append(peers, p)
	})
	return peers, err
}

func (i *inspection) ListPeerGroup(r *api.ListPeerGroupRequest, s api.GoBgpService_ListPeerGroupServer) error {
	return list(i, s,
		func(ctx context.Context, f func(*api.PeerGroup)) error { return i.server.ListPeerGroup(ctx, r, f) },
		func(v *api.PeerGroup) *api.ListPeerGroupResponse { return &api.ListPeerGroupResponse{PeerGroup: v} })
}

func (i *inspection) ListDynamicNeighbor(r *api.ListDynamicNeighborRequest, s api.GoBgpService_ListDynamicNeighborServer) error {
	return list(i, s,
		func(ctx context.Context, f func(*api.DynamicNeighbor)) error {
			return i.server.ListDynamicNeighbor(ctx, r, f)
		},
		func(v *api.DynamicNeighbor) *api.ListDynamicNeighborResponse {
			return &api.ListDynamicNeighborResponse{DynamicNeighbor: v}
		})
}

func (i *inspection) ListVrf(r *api.ListVrfRequest, s api.GoBgpService_ListVrfServer) error {
	return list(i, s,
		func(ctx context.Context, f func(*api.Vrf)) error { return i.server.ListVrf(ctx, r, f) },
		func(v *api.Vrf) *api.ListVrfResponse { return &api.ListVrfResponse{Vrf: v} })
}

func (i *inspection) ListPolicy(r *api.ListPolicyRequest, s api.GoBgpService_ListPolicyServer) error {
	return list(i, s,
		func(ctx context.Context, f func(*api.Policy)) error { return i.server.ListPolicy(ctx, r, f) },
		func(v *api.Policy) *api.ListPolicyResponse { return &api.ListPolicyResponse{Policy: v} })
}

func (i *inspection) ListDefinedSet(r *api.ListDefinedSetRequest, s api.GoBgpService_ListDefinedSetServer) error {
	return list(i, s,
		func(ctx context.Context, f func(*api.DefinedSet)) error { return i.server.ListDefinedSet(ctx, r, f) },
		func(v *api.DefinedSet) *api.ListDefinedSetResponse { return &api.ListDefinedSetResponse{DefinedSet: v} })
}

func (i *inspection) ListStatement(r *api.ListStatementRequest, s api.GoBgpService_ListStatementServer) error {
	return list(i, s,
		func(ctx context.Context, f func(*api.Statement)) error { return i.server.ListStatement(ctx, r, f) },
		func(v *api.Statement) *api.ListStatementResponse { return &api.ListStatementResponse{Statement: v} })
}

func (i *inspection) ListPolicyAssignment(r *api.ListPolicyAssignmentRequest, s api.GoBgpService_ListPolicyAssignmentServer) error {
	return list(i, s,
		func(ctx context.Context, f func(*api.PolicyAssignment)) error {
			return i.server.ListPolicyAssignment(ctx, r, f)
		},
		func(v *api.PolicyAssignment) *api.ListPolicyAssignmentResponse {
			return &api.ListPolicyAssignmentResponse{Assignment: v}
		})
}

func (i *inspection) ListRpki(r *api.ListRpkiRequest, s api.GoBgpService_ListRpkiServer) error {
	return list(i, s,
		func(ctx context.Context, f func(*api.Rpki)) error { return i.server.ListRpki(ctx, r, f) },
		func(v *api.Rpki) *api.ListRpkiResponse { return &api.ListRpkiResponse{Server: v} })
}

func (i *inspection) ListRpkiTable(r *api.ListRpkiTableRequest, s api.GoBgpService_ListRpkiTableServer) error {
	return list(i, s,
		func(ctx context.Context, f func(*api.Roa)) error { return i.server.ListRpkiTable(ctx, r, f) },
		func(v *api.Roa) *api.ListRpkiTableResponse { return &api.ListRpkiTableResponse{Roa: v} })
}

func (i *inspection) ListBmp(r *api.ListBmpRequest, s api.GoBgpService_ListBmpServer) error {
	return list(i, s,
		func(ctx context.Context, f func(*api.ListBmpResponse_BmpStation)) error {
			return i.server.ListBmp(ctx, r, f)
		},
		func(v *api.ListBmpResponse_BmpStation) *api.ListBmpResponse { return &api.ListBmpResponse{Station: v} })
}
