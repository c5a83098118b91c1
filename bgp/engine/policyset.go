package engine

import (
	"context"
	"errors"
	"net/netip"

	"github.com/osrg/gobgp/v4/api"
)

func prefixSet(name string, ms ...match) *api.DefinedSet {
	set := &api.DefinedSet{DefinedType: api.DefinedType_DEFINED_TYPE_PREFIX, Name: name}
	for _, m := range ms {
		set.Prefixes = append(set.Prefixes, &api.Prefix{
			IpPrefix: m.prefix.String(), MaskLengthMin: uint32(m.minLen), MaskLengthMax: uint32(m.maxLen),
		})
	}
	return set
}

func neighborSet(name string, addr netip.Addr) *api.DefinedSet {
	return &api.DefinedSet{
		DefinedType: api.DefinedType_DEFINED_TYPE_NEIGHBOR, Name: name,
		List: []string{netip.PrefixFrom(addr, addr.BitLen()).String()},
	}
}

// addPrefixes also makes the set if there is none.
func (p *policies) addPrefixes(ctx context.Context, set string, ms ...match) error {
	return p.server.AddDefinedSet(ctx, &api.AddDefinedSetRequest{DefinedSet: prefixSet(set, ms...)})
}

func (p *policies) removePrefixes(ctx context.Context, set string, ms ...match) error {
	if len(ms) == 0 {
		return nil
	}
	return p.server.DeleteDefinedSet(ctx, &api.DeleteDefinedSetRequest{DefinedSet: prefixSet(set, ms...)})
}

func (p *policies) addNeighbor(ctx context.Context, set string, addr netip.Addr) error {
	return p.server.AddDefinedSet(ctx, &api.AddDefinedSetRequest{DefinedSet: neighborSet(set, addr)})
}

func (p *policies) removeNeighbor(ctx context.Context, set string, addr netip.Addr) error {
	return p.server.DeleteDefinedSet(ctx, &api.DeleteDefinedSetRequest{DefinedSet: neighborSet(set, addr)})
}

// nextHopPolicy is the policy that comes before the one for export: it decides
// about next hops and what a signal says (preference.go), and about nothing else.
const nextHopPolicy = "next-hop"

// writeNextHop makes that policy, with the set of those neighbors that get this
// end's address of the session where GoBGP would leave another next hop: iBGP.
func (p *policies) writeNextHop(ctx context.Context) error {
	var sts []*api.Statement
	for _, f := range families4and6 {
		at := place{dirExport, f}
		set := at.set("self")
		if err := p.addNeighbor(ctx, set, placeholder); err != nil {
			return err
		}
		sts = append(sts, hopStatement(set, at, &api.NexthopAction{Self: true}))
	}
	return p.server.AddPolicy(ctx, &api.AddPolicyRequest{Policy: &api.Policy{Name: nextHopPolicy, Statements: sts}})
}

func hopStatement(set string, at place, hop *api.NexthopAction) *api.Statement {
	return &api.Statement{
		Name: set,
		Conditions: &api.Conditions{
			NeighborSet: &api.MatchSet{Type: api.MatchSet_TYPE_ANY, Name: set},
			AfiSafiIn:   []*api.Family{at.fam.api()},
		},
		Actions: &api.Actions{Nexthop: hop},
	}
}

// addHop has the neighbor at addr get a next hop with the paths of a family.
func (p *policies) addHop(ctx context.Context, addr netip.Addr, at place, hop netip.Addr) error {
	if !hop.IsValid() {
		return nil
	}
	return p.addTrait(ctx, nextHopPolicy, addr, hopStatement(at.set("via-"+hop.String()), at, &api.NexthopAction{Address: hop.String()}))
}

// removeHop takes that back.
func (p *policies) removeHop(ctx context.Context, addr netip.Addr, at place, hop netip.Addr) error {
	if !hop.IsValid() {
		return nil
	}
	return p.removeTrait(ctx, nextHopPolicy, addr, at.set("via-"+hop.String()))
}

// addTrait has a statement of a policy apply to the neighbor at addr. The statement and its set of
// neighbors have one name; they are made for the first neighbor.
func (p *policies) addTrait(ctx context.Context, policy string, addr netip.Addr, st *api.Statement) error {
	all := p.traits[st.Name]
	if all[addr] {
		return nil
	}
	if err := p.addNeighbor(ctx, st.Name, addr); err != nil {
		return err
	}
	if len(all) == 0 {
		if err := p.server.AddPolicy(ctx, &api.AddPolicyRequest{Policy: &api.Policy{Name: policy, Statements: []*api.Statement{st}}}); err != nil {
			return err
		}
		all = make(map[netip.Addr]bool)
		p.traits[st.Name] = all
	}
	all[addr] = true
	return nil
}

// removeTrait takes that back. The last neighbor takes the statement along.
func (p *policies) removeTrait(ctx context.Context, policy string, addr netip.Addr, name string) error {
	all := p.traits[name]
	if !all[addr] {
		return nil
	}
	if len(all) > 1 {
		err := p.removeNeighbor(ctx, name, addr)
		if err == nil {
			delete(all, addr)
		}
		return err
	}
	delete(p.traits, name)
	st := &api.Statement{Name: name}
	return errors.Join(
		p.server.DeletePolicy(ctx, &api.DeletePolicyRequest{Policy: &api.Policy{Name: policy, Statements: []*api.Statement{st}}}),
		p.server.DeleteStatement(ctx, &api.DeleteStatementRequest{Statement: st, All: true}),
		p.server.DeleteDefinedSet(ctx, &api.DeleteDefinedSetRequest{DefinedSet: neighborSet(name, addr), All: true}))
}
