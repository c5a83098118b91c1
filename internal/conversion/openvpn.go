package conversion

import (
	"fmt"
	"path/filepath"
	"strings"
)

// ovpnFile is a configuration of OpenVPN, or a file of its client-config-dir.
type ovpnFile struct {
	*File
	lines []ovpnLine
}

// ovpnLine is a directive. Of <TAG>…</TAG> inline holds what is between, and words only the tag.
type ovpnLine struct {
	number int
	words  []string
	inline string
}

func (l *ovpnLine) name() string { return l.words[0] }

// arg returns an argument, or "".
func (l *ovpnLine) arg(i int) string {
	if i < len(l.words) {
		return l.words[i]
	}
	return ""
}

func (l *ovpnLine) text() string {
	if l.inline != "" {
		return "<" + l.name() + ">"
	}
	return strings.Join(l.words, " ")
}

// parseOVPN reads a file as openvpn(8) does: words, quotes, comments behind # and ;, inline files.
func parseOVPN(f *File) (*ovpnFile, error) {
	o := &ovpnFile{File: f}
	lines := strings.Split(f.Text, "\n")
	for i := 0; i < len(lines); i++ {
		l := strings.TrimSpace(lines[i])
		if tag, ok := inlineTag(l); ok {
			line := ovpnLine{number: i + 1, words: []string{tag}}
			end := "</" + tag + ">"
			for i++; i < len(lines) && strings.TrimSpace(lines[i]) != end; i++ {
				line.inline += strings.TrimRight(lines[i], "\r") + "\n"
			}
			if i == len(lines) {
				return nil, fmt.Errorf("%s:%d: <%s> has no end", f.Path, line.number, tag)
			}
			if tag == "connection" { // directives, of one remote
				sub, err := parseOVPN(&File{Path: f.Path, Text: line.inline})
				if err != nil {
					return nil, err
				}
				for j := range sub.lines {
					sub.lines[j].number += line.number
				}
				o.lines = append(o.lines, connection(sub.lines)...)
				continue
			}
			o.lines = append(o.lines, line)
			continue
		}
		words, err := ovpnWords(l)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", f.Path, i+1, err)
		}
		if len(words) > 0 {
			words[0] = strings.TrimPrefix(words[0], "--")
			o.lines = append(o.lines, ovpnLine{number: i + 1, words: words})
		}
	}
	return o, nil
}

func inlineTag(l string) (string, bool) {
	if len(l) < 3 || l[0] != '<' || l[len(l)-1] != '>' || l[1] == '/' {
		return "", false
	}
	tag := l[1 : len(l)-1]
	return tag, strings.Trim(tag, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// connection puts the port and the protocol of a <connection> into its remote.
func connection(lines []ovpnLine) (rest []ovpnLine) {
	var port, proto string
	for _, l := range lines {
		switch l.name() {
		case "port", "rport":
			port = l.arg(1)
		case "proto":
			proto = l.arg(1)
		}
	}
	for _, l := range lines {
		switch l.name() {
		case "port", "rport", "proto":
			continue
		case "remote":
			for len(l.words) < 4 {
				l.words = append(l.words, []string{"", "", port, proto}[len(l.words)])
			}
		}
		rest = append(rest, l)
	}
	return rest
}

// ovpnWords splits a line: quotes and backslashes as in a shell, # and ; where a word would begin.
func ovpnWords(l string) (words []string, err error) {
	var word strings.Builder
	in, quoted := false, rune(0)
	flush := func() {
		if in {
			words = append(words, word.String())
			word.Reset()
			in = false
		}
	}
	escaped := false
	for _, r := range l {
		switch {
		case escaped:
			word.WriteRune(r)
			escaped = false
		case r == '\\' && quoted != '\'':
			escaped, in = true, true
		case quoted != 0:
			if r == quoted {
				quoted = 0
			} else {
				word.WriteRune(r)
			}
		case r == '"' || r == '\'':
			quoted, in = r, true
		case r == ' ' || r == '\t' || r == '\r':
			flush()
		case !in && (r == '#' || r == ';'):
			return words, nil
		default:
			word.WriteRune(r)
			in = true
		}
	}
	if quoted != 0 {
		return nil, fmt.Errorf("%c has no end", quoted)
	}
	flush()
	return words, nil
}

// find returns the last directive of a name, or nil.
func (o *ovpnFile) find(name string) (last *ovpnLine) {
	for i := range o.lines {
		if o.lines[i].name() == name {
			last = &o.lines[i]
		}
	}
	return last
}

// all returns the directives of a name.
func (o *ovpnFile) all(name string) (all []*ovpnLine) {
	for i := range o.lines {
		if o.lines[i].name() == name {
			all = append(all, &o.lines[i])
		}
	}
	return all
}

// isServer reports whether it serves many clients.
func (o *ovpnFile) isServer() bool {
	mode := o.find("mode")
	return o.find("server") != nil || o.find("server-ipv6") != nil || o.find("server-bridge") != nil || mode != nil && mode.arg(1) == "server"
}

// resolve returns the path of a file that a directive names, which openvpn(8) is started beside.
func (o *ovpnFile) resolve(name string) string {
	if name == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(o.Path), name)
}
