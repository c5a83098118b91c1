package speaker

import (
	"fmt"
	"net/netip"
	"time"

	"warren/bgp"
)

// A table is what the daemon knows of neighbors and their routes. It is not safe for concurrent use.
//
// Each session of a neighbor in each process is an owner with a number of its own. Owners of a process
// that has died are stale: what they own stays until it is told again of another owner, or until
// expire drops it.
type table struct {
	last    uint32 // number that was given
	owners  map[uint32]*owner
	wanted  map[string]*owner // by the neighbor's name; none of them is stale
	routes  map[key]uint32    // by owner
	changed map[key]string    // the neighbor that take has told last, or "", where it is another now

	protected *bgp.Protected
}

// owner is a session of a neighbor, or what the last process has left of it.
type owner struct {
	id       uint32
	repeat   uint32 // see wire.Neighbor
	neighbor bgp.Neighbor
	limit    int       // of routes, 0: none; see setLimit
	routes   int       // how many there are
	refused  bool      // the policy has refused some
	stale    time.Time // until when the routes may stay; zero: it is not stale

	status      bgp.NeighborStatus
	known       bool      // the process has told the status
	established time.Time // since when the process has told so; zero: it does not
	moved       time.Time // when it has told of a route last
	up          time.Time // when the session came up by its events; zero: it is down
}

// key is a prefix without pointers, so that a large table costs the garbage collector nothing.
type key struct {
	addr   [16]byte
	length uint8 // IPv4: 0 to 32, IPv6: the length plus first6
}

const first6 = 33

func keyOf(p netip.Prefix) key {
	if !p.Addr().Is4() {
		return key{p.Addr().As16(), uint8(p.Bits() + first6)}
	}
	k, a := key{length: uint8(p.Bits())}, p.Addr().As4()
	copy(k.addr[:], a[:])
	return k
}

func (k key) prefix() netip.Prefix {
	if k.length >= first6 {
		return netip.PrefixFrom(netip.AddrFrom16(k.addr), int(k.length-first6))
	}
	return netip.PrefixFrom(netip.AddrFrom4([4]byte(k.addr[:4])), int(k.length))
}

func newTable() *table {
	return &table{
		owners: map[uint32]*owner{}, wanted: map[string]*owner{},
		routes: map[key]uint32{}, changed: map[key]string{},
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
// wanted any more, or in another session, are gone when it returns.
func (t *table) want(neighbors []bgp.Neighbor, protected *bgp.Protected) {
	otherProtected := !protected.Equal(t.protected)
	t.protected = protected
	next := make(map[string]*owner, len(neighbors))
	for _, n := range neighbors {
		o := t.wanted[n.Name]
		if o == nil || !o.neighbor.SameSession(&n) {
			o = t.add(n)
		}
		if o.refused && (otherProtected || !o.neighbor.Import.Equal(n.Import)) {
			o.refused = false
			o.repeat++
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
		case is != nil && !o.stale.IsZero() && o.neighbor.SameSession(&is.neighbor):
			t.dropRefused(o, is.neighbor.Import)
		default:
			t.drop(o)
		}
	}
}

func (t *table) add(n bgp.Neighbor) *owner {
	t.last++
	o := &owner{id: t.last, neighbor: n}
	t.owners[o.id] = o
	return o
}

// drop forgets an owner and its routes.
func (t *table) drop(o *owner) {
	if o.routes > 0 {
		for k, id := range t.routes {
			if id == o.id {
				t.setKey(k, nil)
			}
		}
	}
	delete(t.owners, o.id)
}

// dropRefused drops the routes of a stale owner that the policy of today refuses: no process
// will do it.
func (t *table) dropRefused(o *owner, imports bgp.Policy) {
	if o.routes == 0 {
		return
	}
	for k, id := range t.routes {
		if id != o.id {
			continue
		}
		if ok, _ := imports.Accepts(k.prefix(), t.protected); !ok {
			t.setKey(k, nil)
		}
	}
}

// set takes what the process tells: the best route to p is the one from the neighbor with a number, 0 for
// none. The error says that the process tells what cannot be.
func (t *table) set(id uint32, p netip.Prefix, now time.Time) error {
	o := t.owners[id]
	if o != nil && o.stale.IsZero() {
		o.moved = now
		if ok, _ := o.neighbor.Import.Accepts(p, t.protected); !ok {
			o.refused, o = true, nil
		}
	} else {
		o = nil // it is not wanted any more, which the process does not know yet
	}
	t.setKey(keyOf(p), o)
	if o != nil && o.limit > 0 && o.routes > o.limit {
		return fmt.Errorf("it tells of %d routes of neighbor %s, which may have %d of a family", o.routes, o.neighbor.Name, o.neighbor.MaxPrefixes)
	}
	return nil
}

// setKey makes o the owner of a route, nil for none.
func (t *table) setKey(k key, o *owner) {
	was, name := t.owners[t.routes[k]], ""
	if o == was {
		return
	}
	if o == nil {
		delete(t.routes, k)
	} else {
		t.routes[k] = o.id
		o.routes++
		name = o.neighbor.Name
	}
	before := ""
	if was != nil {
		was.routes--
		before = was.neighbor.Name
	}
	switch told, ok := t.changed[k]; {
	case ok && told == name:
		delete(t.changed, k) // it is again as it was
	case !ok && before != name:
		t.changed[k] = before
	}
}

// take returns what has changed since the last call.
func (t *table) take() map[netip.Prefix]bgp.Route {
	routes := make(map[netip.Prefix]bgp.Route, len(t.changed))
	for k := range t.changed {
		p, name := k.prefix(), ""
		if o := t.owners[t.routes[k]]; o != nil {
			name = o.neighbor.Name
		}
		routes[p] = bgp.Route{Prefix: p, Neighbor: name}
	}
	t.changed = map[key]string{}
	return routes
}

// orphan makes all owners stale, until a moment at the latest, because their process has died. What is
// wanted gets owners for the next one.
func (t *table) orphan(until time.Time) {
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
	for _, o := range t.owners {
		if o.stale.IsZero() {
			continue
		}
		is := t.wanted[o.neighbor.Name]
		if o.routes == 0 || is == nil || !now.Before(o.stale) || is.complete(now) {
			t.drop(o)
		} else {
			left = true
		}
	}
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
	switch {
	case st.State != stateEstablished:
		o.established = time.Time{}
	case o.established.IsZero():
		o.established = now
	}
	o.status, o.known = st, true
}
