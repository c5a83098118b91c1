package config

import (
	"reflect"
	"strings"

	"github.com/BurntSushi/toml"
)

// maxTables bounds how often a table may be there.
const maxTables = 32

// tables fills in a table that may be there once, [key], or several times, [[key]].
func (d *decoder) tables(at place, prim toml.Primitive, data any, into repeatable) {
	switch data := data.(type) {
	case map[string]any:
		d.subtable(at, prim, into.add(at))
		return
	case []map[string]any:
		if len(data) <= maxTables {
			d.each(at, prim, len(data), into)
			return
		}
		d.fail(at, "is there %d times; allowed are at most %d", len(data), maxTables)
	default:
		d.fail(at, "is %s; it must be a table, written [%s], or several, each headed [[%s]]", kind(data), at.key, at.key)
	}
	leaveAll(at, faulty, into.add(at))
}

// each fills in the n tables of an array, the last one first. The library tells only where a
// key is in the last of them, so that the file is parsed up to the end of each. A header
// begins its line, and what is before it is a whole file of its own.
func (d *decoder) each(at place, prim toml.Primitive, n int, into repeatable) {
	here := *d
	for i := n - 1; ; i-- {
		_, pos := here.look(prim)
		at.line = pos.Line
		var elements []map[string]toml.Primitive
		if err := here.md.PrimitiveDecode(prim, &elements); err != nil || len(elements) != i+1 {
			here.fail(at, "cannot be read: %v", err)
			return
		}
		here.table(at, elements[i], into.add(at))
		if i == 0 {
			return
		}
		here.text = here.text[:strings.LastIndexByte(here.text[:pos.Start], '\n')+1]
		var top map[string]toml.Primitive
		var err error
		if here.md, err = parse(here.text, &top); err != nil {
			here.fail(at, "cannot be read: %v", err)
			return
		}
		prim = top[at.key]
	}
}

// repeatables are the keys of a raw struct's tables that may be there several times.
func repeatables(raw reflect.Type) (names []string) {
	for i := range raw.NumField() {
		if _, ok := reflect.New(raw.Field(i).Type).Interface().(repeatable); ok {
			names = append(names, raw.Field(i).Tag.Get("toml"))
		}
	}
	return names
}
