package config

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// Socket returns where the daemon that was started with the config at path can
// be asked. It looks at nothing else in the file: a config that is being edited
// and has mistakes must not keep an operator from asking how things are. That goes
// for a file that is no TOML too, as far as its lines can be understood one by one.
// If none of them says it, it is not known, and what is wrong in the file is the error: the daemon at
// DefaultSocket may be another one. Without a config at the default place, or without leave to read it, that is
// DefaultSocket.
func Socket(path string) (string, error) {
	api, err := apiAt(path, func(l *loader, raw *rawAPI, mistakes Errors) API {
		if len(mistakes) > 0 && raw.Socket.state == absent {
			l.errs = mistakes
		}
		if raw.Socket.state == faulty {
			l.fail(raw.Socket.place, "is not a string, in quotes")
		}
		return API{Socket: l.socket(raw.Socket)}
	})
	return api.Socket, err
}

// Reach returns all places where the daemon can be looked at, the default ones if the file is no TOML and no line says
// another.
func Reach(path string) (API, error) {
	return apiAt(path, func(l *loader, raw *rawAPI, _ Errors) API {
		for _, v := range []value[string]{raw.Socket, raw.Gobgp} {
			if v.state == faulty {
				l.fail(v.place, "is not a string, in quotes")
			}
		}
		return l.api(raw)
	})
}

// apiAt has read take what it needs of [api]. mistakes are why the file is no TOML; none: it is.
func apiAt(path string, read func(l *loader, raw *rawAPI, mistakes Errors) API) (API, error) {
	data, err := readFile(path, public)
	if path == DefaultPath && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)) {
		return read(&loader{}, &rawAPI{}, nil), nil
	}
	if err != nil {
		return API{}, fmt.Errorf("config: %s: %w", path, err)
	}
	var raw rawRouter
	var mistakes Errors
	l := &loader{}
	if !l.decode(path, data, &raw) {
		mistakes, l.errs = l.errs, nil
		raw = rawRouter{}
		if !l.decode(path, []byte(apiLines(string(data))), &raw) {
			raw = rawRouter{}
		}
	}
	l.errs = nil // of other keys
	api := read(l, &raw.API, mistakes)
	if len(l.errs) > 0 {
		return API{}, l.errs
	}
	return api, nil
}

// apiLines keeps, of a file that is not valid TOML, the lines that say by themselves what is in [api]. Each is where it
// was, as it would be written without a header. Of a key that is there twice the first is kept.
func apiLines(text string) string {
	var kept strings.Builder
	within, seen := "", map[string]bool{}
	for line := range strings.Lines(strings.TrimPrefix(text, "\xef\xbb\xbf")) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			within = headedTable(line)
		} else if key := apiKey(within, line); key != "" && !seen[key] {
			seen[key] = true
			if within != "" {
				line = within + "." + line
			}
			kept.WriteString(line)
		}
		kept.WriteByte('\n')
	}
	return kept.String()
}

// headedTable returns the name of the table that a line heads, also if its bracket is not closed.
func headedTable(line string) string {
	if all := headings(line); len(all) == 1 {
		return all[0].name
	}
	line, _, _ = strings.Cut(line, "#")
	return strings.Trim(line, "[] \t")
}

// apiKey returns the dotted key that a line of a table sets, if it is one of [api], and all of it is in the line. "" if not.
func apiKey(within, line string) string {
	if within != "" && within != "api" || nesting(line) > maxNesting {
		return ""
	}
	var set map[string]any
	md, err := parse(line, &set)
	if err != nil || len(md.Keys()) == 0 {
		return ""
	}
	keys := md.Keys() // those of an inline table are behind it
	if key := join(within, keys[len(keys)-1].String()); strings.HasPrefix(key, "api.") {
		return key
	}
	return ""
}
