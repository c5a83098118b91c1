package fib

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"warren/internal/rtnl"
)

// Numbers of next-hop objects. Ours are those of our protocol in this range; a number
// that someone else has taken is passed over.
const (
	firstObject = 827900000
	lastObject  = firstObject + 99_999
)

// objects is what we believe of the kernel's next-hop objects. Guarded by FIB.mu.
type objects struct {
	stale bool // have may be wrong: read it again before use
	dirty bool // the sets, the hops or the links have changed since the last comparison
	have  map[uint32]rtnl.NextHop
	hops  [2]map[uint32]uint32 // the object of an interface, by family
	taken map[uint32]bool      // numbers of others'
	next  uint32
}

func newObjects() objects {
	return objects{
		stale: true, dirty: true, have: map[uint32]rtnl.NextHop{},
		hops: [2]map[uint32]uint32{{}, {}}, taken: map[uint32]bool{}, next: firstObject,
	}
}

// number returns a number that no object has, as far as we know.
func (o *objects) number() uint32 {
	for {
		n := o.next
		if o.next++; o.next > lastObject {
			o.next = firstObject
		}
		if _, ours := o.have[n]; !ours && !o.taken[n] {
			return n
		}
	}
}

// note takes in an object of the kernel's.
func (o *objects) note(protocol int, n rtnl.NextHop) {
	switch {
	case n.ID < firstObject || n.ID > lastObject:
	case n.Protocol != uint8(protocol):
		o.taken[n.ID] = true
	default:
		o.have[n.ID] = n
		if n.Index != 0 && !n.Odd {
			o.hops[familyOf(n)][n.Index] = n.ID
		}
	}
}

func familyOf(n rtnl.NextHop) int {
	if n.Family == unix.AF_INET {
		return 0
	}
	return 1
}

// forget drops an object, as the kernel does: with it goes its place in groups, and a
// group that is left empty.
func (o *objects) forget(id uint32) {
	n := o.have[id]
	delete(o.have, id)
	if n.Index == 0 {
		return
	}
	if f := familyOf(n); o.hops[f][n.Index] == id {
		delete(o.hops[f], n.Index)
	}
	for number, group := range o.have {
		if !slices.ContainsFunc(group.Group, func(m rtnl.Member) bool { return m.ID == id }) {
			continue
		}
		group.Group = slices.DeleteFunc(slices.Clone(group.Group), func(m rtnl.Member) bool { return m.ID == id })
		o.have[number] = group
		if len(group.Group) == 0 {
			delete(o.have, number)
		}
	}
}

// probeObjects asks the kernel whether it has next-hop objects.
func probeObjects(c *rtnl.Conn) (absent bool, err error) {
	_, err = c.Dump(unix.RTM_GETNEXTHOP, rtnl.NextHopRequest(), func(uint16, []byte) {})
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EINVAL) {
		return true, nil
	}
	return false, err
}

// loadObjectsLocked reads the kernel's objects. Routes of objects that are gone are gone
// too: of IPv4 ones the kernel says nothing (net/ipv4/nexthop.c, nexthop_flush_dev).
func (f *FIB) loadObjectsLocked() error {
	before := f.objects
	f.objects = newObjects()
	f.objects.next, f.objects.stale = before.next, false
	_, err := f.conn.Dump(unix.RTM_GETNEXTHOP, rtnl.NextHopRequest(), func(typ uint16, b []byte) {
		if n, ok := rtnl.ParseNextHop(b); ok && typ == unix.RTM_NEWNEXTHOP {
			f.objects.note(f.cfg.Protocol, n)
		}
	})
	if err != nil {
		f.objects = before
		return fmt.Errorf("read the kernel's next-hop objects: %w", err)
	}
	for id := range before.have {
		if _, still := f.objects.have[id]; !still {
			f.vanishedLocked(id)
		}
	}
	return nil
}

// vanishedLocked forgets the routes that used an object.
func (f *FIB) vanishedLocked(id uint32) {
	for _, of := range f.sets.all {
		for fam := range of.group {
			if of.group[fam] == id {
				of.group[fam] = 0
			}
		}
	}
	if f.pic.onHop[id] == 0 {
		return
	}
	f.flushes++
	for prefix, e := range f.pic.entries {
		if f.pic.removeIf(e, func(n *node) bool { return n.nexthop == id }) {
			f.queueLocked(prefix, e)
		}
	}
}

// usableLocked returns the interface of a hop that can be in a group now.
func (f *FIB) usableLocked(name string) (index uint32, ok bool) {
	l, up := f.pic.link(name)
	return l.Index, up && l.Carrier && !f.sets.hops[name].Down
}

// objectOp is one message about an object.
type objectOp struct {
	object rtnl.NextHop
	flags  uint16 // of a new one; 0: it is removed
	of     *set   // whose group it is
	family int
}

