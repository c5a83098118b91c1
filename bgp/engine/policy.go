package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/osrg/gobgp/v4/api"
)

// GoBGP has per-neighbor policies for route-server clients only, so filters
// are statements of two global policies, conditioned on neighbor sets. GoBGP
// walks them in order for each path, and on export for each path and neighbor.
// What most neighbors have in common (any, default, own) is therefore one
// statement each with a set of neighbors; only neighbors with prefixes of
// their own add statements:
//
//	import: preference; communities; order of those that are drained
//	export: next hop and preference; communities, martians → reject; own, any, default → accept; then per neighbor
//
// and what passes none of them is accepted on import, as the judge of a
// neighbor's messages hands on no more than that, and rejected on export. A path
// is exported with this end's address of the session as its next hop, for iBGP
// too, which takes a statement: the tunnel's address is all that the far end can
// be sure to reach. Neighbors that need another next hop for one family have a
// statement for each such next hop.
//
// Sets that are in use are changed in place, entry by entry: replacing one
// leaves statements with the old one. An empty neighbor set would match every
// neighbor, hence the placeholder.
type policies struct {
	server policyServer
	peers  map[netip.Addr]*peerPolicy     // by peer address, without zone
	traits map[string]map[netip.Addr]bool // the neighbors of each set that addTrait has made, by its name
}

// policyServer is what policies need of GoBGP.
type policyServer interface {
	AddDefinedSet(context.Context, *api.AddDefinedSetRequest) error
	DeleteDefinedSet(context.Context, *api.DeleteDefinedSetRequest) error
	AddStatement(context.Context, *api.AddStatementRequest) error
	DeleteStatement(context.Context, *api.DeleteStatementRequest) error
	AddPolicy(context.Context, *api.AddPolicyRequest) error
	DeletePolicy(context.Context, *api.DeletePolicyRequest) error
	AddPolicyAssignment(context.Context, *api.AddPolicyAssignmentRequest) error
	DeletePolicyAssignment(context.Context, *api.DeletePolicyAssignmentRequest) error
	SetPolicyAssignment(context.Context, *api.SetPolicyAssignmentRequest) error
}

// A peerPolicy is what of one neighbor is in GoBGP.
type peerPolicy struct {
	rules     map[place]*rule
	objects   map[place]bool // has sets and statements of its own
	preferred preferred
}

// A place is where in the policies a rule applies.
type place struct {
	dir direction
	fam family
}

// set names what concerns all neighbors, or one of them, at a place.
func (at place) set(what string) string { return fmt.Sprintf("%s-%s-%s", at.dir, what, at.fam) }

type direction int

const (
	dirImport direction = iota
	dirExport
)

func (d direction) String() string { return [2]string{"import", "export"}[d] }

func (d direction) api() api.PolicyDirection {
	return [2]api.PolicyDirection{api.PolicyDirection_POLICY_DIRECTION_IMPORT, api.PolicyDirection_POLICY_DIRECTION_EXPORT}[d]
}

// A rule is the part of a Policy that concerns one place.
type rule struct {
	classes map[string]bool // of any, default, own, self
	matches map[match]bool
	hop     netip.Addr // on export, the next hop if not the session's address
}

// A match is a Filter in the one form that each set of prefixes has.
type match struct {
	prefix         netip.Prefix
	minLen, maxLen int
}

func matchOf(f Filter) match {
	minLen, maxLen := f.Lengths()
	return match{f.Prefix, minLen, maxLen}
}

func newRule(p Policy, at place) rule {
	r := rule{
		classes: map[string]bool{"any": p.Any, "default": p.Default, "own": p.Own && at.dir == dirExport, "self": false},
		matches: make(map[match]bool),
	}
	for _, f := range p.Prefixes {
		if familyOf(f.Prefix) == at.fam {
			r.matches[matchOf(f)] = true
		}
	}
	return r
}

var placeholder = netip.MustParseAddr("255.255.255.255")

// peer returns what of the neighbor at addr is in GoBGP, to be changed.
func (p *policies) peer(addr netip.Addr) *peerPolicy {
	pp := p.peers[addr]
	if pp == nil {
		pp = &peerPolicy{rules: make(map[place]*rule), objects: make(map[place]bool)}
		p.peers[addr] = pp
	}
	return pp
}

