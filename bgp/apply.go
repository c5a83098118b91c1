package bgp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// writePolicies brings GoBGP's policies for n up to date, and has GoBGP apply
// them to the routes it holds. opMu is held.
func (s *Speaker) writePolicies(n *neighbor) error {
	s.mu.Lock()
	want := make(map[place]rule)
	for _, f := range families4and6 {
		in, out := place{dirImport, f}, place{dirExport, f}
		want[in], want[out] = newRule(n.Import, in), newRule(n.Export, out)
		if l := &n.ledgers[f]; l.narrowed {
			want[in] = newRule(Policy{Prefixes: l.exact()}, in)
		}
	}
	s.mu.Unlock()
	var changed [2]bool
	var errs []error
	for at, r := range want {
		c, err := s.policies.set(s.ctx, n.key, at, r)
		changed[at.dir] = changed[at.dir] || c
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return s.softReset(n, changed[dirImport], changed[dirExport])
}

// softReset makes GoBGP run n's routes through the policies again.
func (s *Speaker) softReset(n *neighbor, in, out bool) error {
	s.mu.Lock()
	established := n.session.state == stateEstablished
	s.mu.Unlock()
	if !established {
		return nil
	}
	for dir, wanted := range map[api.ResetPeerRequest_Direction]bool{
		api.ResetPeerRequest_DIRECTION_IN:  in,
		api.ResetPeerRequest_DIRECTION_OUT: out,
	} {
		if !wanted {
			continue
		}
		err := s.server.ResetPeer(s.ctx, &api.ResetPeerRequest{Address: n.PeerAddr.String(), Soft: true, Direction: dir})
		if err != nil {
			return fmt.Errorf("soft reset: %w", err)
		}
	}
	return nil
}

// judgeLocked applies n's import policy and limit to its ledgers.
func (s *Speaker) judgeLocked(n *neighbor) {
	for f := range n.ledgers {
		imports := func(p netip.Prefix) bool { return s.importsLocked(n, p) }
		for _, p := range n.ledgers[f].judge(imports, n.MaxPrefixes) {
			s.rib.changed[p] = struct{}{}
		}
	}
}

// Limits are settled soon after one is crossed, so that a flood is turned away
// by policy and not one by one, and then not too often: each time costs GoBGP
// a pass over all that the neighbor announces.
const (
	limitDelay    = 200 * time.Millisecond
	limitInterval = time.Second
)

func (s *Speaker) wakeEnforcer() {
	select {
	case s.overflow <- struct{}{}:
	default:
	}
}

// enforceLimits settles the ledgers that overflow or have room again, until
// the speaker stops.
func (s *Speaker) enforceLimits() {
	for wait := limitDelay; ; wait = limitInterval {
		select {
		case <-s.overflow:
		case <-s.ctx.Done():
			return
		}
		select {
		case <-time.After(wait):
		case <-s.ctx.Done():
			return
		}
		s.settle()
	}
}

// settle does one round of enforceLimits.
func (s *Speaker) settle() {
	s.opMu.Lock()
	defer s.opMu.Unlock()
	s.mu.Lock()
	var work []*neighbor
	for _, n := range s.neighbors {
		needed := false
		for f := range n.ledgers {
			l := &n.ledgers[f]
			if !l.needsWork(n.MaxPrefixes) {
				continue
			}
			needed = true
			was := l.narrowed
			for _, p := range l.settle(n.MaxPrefixes) {
				s.rib.changed[p] = struct{}{}
			}
			if l.narrowed && !was {
				s.log.Warn("peer announces more prefixes than max_prefixes: the rest is refused",
					slog.String("peer", n.Name), slog.String("family", family(f).String()),
					slog.Int("max_prefixes", n.MaxPrefixes))
			}
		}
		if needed {
			work = append(work, n)
		}
	}
	s.mu.Unlock()
	for _, n := range work {
		if err := s.writePolicies(n); err != nil {
			s.log.Error("prefix limit not applied", slog.String("peer", n.Name), slog.Any("err", err))
		}
	}
	s.notify()
}

// SetNeverImport refuses exactly these prefixes from every neighbor, whatever
// its import policy says: this router's own networks and the connected ones.
// The list replaces the one before.
func (s *Speaker) SetNeverImport(ctx context.Context, prefixes []netip.Prefix) error {
	never := make(map[netip.Prefix]struct{}, len(prefixes))
	matches := make(map[match]bool, len(prefixes))
	for _, p := range prefixes {
		never[p.Masked()] = struct{}{}
		matches[matchOf(Filter{Prefix: p.Masked()})] = true
	}
	s.opMu.Lock()
	defer s.opMu.Unlock()
	s.mu.Lock()
	s.never = never
	all := make([]*neighbor, 0, len(s.neighbors))
	for _, n := range s.neighbors {
		s.judgeLocked(n)
		all = append(all, n)
	}
	s.mu.Unlock()
	s.notify()
	changed, err := s.policies.setNever(ctx, matches)
	if err != nil || !changed {
		return err
	}
	for _, n := range all {
		if err := errors.Join(s.writePolicies(n), s.softReset(n, true, false)); err != nil {
			return fmt.Errorf("bgp: set never-import: peer %s: %w", n.Name, err)
		}
	}
	return nil
}

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
