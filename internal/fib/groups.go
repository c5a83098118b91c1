package fib

import (
	"maps"
	"slices"

	"golang.org/x/sys/unix"

	"warren/internal/rtnl"
)

// usableLocked returns the interface of a hop that can be in a group now.
func (f *FIB) usableLocked(name string) (index uint32, ok bool) {
	l, up := f.pic.link(name)
	return l.Index, up && l.Carrier && !f.sets.hops[name].Down
}

// planObjectsLocked compares the groups with what they should be. What takes a hop that
// is down out of all its groups is the removal of its object alone, so that it is one
// message however many there are, and no group is left empty that need not be.
func (f *FIB) planObjectsLocked() (ops []objectOp) {
	down := f.downObjectsLocked()
	for _, of := range f.sets.groups() {
		for fam := range families {
			if of.refs[fam] > 0 {
				ops = f.planGroupLocked(ops, of, fam, down)
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(down)) {
		ops = append(ops, objectOp{object: f.objects.have[id]})
	}
	return ops
}

// downObjectsLocked returns the objects of interfaces that must not be used.
func (f *FIB) downObjectsLocked() map[uint32]bool {
	down := map[uint32]bool{}
	for fam := range families {
		for index, id := range f.objects.hops[fam] {
			l, known := f.pic.links[index]
			if known && f.sets.hops[l.Name].Down {
				down[id] = true
			}
		}
	}
	return down
}

func (f *FIB) planGroupLocked(ops []objectOp, of *set, fam int, down map[uint32]bool) []objectOp {
	var members []rtnl.Member
	for _, w := range of.ways {
		index, ok := f.usableLocked(w.Interface)
		if !ok {
			continue
		}
		id, made := f.objects.hops[fam][index]
		if !made {
			id = f.objects.number()
			hop := rtnl.NextHop{ID: id, Family: families[fam], Protocol: uint8(f.cfg.Protocol), Index: index}
			ops = append(ops, objectOp{object: hop, flags: unix.NLM_F_CREATE | unix.NLM_F_EXCL, family: fam})
			f.objects.note(f.cfg.Protocol, hop) // for the next set; what fails is read again
		}
		members = append(members, rtnl.Member{ID: id, Weight: f.sets.weight(w)})
	}
	of.failed[fam] = nil
	if len(members) == 0 {
		return ops
	}
	slices.SortFunc(members, func(a, b rtnl.Member) int { return int(a.ID) - int(b.ID) })
	id, flags := of.group[fam], uint16(unix.NLM_F_REPLACE)
	if id == 0 {
		id = f.adoptLocked(members)
	}
	if id == 0 {
		id, flags = f.objects.number(), unix.NLM_F_CREATE|unix.NLM_F_EXCL
	} else if f.isGroupLocked(id, members, down) {
		of.group[fam] = id
		return ops
	}
	group := rtnl.NextHop{ID: id, Protocol: uint8(f.cfg.Protocol), Group: members}
	f.objects.have[id] = group
	of.group[fam] = id
	return append(ops, objectOp{object: group, flags: flags, of: of, family: fam})
}

// isGroupLocked reports whether a group has these members when those that are down have left.
func (f *FIB) isGroupLocked(id uint32, members []rtnl.Member, down map[uint32]bool) bool {
	left := slices.DeleteFunc(slices.Clone(f.objects.have[id].Group), func(m rtnl.Member) bool { return down[m.ID] })
	slices.SortFunc(left, func(a, b rtnl.Member) int { return int(a.ID) - int(b.ID) })
	return slices.Equal(left, members)
}

// adoptLocked returns a group with these members that no set has: a killed daemon's.
func (f *FIB) adoptLocked(members []rtnl.Member) uint32 {
	used := f.usedGroupsLocked()
	for _, id := range slices.Sorted(maps.Keys(f.objects.have)) {
		if n := f.objects.have[id]; n.Group != nil && !n.Odd && !used[id] && f.isGroupLocked(id, members, nil) {
			return id
		}
	}
	return 0
}

func (f *FIB) usedGroupsLocked() map[uint32]bool {
	used := map[uint32]bool{}
	for _, of := range f.sets.all {
		for fam := range families {
			if of.refs[fam] > 0 {
				used[of.group[fam]] = true
			}
		}
	}
	return used
}
