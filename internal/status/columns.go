package status

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// View is where a status is shown to people. The zero View is a file or a pipe: lines of any length,
// and no colours.
type View struct {
	Width  int  // of the terminal, in cells; 0: any
	Colour bool // SGR sequences are understood, and wanted
}

// column is one of a table.
type column struct {
	head  string
	short string // where it is narrow; "": the same
	drop  int    // the columns with the lowest are left out first where it is narrow; 0: never
	least int    // what a cell is shortened to at least; 0: it is not shortened
	paint func(cell string) colour
}

// colour is an SGR parameter, or "".
type colour string

const (
	plain  colour = ""
	good   colour = "32"
	bad    colour = "31"
	notice colour = "33"
	dim    colour = "2"
)

// in writes a text in a colour.
func (v View) in(c colour, text string) string {
	if !v.Colour || c == plain {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}

// gap is between two columns.
const gap = 2

// columns writes a table so that it fits the view: with shorter heads, without what matters least, and
// with shorter cells, as far as that is needed.
func columns(b *strings.Builder, v View, cols []column, rows [][]string) {
	widths := widthsOf(cols, rows)
	if v.Width > 0 && total(widths) > v.Width {
		cols = slices.Clone(cols)
		for i := range cols {
			if cols[i].short != "" {
				cols[i].head = cols[i].short
			}
		}
		cols, rows = dropColumns(v.Width, cols, rows)
		widths = shrink(v.Width, cols, widthsOf(cols, rows))
	}
	head := make([]string, len(cols))
	for i := range cols {
		head[i] = cols[i].head
	}
	line(b, v, cols, widths, head, false)
	for _, r := range rows {
		line(b, v, cols, widths, r, true)
	}
}

func line(b *strings.Builder, v View, cols []column, widths []int, cells []string, paints bool) {
	for i, c := range cells {
		text := shorten(c, widths[i])
		pad := strings.Repeat(" ", widths[i]+gap-utf8.RuneCountInString(text))
		if i == len(cells)-1 {
			pad = ""
		}
		shown := plain
		if paints && cols[i].paint != nil {
			shown = cols[i].paint(c)
		} else if !paints {
			shown = dim
		}
		b.WriteString(v.in(shown, text) + pad)
	}
	b.WriteByte('\n')
}

func widthsOf(cols []column, rows [][]string) []int {
	widths := make([]int, len(cols))
	for i, c := range cols {
		widths[i] = utf8.RuneCountInString(c.head)
		for _, r := range rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(r[i]))
		}
	}
	return widths
}

func total(widths []int) int {
	sum := -gap
	for _, w := range widths {
		sum += w + gap
	}
	return sum
}

// dropColumns leaves out columns until the rest fits, if their cells are as short as may be.
func dropColumns(width int, cols []column, rows [][]string) ([]column, [][]string) {
	for {
		widths := widthsOf(cols, rows)
		for i, c := range cols {
			if c.least > 0 {
				widths[i] = min(widths[i], c.least)
			}
		}
		next := 0
		for _, c := range cols {
			if c.drop > 0 && (next == 0 || c.drop < next) {
				next = c.drop
			}
		}
		if total(widths) <= width || next == 0 {
			return cols, rows
		}
		for i := len(cols) - 1; i >= 0; i-- {
			if cols[i].drop != next {
				continue
			}
			cols = slices.Delete(slices.Clone(cols), i, i+1)
			for n := range rows {
				rows[n] = slices.Delete(slices.Clone(rows[n]), i, i+1)
			}
		}
	}
}

// shrink makes the widest columns narrower that can be, until all fit.
func shrink(width int, cols []column, widths []int) []int {
	for total(widths) > width {
		widest := -1
		for i, c := range cols {
			if c.least > 0 && widths[i] > c.least && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			return widths
		}
		widths[widest]--
	}
	return widths
}

// shorten leaves out the middle of a text that is too long: ends of addresses and of names tell more.
func shorten(text string, width int) string {
	runes := []rune(text)
	if len(runes) <= width {
		return text
	}
	if width <= 1 {
		return "…"
	}
	head := width / 2
	return string(runes[:head]) + "…" + string(runes[len(runes)-(width-1-head):])
}

// fold breaks lines that are longer than the view between words, and goes on with two blanks before.
func (v View) fold(text string) string {
	if v.Width < 20 {
		return text
	}
	var b strings.Builder
	for l := range strings.Lines(text) {
		l = strings.TrimSuffix(l, "\n")
		for utf8.RuneCountInString(l) > v.Width {
			runes := []rune(l)
			at := v.Width
			for i := v.Width; i > v.Width/2; i-- {
				if runes[i] == ' ' {
					at = i
					break
				}
			}
			b.WriteString(string(runes[:at]) + "\n")
			l = "  " + strings.TrimLeft(string(runes[at:]), " ")
		}
		b.WriteString(l + "\n")
	}
	return b.String()
}
