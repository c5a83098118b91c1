package engine

import (
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// GoBGP 4.8.0 sends a new session its table first, and takes the session for
// established only then. What changes in between is not sent, ever: a route that
// the peer does not get, or one that it keeps. So changes of that time are looked
// for, by the time that they have, and if there were any that concern the
// neighbor it gets its table once more. Of what is not in the table any more GoBGP
// says nothing then either, so that is withdrawn here, before.

// A confirmation is the time in which GoBGP may lose changes for a neighbor.
type confirmation struct {
	from time.Time // when the peer's OPEN had come: before the table is sent
	to   time.Time // when GoBGP was seen to take the session for established; zero: not yet
}

// confirm notes that GoBGP takes n's session for established, or has that looked
// at again soon. opMu is held.
func (s *Speaker) confirm(n *neighbor) {
	switch s.takesForEstablished(n) {
	case notYet:
		s.wakeSoon()
	case yes:
		s.mu.Lock()
		if c := s.confirming[n]; c != nil && c.to.IsZero() {
			c.to = time.Now()
		}
		s.mu.Unlock()
	}
}

// unconfirmed reports whether confirm is to be called. Speaker.mu is held.
func (s *Speaker) unconfirmedLocked(n *neighbor) bool {
	c := s.confirming[n]
	return c != nil && c.to.IsZero() && n.session.state == stateEstablished
}

// lookForMissedLocked marks the neighbors that may have missed a change.
func (s *Speaker) lookForMissedLocked(paths []*apiutil.Path, at time.Time) {
	found := false
	for n, c := range s.confirming {
		if !c.to.IsZero() && at.After(c.to) {
			delete(s.confirming, n)
			continue
		}
		if at.Before(c.from) || n.session.away() {
			continue
		}
		for _, path := range paths {
			if p, ok := prefixOf(path); ok && s.mayExportLocked(n, p) {
				n.session.miss(p)
				n.applied.resetting, found = true, true
			}
		}
	}
	if found {
		s.wake()
	}
}

// mayExportLocked reports whether a change of p may have to be sent to n.
func (s *Speaker) mayExportLocked(n *neighbor, p netip.Prefix) bool {
	_, is := s.announced[p]
	_, willBe := s.wanted.announced[p]
	// One that is announced no longer may have been.
	return n.Export.Matches(p, is || willBe || s.rib.bestOf(p) == nil)
}

// miss takes note of a change that the peer may not have been told of.
func (ss *session) miss(p netip.Prefix) {
	if ss.missed == nil {
		ss.missed = make(map[netip.Prefix]struct{})
	}
	ss.missed[p] = struct{}{}
}

// withdrawMissedLocked has the peer told which of the changed prefixes are not there any
// more, ahead of whatever GoBGP sends next. It is called when GoBGP is about to send all
// routes: a prefix that comes back meanwhile is among them.
func (s *Speaker) withdrawMissedLocked(n *neighbor) error {
	var gone [2][]netip.Prefix // by family
	for p := range n.session.missed {
		if _, own := s.announced[p]; !own && s.rib.bestOf(p) == nil {
			gone[familyOf(p)] = append(gone[familyOf(p)], p)
		}
	}
	n.session.missed = nil
	if n.session.conn == nil {
		return nil
	}
	var ahead []byte
	for _, prefixes := range gone {
		for some := range slices.Chunk(prefixes, withdrawnAtOnce) {
			m, err := withdrawal(some)
			if err != nil {
				return err
			}
			ahead = append(ahead, m...)
		}
	}
	if len(ahead) > 0 {
		n.session.conn.sendAhead(ahead)
	}
	return nil
}

// withdrawnAtOnce is how many prefixes, of 17 octets at most, go into a message of 4096.
const withdrawnAtOnce = 200

// withdrawal is an UPDATE that withdraws prefixes of one family.
func withdrawal(prefixes []netip.Prefix) ([]byte, error) {
	nlri := make([]gobgp.PathNLRI, len(prefixes))
	for i, p := range prefixes {
		a, err := gobgp.NewIPAddrPrefix(p)
		if err != nil {
			return nil, err
		}
		nlri[i] = gobgp.PathNLRI{NLRI: a}
	}
	if familyOf(prefixes[0]) == ipv4 {
		return gobgp.NewBGPUpdateMessage(nlri, nil, nil).Serialize()
	}
	unreach, err := gobgp.NewPathAttributeMpUnreachNLRI(ipv6.gobgp(), nlri)
	if err != nil {
		return nil, errors.Join(errors.New("bgp: withdraw"), err)
	}
	return gobgp.NewBGPUpdateMessage(nil, []gobgp.PathAttributeInterface{unreach}, nil).Serialize()
}
