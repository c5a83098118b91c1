package engine

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/osrg/gobgp/v4/pkg/server"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// maxBatch is how many paths go into one message, unless the client wants less: grpc's clients
// take 4 MiB by default.
const maxBatch = 256

// WatchEvent sends what happens from now on, and before that what there is if the client asks
// for that.
func (i *inspection) WatchEvent(r *api.WatchEventRequest, s api.GoBgpService_WatchEventServer) error {
	options, err := watchOptions(r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(s.Context())
	defer cancel(nil)
	w := i.bounds.watch(ctx, cancel)
	defer w.leave()
	paths := func(p []*apiutil.Path, _ time.Time) { w.put(watchEvent{paths: p}) }
	err = i.server.WatchEvent(ctx, server.WatchEventMessageCallbacks{
		OnPathUpdate: paths,
		OnBestPath:   paths,
		OnPathEor:    func(p *apiutil.Path, _ time.Time) { w.put(watchEvent{paths: []*apiutil.Path{p}}) },
		OnPeerUpdate: func(p *apiutil.WatchEventMessage_PeerEvent, _ time.Time) { w.put(watchEvent{peer: p}) },
	}, options...)
	if err != nil {
		return status.Errorf(codes.Aborted, "watch: %v", err)
	}
	if err := s.SendHeader(nil); err != nil { // from here on the client misses nothing
		return err
	}
	batch := maxBatch
	if n := int(r.GetBatchSize()); n > 0 && n < batch {
		batch = n
	}
	send := func(p []*apiutil.Path) error { return w.sendPaths(s, p, batch) }
	if err := i.sendCurrent(ctx, r, send); err != nil {
		return causeOf(ctx, err)
	}
	for {
		e, err := w.next(ctx)
		if err == nil && e.peer != nil {
			err = w.send(func() error { return s.Send(peerEvent(e.peer)) })
		} else if err == nil {
			err = send(e.paths)
		}
		if err != nil {
			return causeOf(ctx, err)
		}
	}
}

// causeOf says why a watcher was ended, if it was.
func causeOf(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

// watchOptions turns a question into GoBGP's words. Current routes are not asked for: GoBGP
// would hand over all at once. It would also take down the process for an address that is none.
func watchOptions(r *api.WatchEventRequest) ([]server.WatchOption, error) {
	var options []server.WatchOption
	if r.GetPeer() != nil {
		options = append(options, server.WatchPeer())
	}
	for _, f := range r.GetTable().GetFilters() {
		if f.GetPeerAddress() != "" {
			if _, err := netip.ParseAddr(f.PeerAddress); err != nil {
				return nil, status.Errorf(codes.InvalidArgument, "%q is not an address", f.PeerAddress)
			}
		}
		switch f.GetType() {
		case api.WatchEventRequest_Table_Filter_TYPE_BEST:
			options = append(options, server.WatchBestPath(false))
		case api.WatchEventRequest_Table_Filter_TYPE_ADJIN:
			options = append(options, server.WatchUpdate(false, f.PeerAddress, f.PeerGroup))
		case api.WatchEventRequest_Table_Filter_TYPE_POST_POLICY:
			options = append(options, server.WatchPostUpdate(false, f.PeerAddress, f.PeerGroup))
		case api.WatchEventRequest_Table_Filter_TYPE_EOR:
			options = append(options, server.WatchEor(f.Init))
		default:
			return nil, status.Errorf(codes.InvalidArgument, "unknown filter type %s", f.GetType())
		}
	}
	if len(options) == 0 {
		return nil, status.Error(codes.InvalidArgument, "no events to watch")
	}
	return options, nil
}

// sendCurrent sends the routes that there are, for the filters that want them. What changes
// meanwhile is in the watcher's queue, and comes after.
func (i *inspection) sendCurrent(ctx context.Context, r *api.WatchEventRequest, send func([]*apiutil.Path) error) error {
	for _, f := range r.GetTable().GetFilters() {
		if !f.GetInit() || f.GetType() == api.WatchEventRequest_Table_Filter_TYPE_EOR {
			continue
		}
		if err := i.sendTables(ctx, f, send); err != nil {
			return err
		}
	}
	return nil
}

func (i *inspection) sendTables(ctx context.Context, f *api.WatchEventRequest_Table_Filter, send func([]*apiutil.Path) error) error {
	a, err := i.bounds.tables.wait(ctx)
	if err != nil {
		return err
	}
	defer a.end()
	req := apiutil.ListPathRequest{TableType: api.TableType_TABLE_TYPE_GLOBAL}
	names := []string{""}
	if f.Type == api.WatchEventRequest_Table_Filter_TYPE_ADJIN {
		req.TableType = api.TableType_TABLE_TYPE_ADJ_IN
		if names, err = i.established(ctx); err != nil {
			return err
		}
	}
	wanted, _ := netip.ParseAddr(f.PeerAddress) // checked before
	for _, req.Name = range names {
		for _, req.Family = range []gobgp.Family{gobgp.RF_IPv4_UC, gobgp.RF_IPv6_UC} {
			err := i.listPath(ctx, req, func(_ string, paths []*apiutil.Path) error {
				paths = slices.DeleteFunc(paths, func(p *apiutil.Path) bool {
					return f.Type == api.WatchEventRequest_Table_Filter_TYPE_BEST && !p.Best ||
						wanted.IsValid() && p.PeerAddress.WithZone("") != wanted.WithZone("")
				})
				if len(paths) == 0 {
					return nil
				}
				return a.send(func() error { return send(paths) })
			})
			if err != nil && ctx.Err() != nil {
				return err
			}
			if status.Code(err) != codes.OK && status.Code(err) != codes.Unknown {
				return err // of the stream; GoBGP's own say that a neighbor is gone
			}
		}
	}
	return nil
}

// established returns the addresses of the neighbors with a session.
func (i *inspection) established(ctx context.Context) (names []string, err error) {
	peers, err := i.peers(ctx, &api.ListPeerRequest{})
	for _, p := range peers {
		if p.GetState().GetSessionState() == api.PeerState_SESSION_STATE_ESTABLISHED {
			names = append(names, p.GetState().GetNeighborAddress())
		}
	}
	return names, err
}

// sendPaths sends paths, at most batch in a message.
func (w *watcher) sendPaths(s api.GoBgpService_WatchEventServer, paths []*apiutil.Path, batch int) error {
	for {
		n := min(batch, len(paths))
		event := &api.WatchEventResponse_TableEvent{Paths: make([]*api.Path, n)}
		for k, p := range paths[:n] {
			event.Paths[k] = apiPath(p, false, false, false)
		}
		err := w.send(func() error {
			return s.Send(&api.WatchEventResponse{Event: &api.WatchEventResponse_Table{Table: event}})
		})
		paths = paths[n:]
		if err != nil || len(paths) == 0 {
			return err
		}
	}
}

// peerEvent converts a report of a neighbor to what the gobgp command takes.
func peerEvent(e *apiutil.WatchEventMessage_PeerEvent) *api.WatchEventResponse {
	p := e.Peer
	// Capabilities that cannot be converted are left out, as GoBGP does.
	remote, _ := apiutil.MarshalCapabilities(p.State.RemoteCap)
	local, _ := apiutil.MarshalCapabilities(p.State.LocalCap)
	return &api.WatchEventResponse{Event: &api.WatchEventResponse_Peer{Peer: &api.WatchEventResponse_PeerEvent{
		Type: api.WatchEventResponse_PeerEvent_Type(e.Type),
		Peer: &api.Peer{
			Conf: &api.PeerConf{
				PeerAsn:           p.Conf.PeerASN,
				LocalAsn:          p.Conf.LocalASN,
				NeighborAddress:   p.Conf.NeighborAddress.String(),
				NeighborInterface: p.Conf.NeighborInterface,
				PeerGroup:         p.Conf.PeerGroup,
			},
			State: &api.PeerState{
				PeerAsn:         p.State.PeerASN,
				LocalAsn:        p.State.LocalASN,
				NeighborAddress: p.State.NeighborAddress.String(),
				SessionState:    api.PeerState_SessionState(int(p.State.SessionState) + 1),
				AdminState:      p.State.AdminState,
				RouterId:        p.State.RouterID.String(),
				PeerGroup:       p.State.PeerGroup,
				RemoteCap:       remote,
				LocalCap:        local,
			},
			Transport: &api.Transport{
				LocalAddress: p.Transport.LocalAddress.String(),
				LocalPort:    p.Transport.LocalPort,
				RemotePort:   p.Transport.RemotePort,
			},
		},
	}}}
}
