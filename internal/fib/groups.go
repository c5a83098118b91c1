package fib

import (
	"cmp"
	"maps"
	"slices"

	"golang.org/x/sys/unix"

	"warren/internal/rtnl"
)

// usableLocked returns the index of an interface that can be in a group now.
func (f *FIB) usableLocked(name string) (index uint32, ok bool) {
	l, up := f.pic.link(name)
	return l.Index, up && l.Carrier && !f.sets.hops[name].Down
}

// activeLocked returns the ways of a set that carry its traffic now: those not in reserve
// that can be used, or else the first in reserve that can. Those of late neighbors count where there are no others.
func (f *FIB) activeLocked(of *set) (active []Way) {
	for _, late := range [...]bool{false, true} {
		for _, w := range of.ways {
			if w.Reserve && len(active) > 0 {
				break
			}
			_, ok := f.usableLocked(w.Interface)
			if ok && f.sets.late[w.Neighbor] == late && !slices.ContainsFunc(active, w.leadsWhere) {
				active = append(active, w)
			}
		}
		if len(active) > 0 {
			break
		}
	}
	return active
}

// objectPlan is what makes the groups what they should be.
type objectPlan struct {
	hops    []objectOp // new objects
	groups  []objectOp // new groups, and groups that get other members
	removes []objectOp // objects of hops that are down
	down    map[uint32]bool
	claims  map[claim]int // see claimsLocked; nil: not counted yet
}

// planObjectsLocked compares the groups with what they should be. What takes a hop that
// is down out of all its groups is the removal of its object alone, so that it is one
// message however many there are. A group that would be left empty gets its reserve before.
func (f *FIB) planObjectsLocked() *objectPlan {
	p := &objectPlan{down: f.downObjectsLocked()}
	for _, of := range f.sets.groups() {
		for fam := range families {
			if of.refs[fam] > 0 {
				f.planGroupLocked(p, of, fam)
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(p.down)) {
		p.removes = append(p.removes, objectOp{object: f.objects.have[id]})
	}
	return p
}

// downObjectsLocked returns the objects of interfaces that must not be used.
func (f *FIB) downObjectsLocked() map[uint32]bool {
	down := map[uint32]bool{}
	for fam := range families {
		for hop, id := range f.objects.hops[fam] {
			l, known := f.pic.links[hop.index]
			if known && f.sets.hops[l.Name].Down {
				down[id] = true
			}
		}
	}
	return down
}

func (f *FIB) planGroupLocked(p *objectPlan, of *set, fam int) {
	of.failed[fam] = nil
	members := f.membersLocked(p, of, fam)
	if len(members) == 0 {
		return
	}
	id := of.group[fam]
	if id == 0 {
		id = f.adoptLocked(p, of, members)
	}
	switch {
	case id != 0 && f.isGroupLocked(id, members, p.down):
	case id != 0 && !f.canMoveLocked(p, of, fam, id):
		f.planMembersLocked(p, of, fam, id, unix.NLM_F_REPLACE, members)
	default:
		if id != 0 {
			of.left[fam] = append(of.left[fam], id)
			f.moving, f.moveAt = true, 0
		}
		id = f.objects.number()
		f.planMembersLocked(p, of, fam, id, unix.NLM_F_CREATE|unix.NLM_F_EXCL, members)
	}
	of.group[fam] = id
	f.planLeftLocked(p, of, fam, members)
}

// planMembersLocked plans a group with these members.
func (f *FIB) planMembersLocked(p *objectPlan, of *set, fam int, id uint32, flags uint16, members []rtnl.Member) {
	group := rtnl.NextHop{ID: id, Protocol: uint8(f.cfg.Protocol), Group: members}
	f.objects.have[id] = group
	p.groups = append(p.groups, objectOp{object: group, flags: flags, of: of, family: fam})
}

// membersLocked returns what is to be in the group of a set, by number, and plans the
// objects that are missing.
func (f *FIB) membersLocked(p *objectPlan, of *set, fam int) (members []rtnl.Member) {
	for _, w := range f.activeLocked(of) {
		index, _ := f.usableLocked(w.Interface)
		of := w.objectFamily(fam)
		id, made := f.objects.hops[of][hopKey{index, w.Gateway}]
		if !made {
			id = f.objects.number()
			hop := rtnl.NextHop{ID: id, Family: families[of], Protocol: uint8(f.cfg.Protocol), Index: index, Gateway: w.Gateway}
			p.hops = append(p.hops, objectOp{object: hop, flags: unix.NLM_F_CREATE | unix.NLM_F_EXCL, family: fam})
			f.objects.note(f.cfg.Protocol, hop) // for the next set; what fails is read again
		}
		members = append(members, rtnl.Member{ID: id, Weight: f.sets.weight(w)})
	}
	slices.SortFunc(members, byNumber)
	return members
}

// objectFamily is that of the object of a way for routes of a family: its gateway's, which
// routes of both may share.
func (w Way) objectFamily(fam int) int {
	switch {
	case !w.Gateway.IsValid():
		return fam
	case w.Gateway.Is4():
		return 0
	}
	return 1
}

func byNumber(a, b rtnl.Member) int { return cmp.Compare(a.ID, b.ID) }

// isGroupLocked reports whether a group has these members when those that are down have
// left. The weight of a single one says nothing.
func (f *FIB) isGroupLocked(id uint32, members []rtnl.Member, down map[uint32]bool) bool {
	left := slices.DeleteFunc(slices.Clone(f.objects.have[id].Group), func(m rtnl.Member) bool { return down[m.ID] })
	slices.SortFunc(left, byNumber)
	if len(left) == 1 && len(members) == 1 {
		return left[0].ID == members[0].ID
	}
	return slices.Equal(left, members)
}

// claim is a set whose prefixes have routes by a group that no set has: a killed daemon's.
type claim struct {
	of    *set
	group uint32
}

// adoptLocked returns the group with these members that no set has and most routes of the
// set's prefixes use, 0 for none. Sets that differ in their reserve alone have groups with
// the same members.
func (f *FIB) adoptLocked(p *objectPlan, of *set, members []rtnl.Member) (best uint32) {
	if p.claims == nil {
		p.claims = f.claimsLocked()
	}
	used := f.usedGroupsLocked()
	for c, n := range p.claims {
		if c.of == of && !used[c.group] && f.isGroupLocked(c.group, members, nil) &&
			(best == 0 || cmp.Or(cmp.Compare(p.claims[claim{of, best}], n), cmp.Compare(c.group, best)) < 0) {
			best = c.group
		}
	}
	return best
}

// claimsLocked counts the routes of each claim. Where there are no groups that no set has,
// it looks at none.
func (f *FIB) claimsLocked() map[claim]int {
	claims, free, used := map[claim]int{}, map[uint32]bool{}, f.usedGroupsLocked()
	for _, of := range f.sets.all {
		for _, id := range slices.Concat(of.left[:]...) { // the set sees to their members
			used[id] = true
		}
	}
	for id, n := range f.objects.have {
		if n.Group != nil && !n.Odd && !used[id] {
			free[id] = true
		}
	}
	if len(free) == 0 {
		return claims
	}
	for e := range f.pic.entries.all() {
		for h := range f.pic.routes(e) {
			if e.want != 0 && free[h.object()] {
				claims[claim{f.sets.list[e.want], h.object()}]++
			}
		}
	}
	return claims
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
