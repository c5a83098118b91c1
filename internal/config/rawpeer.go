package config

import (
	"maps"
	"reflect"
	"slices"

	"github.com/BurntSushi/toml"
)

// rawPeerFile is one file of peers.d as written: of one peer, or of those in Peers.
type rawPeerFile struct {
	Template value[string]     `toml:"template"`
	Tunnels  tables[rawTunnel] `toml:"tunnel"`
	BGP      rawPeerBGP        `toml:"bgp"`
	Peers    named[rawPeer]    `toml:"peer"`
}

// rawPeer is what a file of peers.d says of one peer.
type rawPeer struct {
	Template value[string]     `toml:"template"`
	Tunnels  tables[rawTunnel] `toml:"tunnel"`
	BGP      rawPeerBGP        `toml:"bgp"`
}

// rawTemplate is what warren.toml says of all peers that take it.
type rawTemplate struct {
	Tunnels tables[rawTunnel] `toml:"tunnel"`
	BGP     rawPeerBGP        `toml:"bgp"`
}

// maxNamed bounds how many tables with a name there may be in a file.
const maxNamed = 4096

// named is a table of tables that each have a name, such as [peer.NAME].
type named[T any] struct {
	there bool // the table is, with or without others in it
	v     []*T
	names []string // of each, sorted
	heads []place  // where each begins
}

// nameable is a *named of any type.
type nameable interface {
	begin()
	// add puts in a table, and returns it.
	add(name string, head place) reflect.Value
	// schema is the type of one.
	schema() reflect.Type
}

func (n *named[T]) begin() { n.there = true }

func (n *named[T]) add(name string, head place) reflect.Value {
	one := new(T)
	n.v, n.names, n.heads = append(n.v, one), append(n.names, name), append(n.heads, head)
	return reflect.ValueOf(one).Elem()
}

func (n *named[T]) schema() reflect.Type { return reflect.TypeFor[T]() }

// named fills in tables that each have a name.
func (d *decoder) named(at place, prim toml.Primitive, data any, into nameable) {
	into.begin()
	var tables map[string]toml.Primitive
	if _, ok := data.(map[string]any); !ok || d.md.PrimitiveDecode(prim, &tables) != nil {
		d.fail(at, "is %s; it must be tables with a name each, headed [%s.NAME]", kind(data), at.key)
		return
	}
	if len(tables) > maxNamed {
		d.fail(at, "has %d tables; allowed are at most %d in one file", len(tables), maxNamed)
		return
	}
	for _, name := range slices.Sorted(maps.Keys(tables)) {
		data, _ := d.look(tables[name])
		here := at.named(join(at.key, toml.Key{name}.String()))
		if line := d.firstLine(here.key, tables[name]); line > 0 {
			here.line = line
		}
		if _, ok := data.(map[string]any); !ok {
			d.fail(here, "is %s; it must be a table with a name, headed [%s.NAME]", kind(data), at.key)
			continue
		}
		if err := checkName(name); err != nil {
			d.fail(here, "%q %v", name, err)
			continue
		}
		if into.schema() == reflect.TypeFor[rawTemplate]() {
			here.template = name
		}
		sub := *d
		sub.within, sub.schema = here.key, into.schema()
		sub.subtable(here, tables[name], into.add(name, here))
		d.headings = sub.headings
	}
}

// The tables below a table among which its first line is looked for. The library copies the
// whole file for each position that it tells.
const (
	maxBelow = 64
	maxDepth = 4
)

// firstLine is where a table begins: at its header, or where the first of what is below it is,
// if it has none. 0 if it is empty.
func (d *decoder) firstLine(key string, prim toml.Primitive) int {
	return d.lineWithin(key, prim, maxDepth)
}

func (d *decoder) lineWithin(key string, prim toml.Primitive, depth int) (line int) {
	data, pos := d.look(prim)
	if several, ok := data.([]map[string]any); ok && len(several) > 1 {
		if all := d.cut(key); len(all) > 0 {
			return all[0].line // the library tells that of the last
		}
	}
	var below map[string]toml.Primitive
	if _, ok := data.(map[string]any); !ok || pos.Line > 0 || depth == 0 || d.md.PrimitiveDecode(prim, &below) != nil {
		return pos.Line
	}
	names := slices.Sorted(maps.Keys(below))
	for _, name := range names[:min(len(names), maxBelow)] {
		l := d.lineWithin(join(key, toml.Key{name}.String()), below[name], depth-1)
		if l > 0 && (line == 0 || l < line) {
			line = l
		}
	}
	return line
}
