package config

import (
	"fmt"
	"reflect"
	"slices"
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
			d.each(at, len(data), into)
			return
		}
		d.fail(at, "is there %d times; allowed are at most %d", len(data), maxTables)
	default:
		d.fail(at, "is %s; it must be a table, written [%s], or several, each headed [[%s]]", kind(data), at.key, at.key)
	}
	leaveAll(at, faulty, into.add(at))
}

// each fills in the tables of an array. The library tells only where a key is in the last of
// them, so that the text of each is parsed by itself.
func (d *decoder) each(at place, n int, into repeatable) {
	texts := d.cut(at.key)
	if len(texts) != n {
		d.fail(at, "cannot be read: its headers were not found")
		return
	}
	for _, t := range texts {
		at.line = t.line
		here := *d
		here.text, here.before, here.headings = t.text, t.line-1, nil
		keys, err := here.only(t.key)
		if err != nil {
			d.fail(at, "cannot be read: %v", err)
			return
		}
		here.table(at, keys, into.add(at))
	}
}

// only returns the keys of the one table that the text is about, which is one of an array.
func (d *decoder) only(path toml.Key) (keys map[string]toml.Primitive, err error) {
	var top map[string]toml.Primitive
	if d.md, err = parse(d.text, &top); err != nil {
		return nil, err
	}
	last := len(path) - 1
	for _, name := range path[:last] {
		var below map[string]toml.Primitive
		if err := d.md.PrimitiveDecode(top[name], &below); err != nil {
			return nil, err
		}
		top = below
	}
	var all []map[string]toml.Primitive
	if err := d.md.PrimitiveDecode(top[path[last]], &all); err != nil {
		return nil, err
	}
	if len(all) != 1 {
		return nil, fmt.Errorf("there are %d tables", len(all))
	}
	return all[0], nil
}

// cut returns the texts of the tables of an array, with what is below them. Of what else is
// between two of them the lines are left, empty.
func (d *decoder) cut(array string) (pieces []heading) {
	if d.headings == nil {
		d.headings = headings(d.text)
	}
	blank := 0
	for _, h := range d.headings {
		switch {
		case h.name == array:
			h.line += d.before
			pieces = append(pieces, h)
			blank = 0
		case len(pieces) > 0 && strings.HasPrefix(h.name, array+"."):
			pieces[len(pieces)-1].text += strings.Repeat("\n", blank) + h.text
			blank = 0
		default:
			blank += strings.Count(h.text, "\n")
		}
	}
	return pieces
}

// repeatables are the keys of a raw struct's tables that may be there several times, without
// the tables that those are in.
func repeatables(raw reflect.Type) (names []string) {
	for i := range raw.NumField() {
		switch v := reflect.New(raw.Field(i).Type).Interface().(type) {
		case repeatable:
			names = append(names, raw.Field(i).Tag.Get("toml"))
		case nameable:
			names = append(names, repeatables(v.schema())...)
		}
	}
	return names
}

// alreadyThere returns the key that the parser says is there twice, if it is one of these
// names in any table. "" if not.
func alreadyThere(message string, names []string) string {
	key, found := strings.CutPrefix(message, "Key '")
	key, _, _ = strings.Cut(key, "' ")
	if found && slices.ContainsFunc(names, func(n string) bool { return key == n || strings.HasSuffix(key, "."+n) }) {
		return key
	}
	return ""
}
