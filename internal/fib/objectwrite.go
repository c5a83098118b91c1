package fib

import (
	"fmt"
	"maps"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"warren/internal/rtnl"
)

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
		again, err := f.sendPlanLocked(f.planObjectsLocked(), try == dumpTries)
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

// sendPlanLocked sends new objects, then groups, then removals: until the groups are changed
// one may have no member but those that go, so if something is not as it was believed to be
// the removals wait for the next try; last: there is none.
func (f *FIB) sendPlanLocked(p *objectPlan, last bool) (again bool, err error) {
	again, err = f.sendObjectsLocked(p.hops)
	if err != nil {
		return false, err
	}
	p.groups = slices.DeleteFunc(p.groups, func(o objectOp) bool {
		lacks := slices.ContainsFunc(o.object.Group, func(m rtnl.Member) bool { return f.objects.have[m.ID].ID == 0 })
		if lacks { // the number may be that of another's object by now
			f.notMadeLocked(o)
		}
		again = again || lacks
		return lacks
	})
	retry, err := f.sendObjectsLocked(p.groups)
	if again = again || retry; err != nil || again && !last {
		return again, err
	}
	_, err = f.sendObjectsLocked(p.removes)
	return again, err
}

// sendObjectsLocked sends messages about objects. again: the kernel has other objects or
// links than we believed.
func (f *FIB) sendObjectsLocked(ops []objectOp) (again bool, err error) {
	changed := map[*set]bool{} // sets of which a group has changed, or could not be
	defer func() { f.queueMissingLocked(changed) }()
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
			retry := f.objectAnswerLocked(o, answers[i])
			again = again || retry
			if o.of != nil && !retry {
				changed[o.of] = true
			}
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
		return false
	}
	f.notMadeLocked(o)
	if retryObject(a.Errno) {
		return true
	}
	if o.of != nil {
		o.of.failed[o.family] = fmt.Errorf("make a next-hop group: %w", a.Errno)
	}
	f.retryLocked(retryFailed)
	return false
}

// notMadeLocked notes that an object was not made.
func (f *FIB) notMadeLocked(o objectOp) {
	if o.flags&unix.NLM_F_CREATE == 0 {
		return // a group, which has the members that it had: it is read again
	}
	f.objects.unmake(o.object)
	if o.of != nil {
		o.of.group[o.family] = f.resumeLocked(o.of, o.family)
	}
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

// queueMissingLocked queues the prefixes of sets that have no route yet.
func (f *FIB) queueMissingLocked(of map[*set]bool) {
	missing := 0
	for _, c := range f.pic.counts {
		missing += c[statePending] + c[stateFailed]
	}
	if len(of) == 0 || missing == 0 {
		return
	}
	for e := range f.pic.entries.all() {
		if e.want != 0 && e.state != stateInstalled && of[f.sets.list[e.want]] {
			f.queueLocked(e)
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
