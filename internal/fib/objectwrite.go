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
