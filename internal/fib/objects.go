package fib

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

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
	hops  [2]map[hopKey]uint32 // the object of a hop, by the object's family
	taken map[uint32]bool      // numbers of others'
	next  uint32
}

// hopKey tells hops apart.
type hopKey struct {
	index   uint32     // of the interface
	gateway netip.Addr // on it; not valid: none
}

func keyOf(n rtnl.NextHop) hopKey { return hopKey{n.Index, n.Gateway} }

func newObjects() objects {
	return objects{
		stale: true, dirty: true, have: map[uint32]rtnl.NextHop{},
		hops: [2]map[hopKey]uint32{{}, {}}, taken: map[uint32]bool{}, next: firstObject,
	}
}

// number returns a number that no object has, as far as we know. Where all are taken it is one
// that the kernel will refuse.
func (o *objects) number() (n uint32) {
	for range lastObject - firstObject + 1 {
		n = o.next
		if o.next++; o.next > lastObject {
			o.next = firstObject
		}
		if _, ours := o.have[n]; !ours && !o.taken[n] {
			break
		}
	}
	return n
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
			o.hops[familyOf(n)][keyOf(n)] = n.ID
		}
	}
}

// unmake drops an object that could not be made. The groups that were to have it are read
// again before they are used.
func (o *objects) unmake(n rtnl.NextHop) {
	delete(o.have, n.ID)
	if n.Index != 0 && o.hops[familyOf(n)][keyOf(n)] == n.ID {
		delete(o.hops[familyOf(n)], keyOf(n))
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
	o.unmake(n)
	if n.Index == 0 {
		return
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
	for try := 1; ; try++ {
		f.objects = newObjects()
		f.objects.next, f.objects.stale = before.next, false
		interrupted, err := f.conn.Dump(unix.RTM_GETNEXTHOP, rtnl.NextHopRequest(), func(typ uint16, b []byte) {
			if n, ok := rtnl.ParseNextHop(b); ok && typ == unix.RTM_NEWNEXTHOP {
				f.objects.note(f.cfg.Protocol, n)
			}
		})
		if err == nil && interrupted && try == dumpTries {
			err = errInterrupted
		}
		if err != nil {
			f.objects = before
			return fmt.Errorf("read the kernel's next-hop objects: %w", err)
		}
		if !interrupted {
			break
		}
	}
	f.vanishedLocked(before.have)
	return nil
}

var errInterrupted = errors.New("they kept changing meanwhile")

// vanishedLocked forgets the routes that used objects that were there before and are gone.
func (f *FIB) vanishedLocked(before map[uint32]rtnl.NextHop) {
	gone, routes := map[uint32]bool{}, 0
	for id := range before {
		if _, still := f.objects.have[id]; !still {
			gone[id] = true
			routes += f.pic.onHop[id]
		}
	}
	for _, of := range f.sets.all {
		for fam, id := range of.group {
			of.left[fam] = slices.DeleteFunc(of.left[fam], func(id uint32) bool { return gone[id] })
			if gone[id] {
				of.group[fam] = f.resumeLocked(of, fam)
			}
		}
	}
	if routes == 0 {
		return
	}
	f.flushes++
	for e := range f.pic.entries.all() {
		if f.pic.removeIf(e, func(n node) bool { return gone[n.object()] }) {
			f.queueLocked(e)
		}
	}
}

// removedObjectLocked notes that an object is gone, with the groups that it leaves empty
// and their routes.
func (f *FIB) removedObjectLocked(id uint32) {
	before := maps.Clone(f.objects.have)
	f.objects.forget(id)
	f.vanishedLocked(before)
}
