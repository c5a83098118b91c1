package config

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/BurntSushi/toml"
)

const (
	// maxBrackets bounds the nesting of a file, and with it the depth to
	// which the TOML parser calls itself: a million opening brackets would
	// overflow its stack, which no recover can catch.
	maxBrackets = 1000
	// maxUnknown bounds how many unknown keys of one table are listed.
	maxUnknown = 20
)

// decode reads a TOML file into a pointer to a raw struct. Mistakes are
// reported; it returns false if the file could not be understood at all.
func (l *loader) decode(file string, data []byte, into any) bool {
	// A byte-order mark would shift the positions that the parser gives.
	text := strings.TrimPrefix(string(data), "\xef\xbb\xbf")
	if strings.Count(text, "[")+strings.Count(text, "{") > maxBrackets {
		l.fail(place{file: file, line: 1}, "has more than %d opening brackets, which no config needs", maxBrackets)
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
	for _, name := range repeatables(schema) {
		if strings.HasPrefix(syntax.Message, "Key '"+name+"' ") {
			hint = fmt.Sprintf("; one is headed [%s], and where there are several each of them is headed [[%s]], the first too", name, name)
		}
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
	schema reflect.Type // of the whole file, for hints
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
			d.fail(at, "%s", problem)
		} else if v, ok := v.(*value[list]); ok {
			setElementLines(v.v, d.text, pos)
		}
		return
	}
	if r, ok := into.Addr().Interface().(repeatable); ok {
		d.tables(at, prim, data, r)
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

// leaveAll records a field, or all fields of a struct, as not given. A table that may be
// there several times is not there at all.
func leaveAll(at place, as state, field reflect.Value) {
	switch v := field.Addr().Interface().(type) {
	case settable:
		v.leave(at, as)
		return
	case repeatable:
		return
	}
	for i := range field.NumField() {
		leaveAll(at.named(join(at.key, field.Type().Field(i).Tag.Get("toml"))), as, field.Field(i))
	}
}

// look returns a value and where it starts.
func (d *decoder) look(prim toml.Primitive) (any, toml.Position) {
	var p probe
	var at toml.ParseError
	errors.As(d.md.PrimitiveDecode(prim, &p), &at)
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
		skip := 1
		switch rest[0] {
		case '#':
			skip = lengthTo(rest, "\n")
		case '"', '\'':
			elements[i].line = line
			skip = stringLength(rest)
			i++
		case ']':
			return
		}
		line += strings.Count(rest[:skip], "\n")
		rest = rest[skip:]
	}
}

// stringLength returns the length of the TOML string at the start of s,
// quotes included.
func stringLength(s string) int {
	quote := s[:1]
	if triple := strings.Repeat(quote, 3); strings.HasPrefix(s, triple) {
		quote = triple
	}
	for i := len(quote); i < len(s); i++ {
		switch {
		case s[i] == '\\' && quote[0] == '"':
			i++
		case strings.HasPrefix(s[i:], quote):
			end := i + len(quote)
			// A long string may end in quotes of its own: """a""""".
			for len(quote) == 3 && end < len(s) && s[end] == quote[0] {
				end++
			}
			return end
		}
	}
	return len(s)
}

func lengthTo(s, end string) int {
	if i := strings.Index(s, end); i >= 0 {
		return i
	}
	return len(s)
}
