package judge

import "maps"

// An attrTable has each distinct set of attributes of the tables once, and
// counts what refers to it.
type attrTable struct {
	ids   map[string]attrID
	sets  []attrSet
	free  []attrID
	bytes int // in all sets
	peak  int // most sets since ids was made
}

// An attrID stands for a set of attributes: its index in attrTable.sets.
type attrID uint32

type attrSet struct {
	blob string // see route.classic and route.reach
	refs int
}

func newAttrTable() attrTable { return attrTable{ids: make(map[string]attrID)} }

// Memory for attributes, in octets: what a peer may fill that may announce n
// prefixes. Attributes of 60 to 300 octets are usual, and most are shared.
const (
	baseBudget   = 4 << 20
	prefixBudget = 512
)

// hold returns the id of the attributes in blob, which is referred to once more
// for the caller. hard is Policy.HardMaxPrefixes. The NOTIFICATION is for a peer
// that wants more memory than so many prefixes can need (RFC 4486 section 4).
func (t *attrTable) hold(blob []byte, hard int) (attrID, *Notification) {
	if id, ok := t.ids[string(blob)]; ok {
		t.sets[id].refs++
		return id, nil
	}
	if hard > 0 && t.bytes+len(blob) > baseBudget+2*hard*prefixBudget {
		return 0, &Notification{Code: errCease, Subcode: 8, Text: "the attributes of the peer's routes take more memory than its limit of prefixes allows for"}
	}
	var id attrID
	if n := len(t.free); n > 0 {
		id, t.free = t.free[n-1], t.free[:n-1]
	} else {
		id = attrID(len(t.sets))
		t.sets = append(t.sets, attrSet{})
	}
	t.sets[id] = attrSet{string(blob), 1}
	t.ids[t.sets[id].blob] = id
	t.bytes += len(blob)
	t.peak = max(t.peak, len(t.ids))
	return id, nil
}

func (t *attrTable) retain(id attrID) { t.sets[id].refs++ }

// release gives a reference back, and the set with the last one.
func (t *attrTable) release(id attrID) {
	set := &t.sets[id]
	if set.refs--; set.refs > 0 {
		return
	}
	delete(t.ids, set.blob)
	t.bytes -= len(set.blob)
	*set = attrSet{}
	t.free = append(t.free, id)
	switch {
	case len(t.ids) == 0:
		*t = newAttrTable()
	case t.peak > minShrink && len(t.ids) < t.peak/8:
		// A map never gives memory back by itself.
		ids := make(map[string]attrID, len(t.ids))
		maps.Copy(ids, t.ids)
		t.ids, t.peak = ids, len(ids)
	}
}

func (t *attrTable) blob(id attrID) string { return t.sets[id].blob }
