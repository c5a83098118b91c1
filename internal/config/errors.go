package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Error is one mistake.
type Error struct {
	File string // as the operator named it
	Line int    // from 1; 0 if it concerns the file as a whole
	Key  string // dotted, such as tls.listen; "" if no key is to blame
	Text string // what is wrong and what is allowed
}

// Error gives file:line: key: what is wrong and what is allowed.
func (e Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
	}
	if e.Key != "" {
		b.WriteString(": " + e.Key)
	}
	b.WriteString(": " + e.Text)
	return b.String()
}

// Errors is every mistake in a configuration, sorted by file and line.
type Errors []Error

// Error gives one mistake to a line.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i := range e {
		lines[i] = e[i].Error()
	}
	return strings.Join(lines, "\n")
}

// sort orders the mistakes as a reader goes through the files.
func (e Errors) sort() {
	slices.SortStableFunc(e, func(a, b Error) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
}
