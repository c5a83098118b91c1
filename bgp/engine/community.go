package engine

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"unsafe"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/osrg/gobgp/v4/pkg/server"
)

// What well-known communities ask for is done by policy statements, since GoBGP
// knows them by name only:
//
//	NO_ADVERTISE          to no neighbor                      RFC 1997
//	NO_EXPORT             not to eBGP neighbors               RFC 1997
//	NO_EXPORT_SUBCONFED   likewise: there is no confederation RFC 1997
//	BLACKHOLE             on import NO_EXPORT is added        RFC 7999, section 3.2
//	GRACEFUL_SHUTDOWN     from eBGP: LOCAL_PREF 0 on import   RFC 8326, section 4.1
//
// Traffic is not discarded for BLACKHOLE: it goes to the neighbor that asks for
// it, as RFC 7999 section 3.3 wants without an explicit agreement. A path with
// LLGR_STALE (RFC 9494) GoBGP takes for the worst there is and sends to nobody
// that has not offered the capability, so to nobody here. The others that are
// registered (ACCEPT_OWN, NO_LLGR, NOPEER) mean something to routers that do
// what they are about. Those and communities of any other kind pass unchanged.
const (
	noAdvertiseStatement = "export-no-advertise"
	noExportStatement    = "export-no-export"
	blackholeStatement   = "import-blackhole"
	shutdownStatement    = "import-graceful-shutdown"
)

// honorCommunities makes the sets of communities and returns the statements to
// put first in a direction, but for shutdownStatement, which needs a finishing
// touch (zeroLocalPref) once it is in a policy.
func (p *policies) honorCommunities(ctx context.Context, dir direction) (sts []*api.Statement, err error) {
	when := func(name string, to *api.Actions, communities ...gobgp.WellKnownCommunity) *api.Statement {
		set := &api.DefinedSet{DefinedType: api.DefinedType_DEFINED_TYPE_COMMUNITY, Name: name}
		for _, c := range communities {
			set.List = append(set.List, text(c))
		}
		err = errors.Join(err, p.server.AddDefinedSet(ctx, &api.AddDefinedSetRequest{DefinedSet: set}))
		return &api.Statement{
			Name:       name,
			Conditions: &api.Conditions{CommunitySet: &api.MatchSet{Type: api.MatchSet_TYPE_ANY, Name: name}},
			Actions:    to,
		}
	}
	if dir == dirImport {
		noExport := &api.CommunityAction{Type: api.CommunityAction_TYPE_ADD, Communities: []string{text(gobgp.COMMUNITY_NO_EXPORT)}}
		blackhole := when(blackholeStatement, &api.Actions{Community: noExport}, gobgp.COMMUNITY_BLACKHOLE)
		shutdown := when(shutdownStatement, &api.Actions{LocalPref: &api.LocalPrefAction{Value: 1}}, gobgp.COMMUNITY_PLANNED_SHUT)
		shutdown.Conditions.RouteType = api.Conditions_ROUTE_TYPE_EXTERNAL
		return []*api.Statement{blackhole, shutdown}, err
	}
	reject := &api.Actions{RouteAction: api.RouteAction_ROUTE_ACTION_REJECT}
	noAdvertise := when(noAdvertiseStatement, reject, gobgp.COMMUNITY_NO_ADVERTISE)
	noExport := when(noExportStatement, reject, gobgp.COMMUNITY_NO_EXPORT, gobgp.COMMUNITY_NO_EXPORT_SUBCONFED)
	// Few paths have such a community, and there may be many neighbors: those
	// come second. The iBGP ones of either family are the same.
	late := &api.Statement{Name: noExportStatement, Conditions: &api.Conditions{
		NeighborSet: &api.MatchSet{Type: api.MatchSet_TYPE_INVERT, Name: place{dirExport, ipv4}.set("self")},
	}}
	return []*api.Statement{noAdvertise, noExport, late}, err
}

func text(c gobgp.WellKnownCommunity) string { return fmt.Sprintf("%d:%d", uint32(c)>>16, uint16(c)) }

// zeroLocalPref makes the LOCAL_PREF that a statement sets 0, which RFC 8326
// recommends and iBGP neighbors compare. GoBGP's API takes 0 for none given,
// hence the unexported fields. They are written before the statement's policy is
// used, and if another release has renamed or retyped them, this fails and New
// with it.
func zeroLocalPref(srv *server.BgpServer, name string) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("bgp: this GoBGP release keeps the action of a statement elsewhere (%v): build with the version in go.mod", r)
		}
	}()
	statements := reflect.ValueOf(srv).Elem().FieldByName("policy").Elem().FieldByName("statementMap")
	actions := statements.MapIndex(reflect.ValueOf(name)).Elem().FieldByName("ModActions")
	value := actions.Index(0).Elem().Elem().FieldByName("value")
	if actions.Len() != 1 || value.Kind() != reflect.Uint32 || value.Uint() != 1 {
		return fmt.Errorf("bgp: this GoBGP release has other actions in a statement (%s): build with the version in go.mod", value.Kind())
	}
	*(*uint32)(unsafe.Pointer(value.UnsafeAddr())) = 0
	return nil
}

// A scope says to whom a path may be sent at all, whatever the export policy
// says.
type scope uint8

const (
	toAll scope = iota
	toInternal
	toNobody
)

// scopeOf is what the statements make of a path's communities, for what counts
// announced prefixes.
func scopeOf(path *apiutil.Path) (s scope) {
	for _, attr := range path.Attrs {
		communities, ok := attr.(*gobgp.PathAttributeCommunities)
		if !ok {
			continue
		}
		for _, c := range communities.Value {
			switch gobgp.WellKnownCommunity(c) {
			case gobgp.COMMUNITY_NO_ADVERTISE, gobgp.COMMUNITY_LLGR_STALE:
				s = toNobody
			case gobgp.COMMUNITY_NO_EXPORT, gobgp.COMMUNITY_NO_EXPORT_SUBCONFED:
				s = max(s, toInternal)
			}
		}
	}
	return s
}