// objectsLocked makes the groups what they should be. Objects that nothing needs any
// more stay until the routes have left them (collectLocked).
func (f *FIB) objectsLocked() error {
	o := &f.objects
	for try := 1; !f.noObjects && (o.dirty || o.stale); try++ {
		if o.stale {
			if err := f.loadObjectsLocked(); err != nil {
				return err
			}
		}
		o.dirty = false
		again, err := f.sendObjectsLocked(f.planObjectsLocked())
		if err != nil {
			return err
		}
		if !again {
			return nil
		}
		o.stale = true
		if try == dumpTries {
			f.retryLocked(retrySoon)
			return nil
		}
	}
	return nil
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

// sendObjectsLocked sends messages about objects. again: the kernel has other objects or
// links than we believed.
func (f *FIB) sendObjectsLocked(ops []objectOp) (again bool, err error) {
	for batch := range slices.Chunk(ops, batchSize) {
		b := f.conn.Batch()
		for _, o := range batch {
			typ := uint16(unix.RTM_DELNEXTHOP)
			if o.flags != 0 {
				typ = unix.RTM_NEWNEXTHOP
			}
			b.NextHop(typ, o.flags, o.object)
		}
		f.sent.Add(uint64(len(batch)))
		answers := make(map[int]rtnl.Answer)
		if err := b.Send(func(i int, a rtnl.Answer) { answers[i] = a }); err != nil {
			f.objects.stale, f.objects.dirty = true, true
			return false, err
		}
		for i, o := range batch {
			again = f.objectAnswerLocked(o, answers[i]) || again
		}
	}
	return again, nil
}

// objectAnswerLocked notes the answer to one message about an object.
func (f *FIB) objectAnswerLocked(o objectOp, a rtnl.Answer) (again bool) {
	switch {
	case o.flags == 0: // one that is not there is as good as removed
		if a.Errno != 0 && a.Errno != unix.ENOENT {
			f.log.Warn("fib: cannot remove a next-hop object", "id", o.object.ID, "err", a.Errno)
		}
		f.removedObjectLocked(o.object.ID)
		return false
	case a.Errno == 0:
		f.queueSetLocked(o.of, o.family)
		return false
	}
	if o.flags&unix.NLM_F_CREATE != 0 {
		f.objects.forget(o.object.ID)
		if o.of != nil {
			o.of.group[o.family] = 0
		}
	}
	if retryObject(a.Errno) {
		return true
	}
	if o.of != nil {
		o.of.failed[o.family] = fmt.Errorf("make a next-hop group: %w", a.Errno)
		f.queueSetLocked(o.of, o.family)
	}
	f.retryLocked(retryFailed)
	return false
}

// retryObject tells the answers that say that something is not as we believed: a number
// is taken, an object is gone, a link has gone down.
func retryObject(errno syscall.Errno) bool {
	switch errno {
	case unix.EEXIST, unix.ENOENT, unix.ENODEV, unix.ENETDOWN, unix.EINVAL:
		return true
	}
	return false
}

// removedObjectLocked notes that an object is gone, with the groups that it leaves empty
// and their routes.
func (f *FIB) removedObjectLocked(id uint32) {
	before := slices.Collect(maps.Keys(f.objects.have))
	f.objects.forget(id)
	for _, b := range before {
		if _, still := f.objects.have[b]; !still {
			f.vanishedLocked(b)
		}
	}
}

// queueSetLocked queues the prefixes of a set that have no route yet.
func (f *FIB) queueSetLocked(of *set, fam int) {
	if of == nil {
		return
	}
	for prefix, e := range f.pic.entries {
		if e.want == of && e.state != stateInstalled && family(prefix) == fam {
			f.queueLocked(prefix, e)
		}
	}
}

// collectLocked removes the objects that nothing needs: groups that no set has and no
// owned route uses, then hops that are in no group.
func (f *FIB) collectLocked() error {
	if len(f.objects.have) == 0 || f.objects.stale || f.pic.stale {
		return nil
	}
	used, member := f.usedGroupsLocked(), map[uint32]bool{}
	var ops []objectOp
	for _, id := range slices.Sorted(maps.Keys(f.objects.have)) {
		n := f.objects.have[id]
		if n.Index == 0 && !used[id] && f.pic.onHop[id] == 0 {
			ops = append(ops, objectOp{object: n})
			continue
		}
		for _, m := range n.Group {
			member[m.ID] = true
		}
	}
	for _, id := range slices.Sorted(maps.Keys(f.objects.have)) {
		if n := f.objects.have[id]; n.Index != 0 && !member[id] && f.pic.onHop[id] == 0 {
			ops = append(ops, objectOp{object: n})
		}
	}
	_, err := f.sendObjectsLocked(ops)
	return err
}
