package fib

import (
	"bytes"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"warren/internal/rtnl"
)

// manyRoutes is how many routes may use a group that is replaced without need. With
// net.ipv4.nexthop_compat_mode the kernel sends an event for each of them in one go, at 1 µs each,
// and nothing else runs on that processor until it is done (net/ipv4/nexthop.c,
// nexthop_replace_notify). The routes of a larger group are moved to another one instead, in batches
// between which others run.
const manyRoutes = 4096

// compatFile is the setting of the network namespace of the thread that opens it.
const compatFile = "/proc/sys/net/ipv4/nexthop_compat_mode"

// tellsRoutes reports whether the kernel sends an event for each route of a group that is replaced.
// Before Linux 5.8 there is no such setting, and it always does. setting may be nil.
func tellsRoutes(setting *os.File) bool {
	if setting == nil {
		return true
	}
	var text [8]byte
	n, _ := setting.ReadAt(text[:], 0)
	return string(bytes.TrimSpace(text[:n])) != "0"
}

// canMoveLocked reports whether the routes of a group had better move to a new one than have it
// replaced: those that have not moved yet go on by the members that it has.
func (f *FIB) canMoveLocked(p *objectPlan, of *set, fam int, id uint32) bool {
	return f.pic.onHop[id] > manyRoutes && f.carriesLocked(p, of, fam, id) && tellsRoutes(f.compat)
}

// carriesLocked reports whether a group is not empty when those that are down have left, and each other
// member is a way of the set that can be used, whose neighbor is not late.
func (f *FIB) carriesLocked(p *objectPlan, of *set, fam int, id uint32) bool {
	any := false
	for _, m := range f.objects.have[id].Group {
		if p.down[m.ID] {
			continue
		}
		if any = true; !slices.ContainsFunc(of.ways, func(w Way) bool {
			index, ok := f.usableLocked(w.Interface)
			return ok && !f.sets.late[w.Neighbor] && f.objects.hops[w.objectFamily(fam)][hopKey{index, w.Gateway}] == m.ID
		}) {
			return false
		}
	}
	return any
}

// planLeftLocked plans what becomes of the groups that the routes of a set are leaving: while some still use
// one it must not be empty, as the kernel would remove them, nor lead where it should not any more.
func (f *FIB) planLeftLocked(p *objectPlan, of *set, fam int, members []rtnl.Member) {
	for _, id := range of.left[fam] {
		if f.pic.onHop[id] > 0 && !f.carriesLocked(p, of, fam, id) && !f.isGroupLocked(id, members, p.down) {
			f.planMembersLocked(p, of, fam, id, unix.NLM_F_REPLACE, members)
		}
	}
}

// resumeLocked returns the group that most routes of a set have not left yet, which they do not leave
// then; 0: there is none.
func (f *FIB) resumeLocked(of *set, fam int) (best uint32) {
	for _, id := range of.left[fam] {
		if n := f.pic.onHop[id]; n > 0 && (best == 0 || n > f.pic.onHop[best]) {
			best = id
		}
	}
	of.left[fam] = slices.DeleteFunc(of.left[fam], func(id uint32) bool { return id == best })
	return best
}

// moveSomeLocked queues some of the prefixes the routes of which are to leave a group. They are not all
// queued at once, so that a prefix that changes meanwhile has its turn.
func (f *FIB) moveSomeLocked() {
	t := &f.pic.entries // compacted only when nothing moves
	for ; f.moving && len(f.dirty) < 4*batchSize; f.moveAt++ {
		if f.moving = f.moveAt < t.used; !f.moving {
			return
		}
		if e := t.place(f.moveAt); e.want != 0 && f.leavesLocked(e) {
			f.queueLocked(e)
		}
	}
}

func (f *FIB) leavesLocked(e *entry) bool {
	left := f.sets.list[e.want].left[e.key.family()]
	if len(left) == 0 {
		return false
	}
	for h := range f.pic.routes(e) {
		if slices.Contains(left, h.object()) {
			return true
		}
	}
	return false
}
