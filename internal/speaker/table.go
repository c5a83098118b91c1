package speaker

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"warren/bgp"
	"warren/bgp/byprefix"
)

// A table is what the daemon knows of neighbors and their routes. It is not safe for concurrent use.
//
// Each session of a neighbor in each process is an owner with a number of its own. Owners of a process
// that has died are stale: the ways that they own stay until the neighbor's next owner has them, or until
// expire drops them.
type table struct {
	last    uint32 // number that was given
	owners  map[uint32]*owner
	wanted  map[string]*owner // by the neighbor's name; none of them is stale
	sets    sets
	routes  byprefix.Map[setID]
	changed byprefix.Map[toldID] // what take has told last, where it is something else now
	members []member             // scratch memory

	protected *bgp.Protected
	awaited   time.Time // until when neighbors are waited for that were handed over; zero: they are not
}

// owner is a session of a neighbor, or what the last process has left of it.
type owner struct {
	id       uint32
	repeat   uint32 // see wire.Neighbor
	neighbor bgp.Neighbor
	limit    int       // of routes, 0: none; see setLimit
	routes   int       // how many prefixes it has a way to
	refused  bool      // the policy has refused some that the process has told, and may not tell again
	stale    time.Time // until when the routes may stay; zero: it is not stale
	handed   bool      // by the program before, and its neighbor was not wanted yet

	status      bgp.NeighborStatus
	since       dated     // Since in status
	unanswered  dated     // Unanswered
	restart     dated     // RestartUntil
	known       bool      // the process has told the status
	established time.Time // since when the process has told so; zero: it does not
	moved       time.Time // when it has told of a route last
	up          time.Time // when the session came up by its events; zero: it is down
}

func newTable() *table {
	return &table{
		owners: map[uint32]*owner{}, wanted: map[string]*owner{},
		sets: newSets(),
	}
}

// limitSlack is how many more routes than it may have a neighbor may seem to have for a moment,
// because what is withdrawn and what is announced instead come in any order.
const limitSlack = 1000

// setLimit bounds what the process may tell of a neighbor. A lower limit counts for
// sessions to come, as the process may be late.
func (o *owner) setLimit(maxPrefixes int) {
	const families = 2
	if maxPrefixes == 0 {
		o.limit = 0
	} else if n := 2*families*maxPrefixes + limitSlack; o.routes == 0 || n > o.limit {
		o.limit = n
	}
}

// want takes over what is wanted; addresses are normalized. The routes of neighbors that are not
// wanted any more, or in another session, are gone when it returns, and so are those that another policy
// refuses: the process may be late, or may not do it. What is protected only now the daemon gives no way by itself,
// and it changes with each tunnel that comes up, so that only stale owners are looked at for that, whose process will
// not take anything back. It returns those whose session was up, by their names.
func (t *table) want(neighbors []bgp.Neighbor, protected *bgp.Protected) (ended []*owner) {
	var affected func(netip.Prefix) bool // nil: the same is protected as before
	if !protected.Equal(t.protected) {
		affected = protected.Affects(t.protected)
	}
	t.protected = protected
	next, gone := make(map[string]*owner, len(neighbors)), losses{}
	for _, n := range neighbors {
		o := t.wanted[n.Name]
		if o == nil || !o.neighbor.SameSession(&n) {
			o = t.add(n)
		}
		otherImport := !o.neighbor.Import.Equal(n.Import)
		if o.refused && (otherImport || affected != nil) {
			o.refused = false
			o.repeat++
		}
		if otherImport {
			gone.some(o, t.refuses(n.Import, nil))
		}
		o.neighbor = n
		o.setLimit(n.MaxPrefixes)
		next[n.Name] = o
	}
	t.wanted = next
	for _, o := range t.owners {
		is := next[o.neighbor.Name]
		switch {
		case is == o:
		case o.handed && is == nil && !t.awaited.IsZero(): // its tunnel is not there yet
		case o.handed && is != nil && o.takenUp(&is.neighbor):
			gone.some(o, t.refuses(is.neighbor.Import, nil))
		case is != nil && !o.stale.IsZero() && o.neighbor.SameSession(&is.neighbor):
			if !o.neighbor.Import.Equal(is.neighbor.Import) {
				gone.some(o, t.refuses(is.neighbor.Import, nil))
			} else if affected != nil {
				gone.some(o, t.refuses(is.neighbor.Import, affected))
			}
			o.neighbor.Import = is.neighbor.Import
		default:
			if o.stale.IsZero() && !o.up.IsZero() {
				ended = append(ended, o)
			}
			gone.all(o)
		}
	}
	t.lose(gone)
	slices.SortFunc(ended, func(a, b *owner) int { return strings.Compare(a.neighbor.Name, b.neighbor.Name) })
	return ended
}

