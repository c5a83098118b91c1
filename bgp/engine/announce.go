package engine

import (
	"errors"
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

// announce makes the locally originated prefixes in GoBGP equal to what is
// wanted: it announces what is new, or has another route origin, and withdraws what is gone.
func (s *Speaker) announce() error {
	s.mu.Lock()
	want := s.wanted.announced
	var add, remove []netip.Prefix
	origins := make(map[netip.Prefix]netip.Addr, len(want))
	for p := range want {
		origins[p] = s.routeOriginLocked(p)
		if is, ok := s.announced[p]; !ok || is != origins[p] {
			add = append(add, p)
		}
	}
	for p := range s.announced {
		if _, ok := want[p]; !ok {
			remove = append(remove, p)
		}
	}
	s.mu.Unlock()
	if len(add)+len(remove) == 0 {
		return nil
	}
	slices.SortFunc(add, netip.Prefix.Compare) // so that the same error has the same words
	slices.SortFunc(remove, netip.Prefix.Compare)
	s.opMu.Lock()
	defer s.opMu.Unlock()
	err := errors.Join(s.announceBatches(remove, nil), s.announceBatches(add, origins))
	s.notify()
	if err != nil {
		return fmt.Errorf("bgp: announce: %w", err)
	}
	return nil
}

// announceBatches announces prefixes with their route origins, or withdraws them if that is nil, and remembers those that
// GoBGP has taken.
func (s *Speaker) announceBatches(prefixes []netip.Prefix, origins map[netip.Prefix]netip.Addr) error {
	add := origins != nil
	for batch := range slices.Chunk(prefixes, announceBatch) {
		paths := make([]*apiutil.Path, 0, len(batch))
		for _, p := range batch {
			path, err := localPath(p, origins[p])
			if err != nil {
				return fmt.Errorf("%s: %w", p, err)
			}
			paths = append(paths, path)
		}
		var err error
		if add {
			_, err = s.server.AddPath(apiutil.AddPathRequest{Paths: paths})
		} else {
			err = s.server.DeletePath(apiutil.DeletePathRequest{Paths: paths})
		}
		if err != nil {
			return fmt.Errorf("%s and others: %w", batch[0], err)
		}
		s.mu.Lock()
		for _, p := range batch {
			if add {
				s.announced[p] = origins[p]
			} else {
				delete(s.announced, p)
			}
		}
		s.mu.Unlock()
	}
	return nil
}

// localPath is a path of this router's own. The unspecified next hop stands
// for this end's address of whichever session the path goes out on. The route origin is left out if it is not valid.
func localPath(p netip.Prefix, origin netip.Addr) (*apiutil.Path, error) {
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
	attrs := []gobgp.PathAttributeInterface{gobgp.NewPathAttributeOrigin(gobgp.BGP_ORIGIN_ATTR_TYPE_IGP), nextHop}
	if origin.IsValid() {
		of, err := gobgp.NewIPv4AddressSpecificExtended(gobgp.EC_SUBTYPE_ROUTE_ORIGIN, origin, 0, true)
		if err != nil {
			return nil, err
		}
		attrs = append(attrs, gobgp.NewPathAttributeExtendedCommunities([]gobgp.ExtendedCommunityInterface{of}))
	}
	return &apiutil.Path{Family: f.gobgp(), Nlri: nlri, Age: time.Now().Unix(), Attrs: attrs}, nil
}
