package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"

	"github.com/osrg/gobgp/v4/api"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// What is made of bgp.Neighbor.Drained (RFC 8326 sections 4.2 and 4.3):
//
//	from any neighbor      GRACEFUL_SHUTDOWN, so that those whom the route is announced to use another one too
//	from an eBGP neighbor  LOCAL_PREF, by the statement for that community (community.go), or drainPolicy behind it
//	from an iBGP neighbor  LOCAL_PREF, by the judge
//	to any neighbor        GRACEFUL_SHUTDOWN
//	to an eBGP neighbor    MED and the own AS prepended (signal)
//	to an iBGP neighbor    LOCAL_PREF (peerConn.Write)

// A rank says whether a neighbor is drained, and its place among those that are: notDrained, or one more
// than the number of lower preferences among them.
type rank uint8

const notDrained rank = 0

// localPref is the LOCAL_PREF of a drained neighbor's routes.
func (r rank) localPref() uint32 { return uint32(max(r, 1) - 1) }

// rank is n's.
func (r *ranks) rank(n *Neighbor) rank {
	if r == nil || !n.Drained {
		return notDrained
	}
	return rank(slices.Index(r.drained, n.Preference) + 1)
}

// drain makes a signal that of n, which is drained. Within an AS the MED decides; another AS has to see
// a longer path.
func (r *ranks) drain(n *Neighbor, s *signal) {
	s.says, s.med = true, math.MaxUint32-r.rank(n).localPref()
	if !r.stays[n.ASN] && n.AllowOwnAS == 0 {
		s.prepend = maxPrepended
	}
}

// drainPolicy comes last on import: of several neighbors that are drained, one is better than another.
const drainPolicy = "import-drained-order"

// Sets of neighbors, and the statements about them.
const (
	drainedImport = "import-drained"
	drainedExport = "export-drained"
)

// orderSet names the neighbors of a rank whose LOCAL_PREF is another than that of GRACEFUL_SHUTDOWN.
func orderSet(r rank) string {
	if r.localPref() == 0 {
		return ""
	}
	return fmt.Sprintf("import-drained-%d", r.localPref())
}

// setDrained makes what GoBGP does with the communities of paths from and to addr, and with the order of
// those from it, as want has it. After an error it can be called again.
func (p *policies) setDrained(ctx context.Context, addr netip.Addr, have, want rank) error {
	set := func(r rank, name string) string {
		if r == notDrained {
			return ""
		}
		return name
	}
	tag := func(policy, name string) error {
		if (have == notDrained) == (want == notDrained) {
			return nil
		}
		return p.replaceStatement(ctx, policy, addr, set(have, name), set(want, name), tagStatement(name))
	}
	order := func() error {
		if orderSet(have) == orderSet(want) {
			return nil
		}
		lp := &api.Actions{LocalPref: &api.LocalPrefAction{Value: want.localPref()}}
		return p.replaceTrait(ctx, drainPolicy, addr, orderSet(have), orderSet(want), lp)
	}
	return errors.Join(tag(importPolicy, drainedImport), tag(nextHopPolicy, drainedExport), order())
}

// tagStatement adds GRACEFUL_SHUTDOWN where it is not there yet: GoBGP would add it a second time.
func tagStatement(name string) *api.Statement {
	return &api.Statement{
		Name: name,
		Conditions: &api.Conditions{
			NeighborSet:  &api.MatchSet{Type: api.MatchSet_TYPE_ANY, Name: name},
			CommunitySet: &api.MatchSet{Type: api.MatchSet_TYPE_INVERT, Name: shutdownStatement},
		},
		Actions: &api.Actions{Community: &api.CommunityAction{
			Type: api.CommunityAction_TYPE_ADD, Communities: []string{text(gobgp.COMMUNITY_PLANNED_SHUT)},
		}},
	}
}
