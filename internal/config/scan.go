package config

import (
	"strings"

	"github.com/BurntSushi/toml"
)

// The functions here know of TOML what a string, a comment and a header are, and no more.
// Of a text that is not valid they understand what is before the first mistake.

// nesting is how deep the brackets and braces of a file go.
func nesting(text string) (deepest int) {
	depth := 0
	for i := 0; i < len(text); i += tokenLength(text[i:]) {
		switch text[i] {
		case '[', '{':
			depth++
			deepest = max(deepest, depth)
		case ']', '}':
			depth = max(0, depth-1)
		}
	}
	return deepest
}

// heading is a line that begins a table, [key], or one of several, [[key]].
type heading struct {
	line int // from 1
	key  toml.Key
	name string // the key, dotted
	text string // from this line to the next header
}

// headings finds the headers of a file that is valid.
func headings(text string) (all []heading) {
	var starts []int
	line, start, depth := 1, 0, 0
	begins := true // nothing but space is before it in the line
	for i := 0; i < len(text); {
		n := tokenLength(text[i:])
		switch c := text[i]; {
		case c == '\n':
			begins, start = true, i+1
		case c == ' ' || c == '\t' || c == '\r':
		case c == '[' && begins && depth == 0:
			n = headerLength(text[i:])
			var top map[string]any
			if md, err := parse(strings.TrimRight(text[i:i+n], "\r"), &top); err == nil {
				keys := md.Keys()
				key := keys[len(keys)-1]
				all, starts = append(all, heading{line: line, key: key, name: key.String()}), append(starts, start)
			}
		case c == '[' || c == '{':
			begins = false
			depth++
		case c == ']' || c == '}':
			depth--
		default:
			begins = false
		}
		line += strings.Count(text[i:i+n], "\n")
		i += n
	}
	for i, end := len(all)-1, len(text); i >= 0; i-- {
		all[i].text = text[starts[i]:end]
		end = starts[i]
	}
	return all
}

// headerLength returns the length of the line at the start of s.
func headerLength(s string) (n int) {
	for n < len(s) && s[n] != '\n' {
		n += tokenLength(s[n:])
	}
	return n
}

// tokenLength returns the length of the string or the comment at the start of s, and 1 where
// something else is.
func tokenLength(s string) int {
	switch s[0] {
	case '#':
		return lengthTo(s, "\n")
	case '"', '\'':
		return stringLength(s)
	}
	return 1
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
