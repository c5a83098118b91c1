package engine

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
func newPolicies(ctx context.Context, srv *server.BgpServer) (*policies, error) {
	p := &policies{server: srv, peers: make(map[netip.Addr]*peerPolicy), traits: make(map[string]map[netip.Addr]bool)}
	if err := p.writeNextHop(ctx); err != nil {
		return nil, fmt.Errorf("bgp: next hop policy: %w", err)
	}
	if err := errors.Join(p.writeImport(ctx, srv), p.writeExport(ctx)); err != nil {
		return nil, fmt.Errorf("bgp: policy: %w", err)
	}
	return p, nil
}

// writeImport writes what is done with paths on import. All are accepted: the
// judge hands on no others.
func (p *policies) writeImport(ctx context.Context, srv *server.BgpServer) error {
	statements, err := p.honorCommunities(ctx, dirImport)
	if err != nil {
		return err
	}
	if err := p.addPolicy(ctx, dirImport.String(), statements); err != nil {
		return err
	}
	if err := zeroLocalPref(srv, shutdownStatement); err != nil {
		return err
	}
	if err := errors.Join(p.addPolicy(ctx, importPolicy, nil), p.addPolicy(ctx, drainPolicy, nil)); err != nil {
		return err
	}
	return p.server.SetPolicyAssignment(ctx, &api.SetPolicyAssignmentRequest{Assignment: &api.PolicyAssignment{
		Name:          "global",
		Direction:     dirImport.api(),
		Policies:      []*api.Policy{{Name: importPolicy}, {Name: dirImport.String()}, {Name: drainPolicy}},
		DefaultAction: api.RouteAction_ROUTE_ACTION_ACCEPT,
	}})
}

// writeExport writes what concerns all neighbors.
func (p *policies) writeExport(ctx context.Context) error {
	statements, err := p.honorCommunities(ctx, dirExport)
	if err != nil {
		return err
	}
	for _, write := range []func(context.Context, place) ([]*api.Statement, error){p.rejects, p.classes} {
		for _, f := range families4and6 {
			sts, err := write(ctx, place{dirExport, f})
			if err != nil {
				return err
			}
			statements = append(statements, sts...)
		}
	}
	if err := p.addPolicy(ctx, dirExport.String(), statements); err != nil {
		return err
	}
	return p.server.SetPolicyAssignment(ctx, &api.SetPolicyAssignmentRequest{Assignment: &api.PolicyAssignment{
		Name:          "global",
		Direction:     dirExport.api(),
		Policies:      []*api.Policy{{Name: nextHopPolicy}, {Name: dirExport.String()}},
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
	return []*api.Statement{statement(name, name, "", false)}, err
}

// classes writes the statements that accept a class of prefixes from or for
// the neighbors in a set.
func (p *policies) classes(ctx context.Context, at place) (sts []*api.Statement, err error) {
	all, bits := at.fam.everything(), at.fam.everything().Addr().BitLen()
	for _, c := range []struct {
		class string
		match match
	}{
		{"own", match{all, 0, bits}},
		{"any", match{all, 1, bits}},
		{"default", match{all, 0, 0}},
	} {
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
