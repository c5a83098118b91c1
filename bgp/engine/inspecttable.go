package engine

import (
	"context"
	"net/netip"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// GetTable counts a table's prefixes.
func (i *inspection) GetTable(ctx context.Context, r *api.GetTableRequest) (*api.GetTableResponse, error) {
	if _, err := knownFamily(r.GetFamily()); err != nil {
		return nil, err
	}
	a, err := i.bounds.tables.wait(ctx)
	if err != nil {
		return nil, err
	}
	defer a.end()
	done, err := i.bounds.tableTurn(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	return i.server.GetTable(ctx, r)
}

// ListPath lists a table. A message is made when the one before it was taken, so that no more
// than one waits.
func (i *inspection) ListPath(r *api.ListPathRequest, s api.GoBgpService_ListPathServer) error {
	req, err := tableRequest(r)
	if err != nil {
		return err
	}
	a, err := i.bounds.tables.wait(s.Context())
	if err != nil {
		return err
	}
	defer a.end()
	return i.listPath(s.Context(), req, func(prefix string, paths []*apiutil.Path) error {
		d := &api.Destination{Prefix: prefix, Paths: make([]*api.Path, len(paths))}
		for n, p := range paths {
			d.Paths[n] = apiPath(p, r.EnableOnlyBinary, r.EnableNlriBinary, r.EnableAttributeBinary)
		}
		return a.send(func() error { return s.Send(&api.ListPathResponse{Destination: d}) })
	})
}

// listPath calls f for each prefix of a table, until that fails. The table is copied at once,
// and that is done by one at a time.
func (i *inspection) listPath(ctx context.Context, req apiutil.ListPathRequest, f func(prefix string, paths []*apiutil.Path) error) error {
	copied, err := i.bounds.tableTurn(ctx)
	if err != nil {
		return err
	}
	var failed error
	err = i.server.ListPath(req, func(prefix gobgp.NLRI, paths []*apiutil.Path) {
		copied()
		if failed == nil {
			failed = ctx.Err()
		}
		if failed == nil {
			failed = f(prefix.String(), paths)
		}
	})
	copied()
	if failed != nil {
		return failed
	}
	return err
}

// tableRequest checks a question for GoBGP, which would take down the process for a prefix that
// is not of the table's family: table.Select makes prefixes with mustIPAddrPrefix.
func tableRequest(r *api.ListPathRequest) (apiutil.ListPathRequest, error) {
	family, err := knownFamily(r.Family)
	if err != nil {
		return apiutil.ListPathRequest{}, err
	}
	req := apiutil.ListPathRequest{
		TableType: r.TableType, Name: r.Name, Family: family, SortType: r.SortType, EnableFiltered: r.EnableFiltered,
	}
	if r.TableType == api.TableType_TABLE_TYPE_UNSPECIFIED || r.TableType == api.TableType_TABLE_TYPE_VRF {
		return req, nil
	}
	for _, p := range r.Prefixes {
		if err := checkLookup(p, family); err != nil {
			return req, err
		}
		req.Prefixes = append(req.Prefixes, &apiutil.LookupPrefix{
			Prefix: p.Prefix, RD: p.Rd, LookupOption: apiutil.LookupOptionFromAPI(p.Type),
		})
	}
	return req, nil
}

// checkLookup accepts a prefix, or an address where the longest prefix around it is meant.
func checkLookup(p *api.TableLookupPrefix, family gobgp.Family) error {
	addr, err := netip.ParseAddr(p.GetPrefix())
	if err != nil || p.GetType() != api.TableLookupPrefix_TYPE_EXACT && p.GetType() != api.TableLookupPrefix_TYPE_UNSPECIFIED {
		prefix, err := netip.ParsePrefix(p.GetPrefix())
		if err != nil {
			return status.Errorf(codes.InvalidArgument, "%q is not a prefix", p.GetPrefix())
		}
		addr = prefix.Addr()
	}
	if addr.Zone() != "" || addr.Is4In6() || addr.Is4() != (family == gobgp.RF_IPv4_UC) {
		return status.Errorf(codes.InvalidArgument, "%s is not of the family %s", p.GetPrefix(), family)
	}
	return nil
}

// knownFamily accepts the two families that there are.
func knownFamily(f *api.Family) (gobgp.Family, error) {
	family := gobgp.NewFamily(uint16(f.GetAfi()), uint8(f.GetSafi()))
	if f == nil || family != gobgp.RF_IPv4_UC && family != gobgp.RF_IPv6_UC {
		return 0, status.Errorf(codes.InvalidArgument, "there are the families ipv4 and ipv6 only")
	}
	return family, nil
}

// apiPath converts a path to what the gobgp command takes: NLRI and attributes as messages, or in
// the form of the wire if asked for.
func apiPath(p *apiutil.Path, onlyBinary, nlriBinary, attributeBinary bool) *api.Path {
	out := &api.Path{
		Age:                timestamppb.New(time.Unix(p.Age, 0)),
		Best:               p.Best,
		IsWithdraw:         p.Withdrawal,
		Validation:         p.Validation,
		Family:             &api.Family{Afi: api.Family_Afi(p.Family.Afi()), Safi: api.Family_Safi(p.Family.Safi())},
		SourceAsn:          p.PeerASN,
		Filtered:           p.Filtered,
		SendMaxFiltered:    p.SendMaxFiltered,
		Stale:              p.Stale,
		IsFromExternal:     p.IsFromExternal,
		NoImplicitWithdraw: p.NoImplicitWithdraw,
		IsNexthopInvalid:   p.IsNexthopInvalid,
		Identifier:         p.RemoteID,
		LocalIdentifier:    p.LocalID,
	}
	if p.PeerID.IsValid() {
		out.SourceId = p.PeerID.String()
	}
	if p.PeerAddress.IsValid() {
		out.NeighborIp = p.PeerAddress.String()
	}
	// What cannot be converted is left out, as GoBGP does.
	if !onlyBinary {
		if p.Nlri != nil {
			out.Nlri, _ = apiutil.MarshalNLRI(p.Nlri)
		}
		out.Pattrs, _ = apiutil.MarshalPathAttributes(p.Attrs)
	}
	if p.Nlri != nil && (onlyBinary || nlriBinary) {
		out.NlriBinary, _ = p.Nlri.Serialize()
	}
	if onlyBinary || attributeBinary {
		for _, a := range p.Attrs {
			if b, err := a.Serialize(); err == nil {
				out.PattrsBinary = append(out.PattrsBinary, b)
			}
		}
	}
	return out
}
