package config

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/BurntSushi/toml"
)

const (
	// maxNesting bounds the nesting of a file, and with it the depth to
	// which the TOML parser calls itself: a million opening brackets would
	// overflow its stack, which no recover can catch.
	maxNesting = 100
	// maxUnknown bounds how many unknown keys of one table are listed.
	maxUnknown = 20
)

// decode reads a TOML file into a pointer to a raw struct. Mistakes are
// reported; it returns false if the file could not be understood at all.
func (l *loader) decode(file string, data []byte, into any) bool {
	// A byte-order mark would shift the positions that the parser gives.
	text := strings.TrimPrefix(string(data), "\xef\xbb\xbf")
	if nesting(text) > maxNesting {
		l.fail(place{file: file, line: 1}, "has brackets nested more than %d deep, which no config needs", maxNesting)
		return false
	}
	var top map[string]toml.Primitive
	md, err := parse(text, &top)
	schema := reflect.TypeOf(into).Elem()
	if err != nil {
		l.syntax(file, text, err, schema)
		return false
	}
	d := decoder{loader: l, md: md, file: file, text: text, schema: schema}
	d.table(place{file: file, line: 1}, top, reflect.ValueOf(into).Elem())
	return true
}

// syntax reports why a file is not TOML.
func (l *loader) syntax(file, text string, err error, schema reflect.Type) {
	at := place{file: file, line: 1}
	var syntax toml.ParseError
	if !errors.As(err, &syntax) {
		l.fail(at, "is not valid TOML: %v", err)
		return
	}
	at.line, at.key = max(1, syntax.Position.Line), syntax.LastKey
	if start := syntax.Position.Start; start > 0 {
		// The parser's own count may be past a line break that it read.
		at.line = 1 + strings.Count(text[:min(start, len(text))], "\n")
	}
	hint := ""
	for _, begin := range []string{"Invalid", "invalid datetime", "expected value", "expected a top-level item"} {
		if strings.HasPrefix(syntax.Message, begin) {
			hint = "; names, addresses and times need quotes"
		}
	}
	if key := alreadyThere(syntax.Message, repeatables(schema)); key != "" {
		hint = fmt.Sprintf("; one is headed [%s], and where there are several each of them is headed [[%s]], the first too", key, key)
	}
	l.fail(at, "is not valid TOML: %s%s", strings.TrimSuffix(syntax.Message, "."), hint)
}

// parse is toml.Decode, except that a bug in it, which it announces with a
// panic, cannot take a running daemon down on a reload.
func parse(text string, into any) (md toml.MetaData, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the parser gave up: %v", r)
		}
	}()
	return toml.Decode(text, into)
}

// decoder walks a parsed file and a raw struct side by side.
type decoder struct {
	*loader
	md     toml.MetaData
	file   string
	text   string
	before int          // lines of the file that come before text
	within string       // the table, such as peer.NAME, that schema is of; "" for the whole file
	schema reflect.Type // for hints

	headings []heading // of text; nil: not looked for yet
}

// table fills the fields of one struct from the keys of one table, and reports
// the keys that no field takes.
func (d *decoder) table(at place, keys map[string]toml.Primitive, into reflect.Value) {
	for i := range into.NumField() {
		name := into.Type().Field(i).Tag.Get("toml")
		here := at.named(join(at.key, name))
		prim, found := keys[name]
		if !found {
			leaveAll(here, absent, into.Field(i))
			continue
		}
		delete(keys, name)
		d.key(here, prim, into.Field(i))
	}
	d.unknown(at, keys)
}

// key fills one field: a value, or a struct for a table of its own.
func (d *decoder) key(at place, prim toml.Primitive, into reflect.Value) {
	data, pos := d.look(prim)
	if pos.Line > 0 { // a table made by dotted keys has no line of its own
		at.line = pos.Line
	}
	if v, ok := into.Addr().Interface().(settable); ok {
		if problem := v.put(at, data); problem != "" {
			if _, table := data.(map[string]any); table && at.key == "template" {
				problem += "; templates are in warren.toml, each headed [template.NAME]"
			}
			d.fail(at, "%s", problem)
			return
		}
		switch v := v.(type) {
		case *value[list]:
			setElementLines(v.v, d.text, pos)
		case *value[boolOrList]:
			setElementLines(v.v.list, d.text, pos)
		case *value[wordOrList]:
			setElementLines(v.v.list, d.text, pos)
		}
		return
	}
	switch v := into.Addr().Interface().(type) {
	case repeatable:
		d.tables(at, prim, data, v)
		return
	case nameable:
		d.named(at, prim, data, v)
		return
	}
	if _, ok := data.(map[string]any); !ok {
		d.fail(at, "is %s; it must be a table, written [%s]", kind(data), at.key)
		leaveAll(at, faulty, into)
		return
	}
	d.subtable(at, prim, into)
}

func (d *decoder) subtable(at place, prim toml.Primitive, into reflect.Value) {
	var keys map[string]toml.Primitive
	if err := d.md.PrimitiveDecode(prim, &keys); err != nil {
		d.fail(at, "%v", err)
		return
	}
	d.table(at, keys, into)
}

// leaveAll records a field, or all fields of a struct, as not given. Of tables that may be
// there several times, or under any name, there are none.
func leaveAll(at place, as state, field reflect.Value) {
	switch v := field.Addr().Interface().(type) {
	case settable:
		v.leave(at, as)
		return
	case repeatable, nameable:
		return
	}
	for i := range field.NumField() {
		leaveAll(at.named(join(at.key, field.Type().Field(i).Tag.Get("toml"))), as, field.Field(i))
	}
}

// look returns a value and where it starts: the line in the file, from 1, and the offset in
// d.text. A table that has no header of its own has the line 0.
func (d *decoder) look(prim toml.Primitive) (any, toml.Position) {
	var p probe
	var at toml.ParseError
	errors.As(d.md.PrimitiveDecode(prim, &p), &at)
	if at.Position.Line > 0 {
		at.Position.Line += d.before
	}
	return p.data, at.Position
}

// probe takes any value and then fails, because the only place where the
// library tells a value's position is an error about that value.
type probe struct{ data any }

var errProbe = errors.New("position wanted")

// UnmarshalTOML implements toml.Unmarshaler.
func (p *probe) UnmarshalTOML(data any) error {
	p.data = data
	return errProbe
}

func join(table, key string) string {
	if key == "" {
		return table
	}
	if table == "" {
		return key
	}
	return table + "." + key
}

// setElementLines finds the line of each element of an array of strings. The
// parser gives only the position behind the opening bracket, but it has
// accepted the array already, so what follows is nothing but strings, commas,
// space and comments.
func setElementLines(elements list, text string, pos toml.Position) {
	rest := text[min(pos.Start, len(text)):]
	line := pos.Line
	for i := 0; i < len(elements) && rest != ""; {
		switch rest[0] {
		case '"', '\'':
			elements[i].line = line
			i++
		case ']':
			return
		}
		skip := tokenLength(rest)
		line += strings.Count(rest[:skip], "\n")
		rest = rest[skip:]
	}
}
