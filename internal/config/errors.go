package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// Error is one mistake.
type Error struct {
	File string // as the operator named it
	Line int    // from 1; 0 if it concerns the file as a whole
	Key  string // dotted, such as tls.listen; "" if no key is to blame
	Text string // what is wrong and what is allowed

	takers *takers // the peers for which the same is wrong; nil: it is one peer's alone
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

// takers are the peers of one template for which the same is wrong.
type takers struct {
	first    *Peer
	others   map[*Peer]bool
	template string // that lacks what each of them has to have; "": a value of a template is wrong
}

// addTo completes what is said of the first.
func (t *takers) addTo(text string) string {
	n := len(t.others)
	if t.template == "" {
		text += fmt.Sprintf("; so for peer %s (%s), which takes it from here", t.first.Name, t.first.where())
		if n > 0 {
			text += fmt.Sprintf(", and for %d more", n)
		}
	} else if n > 0 {
		text += fmt.Sprintf("; so for %d more that take the template %s, in which it may be set for all", n, t.template)
	}
	return text
}

// takersAt returns those of whom a mistake at a place is said together, and whether it was
// said already. nil if it is one peer's alone.
func (l *loader) takersAt(at place) (t *takers, said bool) {
	if l.peer == nil || at.template == "" && at.lacking == "" {
		return nil, false
	}
	if at.template == "" {
		key := strings.TrimPrefix(at.key, toml.Key{"peer", l.peer.Name}.String()+".")
		at = place{key: key, lacking: at.lacking}
	}
	t = l.takers[at]
	if t == nil {
		t = &takers{first: l.peer, others: map[*Peer]bool{}, template: at.lacking}
		if l.takers == nil {
			l.takers = map[place]*takers{}
		}
		l.takers[at] = t
	}
	if t.first == l.peer {
		return t, false
	}
	t.others[l.peer] = true
	return t, true
}

// fail notes a mistake. The text completes a sentence that the key begins, or
// follows it after a colon. What is wrong with a template is said of the first peer that
// takes it.
func (l *loader) fail(at place, format string, args ...any) {
	t, said := l.takersAt(at)
	if said {
		return
	}
	e := Error{File: at.file, Line: at.line, Key: at.key, Text: fmt.Sprintf(format, args...), takers: t}
	if l.said[e] {
		return // several tunnels have the value
	}
	if l.said == nil {
		l.said = map[Error]bool{}
	}
	l.said[e] = true
	l.errs = append(l.errs, e)
}

// finish completes the list of mistakes.
func (l *loader) finish() {
	for i := range l.errs {
		if e := &l.errs[i]; e.takers != nil {
			e.Text = e.takers.addTo(e.Text)
			e.takers = nil
		}
	}
	l.errs.sort()
}
