package bgp

import (
	"context"
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
