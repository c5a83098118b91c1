package bgp

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/server"

	"warren/martian"
)

// newPolicies writes the parts that concern all neighbors.
func newPolicies(ctx context.Context, srv *server.BgpServer, asn uint32) (*policies, error) {
	p := &policies{server: srv, peers: make(map[netip.Addr]*peerPolicy), hops: make(map[string]int), protected: &Protected{}}
	err := srv.AddDefinedSet(ctx, &api.AddDefinedSetRequest{DefinedSet: &api.DefinedSet{
		DefinedType: api.DefinedType_DEFINED_TYPE_AS_PATH, Name: loopedSet, List: []string{fmt.Sprintf("_%d_", asn)},
	}})
	if err != nil {
		return nil, fmt.Errorf("bgp: import policy: %w", err)
	}
	if err := p.writeNextHop(ctx); err != nil {
		return nil, fmt.Errorf("bgp: next hop policy: %w", err)
	}
	for _, dir := range []direction{dirImport, dirExport} {
		if err := p.writeGlobal(ctx, dir); err != nil {
			return nil, fmt.Errorf("bgp: %s policy: %w", dir, err)
		}
	}
	return p, nil
}

func (p *policies) writeGlobal(ctx context.Context, dir direction) error {
	var statements []*api.Statement
	if dir == dirImport {
		statements = append(statements, &api.Statement{
			Name:       "import-own",
			Conditions: &api.Conditions{RouteType: api.Conditions_ROUTE_TYPE_LOCAL},
			Actions:    &api.Actions{RouteAction: api.RouteAction_ROUTE_ACTION_ACCEPT},
		}, &api.Statement{
			Name:       loopedSet,
			Conditions: &api.Conditions{AsPathSet: &api.MatchSet{Type: api.MatchSet_TYPE_ANY, Name: loopedSet}},
			Actions:    &api.Actions{RouteAction: api.RouteAction_ROUTE_ACTION_REJECT},
		})
	}
	honored, err := p.honorCommunities(ctx, dir)
	if err != nil {
		return err
	}
	statements = append(statements, honored...)
	for _, write := range []func(context.Context, place) ([]*api.Statement, error){p.rejects, p.classes} {
		for _, f := range families4and6 {
			sts, err := write(ctx, place{dir, f})
			if err != nil {
				return err
			}
			statements = append(statements, sts...)
		}
	}
	if err := p.addPolicy(ctx, dir.String(), statements); err != nil {
		return err
	}
	if dir == dirImport {
		if err := zeroLocalPref(p.server, shutdownStatement); err != nil {
			return err
		}
	}
	assigned := []*api.Policy{{Name: dir.String()}}
	if dir == dirExport {
		assigned = append([]*api.Policy{{Name: nextHopPolicy}}, assigned...)
	}
	return p.server.SetPolicyAssignment(ctx, &api.SetPolicyAssignmentRequest{Assignment: &api.PolicyAssignment{
		Name:          "global",
		Direction:     dir.api(),
		Policies:      assigned,
		DefaultAction: api.RouteAction_ROUTE_ACTION_REJECT,
	}})
}

// rejects writes the statements that reject, and their sets.
func (p *policies) rejects(ctx context.Context, at place) ([]*api.Statement, error) {
	var ms []match
	for _, m := range martian.Prefixes() {
		if familyOf(m) == at.fam {
			ms = append(ms, match{m, m.Bits(), m.Addr().BitLen()})
		}
	}
	name := at.set("martians")
	err := p.addPrefixes(ctx, name, ms...)
	sts := []*api.Statement{statement(name, name, "", false)}
	if at.dir == dirImport {
		for _, what := range []string{"never", "reserved"} {
			name := at.set(what)
			err = errors.Join(err, p.addPrefixes(ctx, name))
			sts = append(sts, statement(name, name, "", false))
		}
		name := at.set("outside")
		err = errors.Join(err, p.addPrefixes(ctx, name), p.addNeighbor(ctx, name, placeholder))
		sts = append(sts, statement(name, name, name, false))
	}
	return sts, err
}

// classes writes the statements that accept a class of prefixes from or for
// the neighbors in a set.
func (p *policies) classes(ctx context.Context, at place) (sts []*api.Statement, err error) {
	all, bits := at.fam.everything(), at.fam.everything().Addr().BitLen()
	shortest := 1
	if at.dir == dirImport {
		shortest = shortestAny(all)
	}
	for _, c := range []struct {
		class string
		match match
	}{
		{"own", match{all, 0, bits}},
		{"any", match{all, shortest, bits}},
		{"default", match{all, 0, 0}},
	} {
		if c.class == "own" && at.dir == dirImport {
			continue
		}
		name := at.set(c.class)
		err = errors.Join(err, p.addPrefixes(ctx, name, c.match), p.addNeighbor(ctx, name, placeholder))
		st := statement(name, name, name, true)
		if c.class == "own" {
			late := &api.Statement{Name: name, Conditions: st.Conditions}
			st.Conditions = &api.Conditions{RouteType: api.Conditions_ROUTE_TYPE_LOCAL}
			sts = append(sts, st, late)
			continue
		}
		sts = append(sts, st)
	}
	return sts, err
}

// addPolicy makes a policy that is not assigned yet. GoBGP looks at a
// statement's prefixes first, which costs ten times what looking at a single
// neighbor does. Where another order is wanted, a further statement of the same
// name follows; its conditions are appended to the first one's.
func (p *policies) addPolicy(ctx context.Context, name string, sts []*api.Statement) error {
	var first, late []*api.Statement
	for _, st := range sts {
		if n := len(first); n > 0 && first[n-1].Name == st.Name {
			late = append(late, st)
		} else {
			first = append(first, st)
		}
	}
	err := p.server.AddPolicy(ctx, &api.AddPolicyRequest{Policy: &api.Policy{Name: name, Statements: first}})
	for _, st := range late {
		if err == nil {
			err = p.server.AddStatement(ctx, &api.AddStatementRequest{Statement: st})
		}
	}
	return err
}

// statement accepts or rejects what is in a prefix set and, if one is given,
// comes from or goes to a neighbor in a neighbor set.
func statement(name, prefixes, neighbors string, accept bool) *api.Statement {
	st := &api.Statement{
		Name:       name,
		Conditions: &api.Conditions{PrefixSet: &api.MatchSet{Type: api.MatchSet_TYPE_ANY, Name: prefixes}},
		Actions:    &api.Actions{RouteAction: api.RouteAction_ROUTE_ACTION_REJECT},
	}
	if neighbors != "" {
		st.Conditions.NeighborSet = &api.MatchSet{Type: api.MatchSet_TYPE_ANY, Name: neighbors}
	}
	if accept {
		st.Actions.RouteAction = api.RouteAction_ROUTE_ACTION_ACCEPT
	}
	return st
}