// refuses returns which prefixes a policy does not let in, of those that affected is true for; nil: of all.
func (t *table) refuses(imports bgp.Policy, affected func(netip.Prefix) bool) func(netip.Prefix) bool {
	narrowed := imports.Narrowed()
	return func(p netip.Prefix) bool {
		if affected != nil && !affected(p) {
			return false
		}
		ok, _ := narrowed(p).Accepts(p, t.protected)
		return !ok
	}
}

func (t *table) add(n bgp.Neighbor) *owner {
	t.last++
	o := &owner{id: t.last, neighbor: n}
	t.owners[o.id] = o
	return o
}

// orphan makes all owners stale, until a moment at the latest, because their process has died. What is
// wanted gets owners for the next one.
func (t *table) orphan(until time.Time) {
	t.settle()
	wanted := t.wanted
	t.wanted = make(map[string]*owner, len(wanted))
	for name, o := range wanted {
		o.stale = until
		if o.routes == 0 {
			delete(t.owners, o.id)
		}
		fresh := t.add(o.neighbor)
		fresh.setLimit(o.neighbor.MaxPrefixes)
		t.wanted[name] = fresh
	}
}

// settle gives up the difference between what two processes have said: what is shown is what
// the last one has said.
func (t *table) settle() {
	settled := make(map[setID]setID)
	for id := 1; id < len(t.sets.all); id++ { // new ones need no look
		set := &t.sets.all[id]
		if !mixed(set.members) {
			continue
		}
		ways := t.sets.told[set.told].ways
		t.members = t.members[:0]
		for _, w := range ways { // in their order
			at := slices.IndexFunc(set.members, func(m member) bool { return m.o.neighbor.Name == w.Neighbor })
			t.members = append(t.members, member{o: set.members[at].o, gateway: w.Gateway, reserve: w.Reserve, before: w.Reserve})
		}
		settled[setID(id)] = t.sets.intern(t.members)
	}
	for p, id := range t.routes.All() {
		if to, ok := settled[id]; ok {
			t.put(p, to)
		}
	}
	for _, id := range settled {
		t.sets.release(id)
	}
}

// staleUntil returns until when routes stay at the latest that neighbors have from a process that has died.
func (t *table) staleUntil() map[string]time.Time {
	until := map[string]time.Time{}
	for _, o := range t.owners {
		if o.routes > 0 && o.stale.After(until[o.neighbor.Name]) {
			until[o.neighbor.Name] = o.stale
		}
	}
	return until
}

// How long a neighbor is given to announce again what it has, from when the session is established and
// from its last route: with End-of-RIB markers, which GoBGP may be slower to get to than
// the judge, and without.
const (
	quietAfterEnd = 2 * time.Second
	quietWithout  = 10 * time.Second
)

// expire drops the stale owners whose time is over, or whose neighbors have announced again
// what they have. It reports whether any are left.
func (t *table) expire(now time.Time) (left bool) {
	if !now.Before(t.awaited) {
		t.awaited = time.Time{}
	}
	gone := losses{}
	for _, o := range t.owners {
		if o.stale.IsZero() {
			continue
		}
		is := t.wanted[o.neighbor.Name]
		if o.handed && is == nil && !t.awaited.IsZero() {
			left = true
			continue
		}
		if o.routes == 0 || is == nil || !now.Before(o.stale) || is.complete(now) {
			gone.all(o)
		} else {
			left = true
		}
	}
	t.lose(gone)
	return left
}

// complete reports whether the neighbor has announced what it has.
func (o *owner) complete(now time.Time) bool {
	quiet := quietWithout
	if o.status.EndOfRIB {
		quiet = quietAfterEnd
	}
	return !o.established.IsZero() && now.Sub(o.established) >= quiet && now.Sub(o.moved) >= quiet
}

const stateEstablished = "established"

// setStatus takes what the process tells of a neighbor.
func (t *table) setStatus(id uint32, st bgp.NeighborStatus, now time.Time) {
	o := t.owners[id]
	if o == nil || !o.stale.IsZero() {
		return
	}
	// What the daemon knows itself it need not be told.
	st.Name, st.PeerAddr, st.ASN = o.neighbor.Name, o.neighbor.PeerAddr, o.neighbor.ASN
	st.Since, st.Unanswered = o.since.take(st.Since, now, past), o.unanswered.take(st.Unanswered, now, past)
	st.RestartUntil = o.restart.take(st.RestartUntil, now, coming)
	switch {
	case st.State != stateEstablished:
		o.established = time.Time{}
	case o.established.IsZero():
		o.established = now
	}
	o.status, o.known = st, true
}
