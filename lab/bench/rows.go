package main

import (
	"slices"
	"strings"
)

// figureTables have a figure each, and a row for each part that was measured. All parts have the same
// figures and participants.
func (r *suiteReport) figureTables() []table {
	var out []table
	for _, f := range r.suite.parts[0].figures {
		out = append(out, r.acrossParts(f.title, []metric{f.key}))
	}
	out[0].note = r.suite.parts[0].note
	return out
}

// shortTables are those for docs/speed.md.
func (r *suiteReport) shortTables() []table {
	if len(r.suite.inRows) == 0 {
		return r.tables()
	}
	var out []table
	for _, keys := range r.suite.inRows {
		var titles []string
		for _, key := range keys {
			titles = append(titles, r.suite.parts[0].titleOf(key))
		}
		out = append(out, r.acrossParts(strings.Join(titles, "; "), keys))
	}
	return out
}

func (p part) titleOf(key metric) string {
	i := slices.IndexFunc(p.figures, func(f figure) bool { return f.key == key })
	return p.figures[i].title
}

// acrossParts is a table with a row for each part, and some figures in each cell.
func (r *suiteReport) acrossParts(title string, keys []metric) table {
	t := table{title: title}
	for _, p := range r.suite.parts {
		got := r.of(p.name)
		if got == nil || len(got.Contenders) == 0 {
			continue
		}
		if t.rows == nil {
			t.rows = append(t.rows, titles(got.Contenders))
		}
		row := figures(p.title, got.Contenders, keys[0], formatSignificant)
		for _, key := range keys[1:] {
			for i, cell := range figures("", got.Contenders, key, formatSignificant)[1:] {
				row[i+1] += ", " + cell
			}
		}
		t.rows = append(t.rows, row)
	}
	return t
}
