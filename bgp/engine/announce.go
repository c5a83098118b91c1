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
// wanted: it announces what is new and withdraws what is gone.
func (s *Speaker) announce() error {
	s.mu.Lock()
	want := s.wanted.announced
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
	if len(add)+len(remove) == 0 {
		return nil
	}
	slices.SortFunc(add, netip.Prefix.Compare) // so that the same error has the same words
	slices.SortFunc(remove, netip.Prefix.Compare)
	s.opMu.Lock()
	defer s.opMu.Unlock()
	err := errors.Join(s.announceBatches(remove, false), s.announceBatches(add, true))
	s.notify()
	if err != nil {
		return fmt.Errorf("bgp: announce: %w", err)
	}
	return nil
}

// announceBatches announces or withdraws prefixes, and remembers those that
// GoBGP has taken.
func (s *Speaker) announceBatches(prefixes []netip.Prefix, add bool) error {
	for batch := range slices.Chunk(prefixes, announceBatch) {
		paths := make([]*apiutil.Path, 0, len(batch))
		for _, p := range batch {
			path, err := localPath(p)
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
				s.announced[p] = struct{}{}
			} else {
				delete(s.announced, p)
			}
		}
		s.mu.Unlock()
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
