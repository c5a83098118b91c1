package main

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// table is a heading, rows of cells, the first row being the head, and what has
// to be known to read them.
type table struct {
	title string
	rows  [][]string
	note  string
}

// text aligns the first column left and the others right.
func (t table) text() string {
	width := make([]int, len(t.rows[0]))
	for _, row := range t.rows {
		for i, cell := range row {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, row := range t.rows {
		fmt.Fprintf(&b, "  %-*s", width[0], row[0])
		for i, cell := range row[1:] {
			fmt.Fprintf(&b, "  %*s", width[i+1], cell)
		}
		fmt.Fprintln(&b)
	}
	return b.String()
}

// markdown is the table without its title, the note below it.
func (t table) markdown() string {
	var b strings.Builder
	for i, row := range t.rows {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
		if i == 0 {
			fmt.Fprintf(&b, "|---|%s\n", strings.Repeat("---:|", len(row)-1))
		}
	}
	if t.note != "" {
		fmt.Fprintf(&b, "\n%s", t.note)
	}
	return b.String()
}

// format writes a figure with so many digits behind the point, -1 for as many as it has.
func format(v float64, digits int) string { return strconv.FormatFloat(v, 'f', digits, 64) }

// formatSignificant writes three digits of a figure, and all before the point.
func formatSignificant(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v >= 100:
		return format(v, 0)
	case v >= 10:
		return format(v, 1)
	case v >= 1:
		return format(v, 2)
	}
	return format(v, 3)
}
