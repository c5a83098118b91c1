package bgp

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// announceBatch is how many paths GoBGP is given at once; it does nothing else
// in the meantime.
const announceBatch = 500

// SetAnnounced makes the locally originated prefixes equal to the given ones:
// it announces what is new and withdraws what is gone. Each neighbor gets of
// them what its export policy passes.
func (s *Speaker) SetAnnounced(_ context.Context, prefixes []netip.Prefix) error {
	want := make(map[netip.Prefix]struct{}, len(prefixes))
	for _, p := range prefixes {
		if !p.IsValid() || p.Addr().Is4In6() {
			return fmt.Errorf("bgp: announce %s: not a prefix", p)
		}
		want[p.Masked()] = struct{}{}
	}
	s.opMu.Lock()
	defer s.opMu.Unlock()
	s.mu.Lock()
	var add, remove []netip.Prefix
	for p := range want {
		if _, ok := s.announced[p]; !ok {
			add = append(add, p)
		}
	}
	for p := range s.announced {
		if _, ok := want[p]; !ok {
			remove = append(remove, p)
		}
	}
	s.mu.Unlock()
	slices.SortFunc(add, netip.Prefix.Compare) // so that the same error has the same words
	slices.SortFunc(remove, netip.Prefix.Compare)
	err := inBatches(add, func(paths []*apiutil.Path) error {
		_, err := s.server.AddPath(apiutil.AddPathRequest{Paths: paths})
		return err
	})
	if err == nil {
		err = inBatches(remove, func(paths []*apiutil.Path) error {
			return s.server.DeletePath(apiutil.DeletePathRequest{Paths: paths})
		})
	}
	if err != nil {
		return fmt.Errorf("bgp: announce: %w", err)
	}
	s.mu.Lock()
	s.announced = want
	s.mu.Unlock()
	return nil
}

func inBatches(prefixes []netip.Prefix, do func([]*apiutil.Path) error) error {
	paths := make([]*apiutil.Path, 0, min(len(prefixes), announceBatch))
	for i, p := range prefixes {
		path, err := localPath(p)
		if err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
		paths = append(paths, path)
		if len(paths) == announceBatch || i == len(prefixes)-1 {
			if err := do(paths); err != nil {
				return fmt.Errorf("%s and others: %w", p, err)
			}
			paths = paths[:0]
		}
	}
	return nil
}

// localPath is a path of this router's own. The unspecified next hop stands
// for this end's address of whichever session the path goes out on.
func localPath(p netip.Prefix) (*apiutil.Path, error) {
	nlri, err := gobgp.NewIPAddrPrefix(p)
	if err != nil {
		return nil, err
	}
	f := familyOf(p)
	var nextHop gobgp.PathAttributeInterface
	if f == ipv4 {
		nextHop, err = gobgp.NewPathAttributeNextHop(netip.IPv4Unspecified())
	} else {
		nextHop, err = gobgp.NewPathAttributeMpReachNLRI(f.gobgp(), []gobgp.PathNLRI{{NLRI: nlri}}, netip.IPv6Unspecified())
	}
	if err != nil {
		return nil, err
	}
	return &apiutil.Path{
		Family: f.gobgp(),
		Nlri:   nlri,
		Age:    time.Now().Unix(),
		Attrs:  []gobgp.PathAttributeInterface{gobgp.NewPathAttributeOrigin(gobgp.BGP_ORIGIN_ATTR_TYPE_IGP), nextHop},
	}, nil
}