// set makes GoBGP's rule for addr at a place equal to want, and reports
// whether that took a change. What p remembers follows each step that GoBGP has
// taken, so that after an error another call goes on with the rest.
func (p *policies) set(ctx context.Context, addr netip.Addr, at place, want rule) (changed bool, err error) {
	pp := p.peer(addr)
	if pp.rules[at] == nil {
		pp.rules[at] = &rule{classes: make(map[string]bool), matches: make(map[match]bool)}
	}
	have := pp.rules[at]
	errs := []error{p.setClasses(ctx, addr, at, have, want, &changed), p.setHop(ctx, addr, at, have, want.hop, &changed)}
	added, removed := missing(want.matches, have.matches), missing(have.matches, want.matches)
	if len(added)+len(removed) == 0 {
		return changed, errors.Join(errs...)
	}
	changed = true
	if !pp.objects[at] {
		if err := p.addObjects(ctx, addr, at); err != nil {
			return changed, errors.Join(append(errs, err, p.removeObjects(ctx, addr, at))...)
		}
		pp.objects[at] = true
	}
	set := at.set(addr.String())
	if err = p.removePrefixes(ctx, set, removed...); err == nil {
		for _, m := range removed {
			delete(have.matches, m)
		}
	}
	errs = append(errs, err)
	if err = p.addPrefixes(ctx, set, added...); err == nil {
		for _, m := range added {
			have.matches[m] = true
		}
	}
	return changed, errors.Join(append(errs, err)...)
}

func (p *policies) setClasses(ctx context.Context, addr netip.Addr, at place, have *rule, want rule, changed *bool) error {
	var errs []error
	for _, class := range slices.Sorted(maps.Keys(want.classes)) {
		on := want.classes[class]
		if on == have.classes[class] {
			continue
		}
		*changed = true
		do := p.removeNeighbor
		if on {
			do = p.addNeighbor
		}
		err := do(ctx, at.set(class), addr)
		if err == nil {
			have.classes[class] = on
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (p *policies) setHop(ctx context.Context, addr netip.Addr, at place, have *rule, hop netip.Addr, changed *bool) error {
	if hop == have.hop {
		return nil
	}
	*changed = true
	if err := p.removeHop(ctx, addr, at, have.hop); err != nil {
		return err
	}
	have.hop = netip.Addr{}
	if err := p.addHop(ctx, addr, at, hop); err != nil {
		return err
	}
	have.hop = hop
	return nil
}

// missing returns what a has and b has not.
func missing(a, b map[match]bool) []match {
	var ms []match
	for m := range a {
		if !b[m] {
			ms = append(ms, m)
		}
	}
	return ms
}

// addObjects makes the sets, the statement and the policy for a neighbor's own
// prefixes and puts the policy last.
func (p *policies) addObjects(ctx context.Context, addr netip.Addr, at place) error {
	name := at.set(addr.String())
	err := errors.Join(p.addPrefixes(ctx, name), p.addNeighbor(ctx, name, addr))
	if err != nil {
		return err
	}
	st := statement(name, name, name, true)
	late := &api.Statement{Name: name, Conditions: &api.Conditions{PrefixSet: st.Conditions.PrefixSet}}
	st.Conditions.PrefixSet = nil
	if err := p.addPolicy(ctx, name, []*api.Statement{st, late}); err != nil {
		return err
	}
	return p.server.AddPolicyAssignment(ctx, &api.AddPolicyAssignmentRequest{Assignment: &api.PolicyAssignment{
		Name: "global", Direction: at.dir.api(), Policies: []*api.Policy{{Name: name}},
		DefaultAction: api.RouteAction_ROUTE_ACTION_REJECT,
	}})
}

// removeObjects takes that back.
func (p *policies) removeObjects(ctx context.Context, addr netip.Addr, at place) error {
	name := at.set(addr.String())
	return errors.Join(
		p.server.DeletePolicyAssignment(ctx, &api.DeletePolicyAssignmentRequest{Assignment: &api.PolicyAssignment{
			Name: "global", Direction: at.dir.api(), Policies: []*api.Policy{{Name: name}},
		}}),
		p.server.DeletePolicy(ctx, &api.DeletePolicyRequest{Policy: &api.Policy{Name: name}, All: true}),
		p.server.DeleteDefinedSet(ctx, &api.DeleteDefinedSetRequest{DefinedSet: prefixSet(name), All: true}),
		p.server.DeleteDefinedSet(ctx, &api.DeleteDefinedSetRequest{DefinedSet: neighborSet(name, addr), All: true}))
}

// forget removes all that concerns addr. After an error it can be called again.
func (p *policies) forget(addr netip.Addr) error {
	ctx := context.Background()
	pp := p.peers[addr]
	if pp == nil {
		return nil
	}
	var errs []error
	for at := range pp.rules {
		_, err := p.set(ctx, addr, at, newRule(Policy{}, at))
		errs = append(errs, err)
	}
	for at := range pp.objects {
		err := p.removeObjects(ctx, addr, at)
		if err == nil {
			delete(pp.objects, at)
		}
		errs = append(errs, err)
	}
	_, err := p.setPreference(ctx, addr, 0, preferred{})
	err = errors.Join(append(errs, err)...)
	if err == nil {
		delete(p.peers, addr)
	}
	return err
}
