package speaker

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"

	"warren/bgp"
)

// Most prefixes have the same ways as many others, of which there may be millions. So each
// set of ways is kept once, and counts the prefixes that have it; and so is what it is for
// the daemon, who knows neighbors by name and nothing of owners.
type sets struct {
	all   []waySet         // by number; 0 is the set without ways
	ids   map[string]setID // by key
	free  []setID
	told  []toldSet // by number; 0 is the one without ways
	names map[string]toldID
	spare []toldID

	key []byte // scratch memory
}

type (
	setID  uint32
	toldID uint32
)

// A waySet is the ways to a prefix: those in use first.
type waySet struct {
	members []member
	told    toldID
	refs    int
}

// A member is a way, by its owner.
type member struct {
	o       *owner
	gateway netip.Addr // not valid: the owner's neighbor is at the far end of a tunnel
	reserve bool       // as the owner's process has said
	// before is reserve as the process before has said, as long as something of that one is
	// left in the set, and true if that one had no such way. See set.shown.
	before bool
}

// A toldSet is what the daemon is told.
type toldSet struct {
	ways []bgp.Way
	key  string
	refs int // of sets, and of what has changed
}

func newSets() sets {
	return sets{all: make([]waySet, 1), ids: map[string]setID{}, told: make([]toldSet, 1), names: map[string]toldID{}}
}

// normal puts members right that are not retained any more or not retained yet: before means
// something only where a process has told some of them and the one before the others.
func normal(members []member) []member {
	if !mixed(members) {
		for i := range members {
			members[i].before = false
		}
	}
	return members
}

// mixed reports whether some of the members are stale and some are not.
func mixed(members []member) bool {
	stale := 0
	for _, m := range members {
		if !m.o.stale.IsZero() {
			stale++
		}
	}
	return stale > 0 && stale < len(members)
}

// shown is what the daemon is told of members. As long as the new process has not told of all that the
// one before has, and the neighbors have time to announce it again, nothing changes but that
// ways are added in reserve: what is best is not known yet, and each change would be two in the
// kernel.
func shown(members []member) []bgp.Way {
	if len(members) == 0 {
		return nil
	}
	flag := func(m member) bool { return m.reserve }
	if mixed(members) {
		flag = func(m member) bool {
			if m.o.stale.IsZero() {
				return m.before
			}
			return m.reserve
		}
		if !slices.ContainsFunc(members, func(m member) bool { return !flag(m) }) {
			flag = func(m member) bool { return m.reserve || !m.o.stale.IsZero() }
		}
	}
	if !slices.ContainsFunc(members, func(m member) bool { return !flag(m) }) {
		best := members[0].o // the one that was has gone
		flag = func(m member) bool { return m.o != best }
	}
	var ways []bgp.Way
	for _, reserve := range [...]bool{false, true} {
		from := len(ways)
		for _, m := range members {
			if flag(m) == reserve {
				ways = append(ways, bgp.Way{Neighbor: m.o.neighbor.Name, Gateway: m.gateway, Reserve: reserve})
			}
		}
		if !reserve { // whichever process has told it
			slices.SortFunc(ways[from:], func(a, b bgp.Way) int { return strings.Compare(a.Neighbor, b.Neighbor) })
		}
	}
	return ways
}

// intern returns the number of a set, which counts one prefix more. It does not keep members.
func (s *sets) intern(members []member) setID {
	if len(members) == 0 {
		return 0
	}
	s.makeKey(members)
	id, ok := s.ids[string(s.key)]
	if !ok {
		if n := len(s.free); n > 0 {
			id, s.free = s.free[n-1], s.free[:n-1]
		} else {
			id = setID(len(s.all))
			s.all = append(s.all, waySet{})
		}
		s.ids[string(s.key)] = id
		s.all[id] = waySet{members: slices.Clone(members), told: s.internTold(shown(members))}
	}
	s.all[id].refs++
	return id
}

func (s *sets) makeKey(members []member) {
	s.key = s.key[:0]
	for _, m := range members {
		flags := byte(0)
		if m.reserve {
			flags |= 1
		}
		if m.before {
			flags |= 2
		}
		s.key = appendGateway(append(binary.BigEndian.AppendUint32(s.key, m.o.id), flags), m.gateway)
	}
}

// appendGateway appends a gateway to a key, with its length.
func appendGateway(b []byte, a netip.Addr) []byte {
	return append(append(b, byte(a.BitLen()/8)), a.AsSlice()...)
}

// release takes back what intern has counted.
func (s *sets) release(id setID) {
	if id == 0 {
		return
	}
	set := &s.all[id]
	if set.refs--; set.refs > 0 {
		return
	}
	s.makeKey(set.members)
	delete(s.ids, string(s.key))
	s.releaseTold(set.told)
	*set = waySet{}
	s.free = append(s.free, id)
}

func (s *sets) internTold(ways []bgp.Way) toldID {
	if len(ways) == 0 {
		return 0
	}
	s.key = s.key[:0]
	for _, w := range ways {
		flag := byte(0)
		if w.Reserve {
			flag = 1
		}
		s.key = appendGateway(append(append(s.key, w.Neighbor...), 0, flag), w.Gateway)
	}
	id, ok := s.names[string(s.key)]
	if !ok {
		if n := len(s.spare); n > 0 {
			id, s.spare = s.spare[n-1], s.spare[:n-1]
		} else {
			id = toldID(len(s.told))
			s.told = append(s.told, toldSet{})
		}
		s.told[id] = toldSet{ways: ways, key: string(s.key)}
		s.names[s.told[id].key] = id
	}
	s.told[id].refs++
	return id
}

func (s *sets) releaseTold(id toldID) {
	if id == 0 {
		return
	}
	t := &s.told[id]
	if t.refs--; t.refs > 0 {
		return
	}
	delete(s.names, t.key)
	*t = toldSet{}
	s.spare = append(s.spare, id)
}
