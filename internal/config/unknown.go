package config

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// unknown reports the keys of a table that the raw struct has no field for.
func (d *decoder) unknown(at place, keys map[string]toml.Primitive) {
	names := slices.Sorted(maps.Keys(keys))
	for i, name := range names {
		data, _ := d.look(keys[name])
		here := at.named(join(at.key, toml.Key{name}.String()))
		if line := d.firstLine(here.key, keys[name]); line > 0 {
			here.line = line
		}
		if i == maxUnknown {
			d.fail(here, "is an unknown key, and so are %d more in this table", len(names)-i-1)
			return
		}
		_, isTable := data.(map[string]any)
		if _, several := data.([]map[string]any); several {
			isTable = true
		}
		d.fail(here, "is an unknown key; %s", d.hint(at.key, name, isTable))
	}
}

// knownKey is a key that a file may have.
type knownKey struct {
	table   string // that the key is in; "" outside of all tables
	name    string
	full    string // with the table
	isTable bool   // is itself a table
}

// keysOf lists the keys of a raw struct, in order, tables before their keys. What is in
// tables that may have any name is not among them.
func keysOf(raw reflect.Type, table string) []knownKey {
	var keys []knownKey
	for i := range raw.NumField() {
		field := raw.Field(i)
		name := field.Tag.Get("toml")
		within := field.Type
		target := reflect.New(field.Type).Interface()
		_, isValue := target.(settable)
		if r, ok := target.(repeatable); ok {
			within = r.schema()
		}
		keys = append(keys, knownKey{table, name, join(table, name), !isValue})
		if _, any := target.(nameable); !isValue && !any {
			keys = append(keys, keysOf(within, join(table, name))...)
		}
	}
	return keys
}

// hint says what an unknown key may have been meant to be: a key of the same
// table with a similar name, or one of another table with that very name. Else
// it lists what is allowed in the table.
func (d *decoder) hint(table, name string, isTable bool) string {
	var here []string
	elsewhere := ""
	for _, k := range keysOf(d.schema, "") {
		switch {
		case k.isTable != isTable:
		case join(d.within, k.table) == table:
			here = append(here, k.name)
		case strings.EqualFold(k.name, name):
			elsewhere = join(d.within, k.full)
		}
	}
	if near := nearest(name, here); near != "" {
		return "did you mean " + near + "?"
	}
	if d.schema == reflect.TypeFor[rawRouter]() && name == "peer" {
		return "peers are in files of their own, in peers.d beside this one"
	}
	if elsewhere != "" {
		return "did you mean " + elsewhere + "?"
	}
	switch list := strings.Join(here, ", "); {
	case list == "" && isTable:
		return "no table is allowed here"
	case list == "" && table == "":
		return "outside of tables no key is allowed here"
	case list == "":
		return "no key is allowed in [" + table + "] but in the tables below it"
	case isTable:
		return "allowed tables are " + list
	case table == "":
		return "outside of tables, allowed are " + list
	default:
		return "allowed in [" + table + "] are " + list
	}
}

// nearest returns the candidate that name is most probably a misspelling of,
// or "" if none is near.
func nearest(name string, candidates []string) string {
	best, least := "", 3
	for _, c := range candidates {
		// Every third letter may be wrong, but two at most.
		limit := min(2, (len(c)+2)/3)
		if n := distance(strings.ToLower(name), c, limit); n <= limit && n < least {
			best, least = c, n
		}
	}
	return best
}

// distance is the number of letters to insert, delete, change, or swap with
// their neighbor to get from a to b (optimal string alignment). Past limit it
// need not be exact.
func distance(a, b string, limit int) int {
	if len(a) > len(b)+limit || len(b) > len(a)+limit {
		return limit + 1
	}
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			n := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				n = min(n, rows[i-2][j-2]+1)
			}
			rows[i][j] = n
		}
	}
	return rows[len(a)][len(b)]
}
