package conversion

import (
	"fmt"
	"strings"
)

// birdFile is a configuration of BIRD 2, or of a part of it that another includes.
type birdFile struct {
	*File
	statements []statement
}

// statement is words up to a semicolon or a block. Strings keep their quotes, so that they differ from words.
type statement struct {
	line  int
	words []string
	block []statement // what is between braces; nil: none
	inner []string    // the same as tokens, for filters
}

// is reports whether the statement begins with some words.
func (s *statement) is(words ...string) bool {
	if len(s.words) < len(words) {
		return false
	}
	for i, w := range words {
		if s.words[i] != w {
			return false
		}
	}
	return true
}

func (s *statement) text() string {
	t := strings.Join(s.words, " ")
	if s.block != nil {
		t += " { " + strings.Join(s.inner, " ") + " }"
	}
	return tidy(t)
}

// spaces are those that tokens have got.
var spaces = strings.NewReplacer(" ;", ";", " (", "(", "( ", "(", " )", ")", " ,", ",", "[ ", "[", " ]", "]", "! ", "!")

func tidy(s string) string { return spaces.Replace(s) }

type token struct {
	line int
	text string
}

// maxBirdDepth bounds blocks in blocks.
const maxBirdDepth = 16

// parseBIRD reads a file. What is in it besides BGP is read over.
func parseBIRD(f *File) (*birdFile, error) {
	tokens, err := birdTokens(f)
	if err != nil {
		return nil, err
	}
	p := birdParser{file: f, tokens: tokens}
	all, err := p.statements(0)
	if err != nil {
		return nil, err
	}
	return &birdFile{File: f, statements: all}, nil
}

type birdParser struct {
	file   *File
	tokens []token
	at     int
}

// statements reads up to the end of a block, or of the file.
func (p *birdParser) statements(depth int) (all []statement, err error) {
	if depth > maxBirdDepth {
		return nil, fmt.Errorf("%s:%d: more than %d blocks in one another", p.file.Path, p.tokens[p.at-1].line, maxBirdDepth)
	}
	var now statement
	end := func() {
		if len(now.words) > 0 || now.block != nil {
			all = append(all, now)
		}
		now = statement{}
	}
	for p.at < len(p.tokens) {
		t := p.tokens[p.at]
		p.at++
		switch t.text {
		case ";":
			end()
			continue
		case "}":
			if depth == 0 {
				return nil, fmt.Errorf("%s:%d: } without {", p.file.Path, t.line)
			}
			end()
			return all, nil
		case "{":
			if isRange(p.tokens[p.at:]) && len(now.words) > 0 { // lengths behind a prefix
				now.words = append(now.words, "{", p.tokens[p.at].text, ",", p.tokens[p.at+2].text, "}")
				p.at += 4
				continue
			}
			from := p.at
			if now.line == 0 {
				now.line = t.line
			}
			if now.block, err = p.statements(depth + 1); err != nil {
				return nil, err
			}
			if now.block == nil {
				now.block = []statement{}
			}
			for _, in := range p.tokens[from : p.at-1] {
				now.inner = append(now.inner, in.text)
			}
			end()
			continue
		}
		if now.line == 0 {
			now.line = t.line
		}
		now.words = append(now.words, t.text)
	}
	if depth > 0 {
		return nil, fmt.Errorf("%s: a { has no }", p.file.Path)
	}
	end()
	return all, nil
}

// isRange reports whether tokens are those of {A,B}, behind the brace.
func isRange(t []token) bool {
	return len(t) >= 4 && isNumber(t[0].text) && t[1].text == "," && isNumber(t[2].text) && t[3].text == "}"
}

func isNumber(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// birdTokens splits a file into words, strings and signs.
func birdTokens(f *File) (all []token, err error) {
	s, line := f.Text, 1
	for s != "" {
		switch {
		case s[0] == '\n':
			line++
			s = s[1:]
		case s[0] == ' ' || s[0] == '\t' || s[0] == '\r':
			s = s[1:]
		case s[0] == '#':
			i := strings.IndexByte(s, '\n')
			if i < 0 {
				return all, nil
			}
			s = s[i:]
		case strings.HasPrefix(s, "/*"):
			i := strings.Index(s, "*/")
			if i < 0 {
				return nil, fmt.Errorf("%s:%d: /* has no end", f.Path, line)
			}
			line += strings.Count(s[:i], "\n")
			s = s[i+2:]
		case s[0] == '"' || s[0] == '\'':
			i := strings.IndexByte(s[1:], s[0])
			if i < 0 || strings.Contains(s[1:1+i], "\n") {
				return nil, fmt.Errorf("%s:%d: %c has no end", f.Path, line, s[0])
			}
			all = append(all, token{line, s[:i+2]})
			s = s[i+2:]
		case isWordByte(s[0]):
			i := 1
			for i < len(s) && isWordByte(s[i]) {
				i++
			}
			all = append(all, token{line, s[:i]})
			s = s[i:]
		case len(s) > 1 && (s[:2] == "&&" || s[:2] == "||" || s[:2] == "!=" || s[:2] == "!~" || s[:2] == ">=" || s[:2] == "<=" || s[:2] == "->"):
			all = append(all, token{line, s[:2]})
			s = s[2:]
		default:
			all = append(all, token{line, s[:1]})
			s = s[1:]
		}
	}
	return all, nil
}

// isWordByte is for names, numbers, addresses and prefixes.
func isWordByte(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || b == '_' || b == '.' || b == ':' || b == '/' || b >= 0x80
}

func unquote(s string) string {
	if len(s) >= 2 && (s[0] == '"' || s[0] == '\'') {
		return s[1 : len(s)-1]
	}
	return s
}
