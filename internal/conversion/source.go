package conversion

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxFile bounds a file, in bytes.
const maxFile = 1 << 20

// File is a configuration of another program.
type File struct {
	Path string
	Text string
}

type kind int

const (
	unknown kind = iota
	wgQuick
	openVPN
	openVPNClient // a file of client-config-dir
	bird
)

// Open reads files, and those in the client-config-dir of an OpenVPN server, if that is there; each once.
func Open(paths []string) (files []File, err error) {
	for _, path := range paths {
		f, err := open(path)
		if err != nil {
			return nil, err
		}
		clients, err := f.clients()
		if err != nil {
			return nil, err
		}
		for _, f := range append([]File{f}, clients...) {
			if !slices.ContainsFunc(files, func(o File) bool { return o.Path == f.Path }) {
				files = append(files, f)
			}
		}
	}
	return files, nil
}

func open(path string) (f File, err error) {
	path, err = filepath.Abs(path)
	if err != nil {
		return f, err
	}
	from, err := os.Open(path)
	if err != nil {
		return f, err
	}
	defer from.Close()
	text, err := io.ReadAll(io.LimitReader(from, maxFile+1))
	return File{Path: path, Text: string(text)}, err
}

// clients reads the files of client-config-dir.
func (f *File) clients() (files []File, err error) {
	k, err := f.kind()
	if err != nil || k != openVPN {
		return nil, err
	}
	o, err := parseOVPN(f)
	if err != nil {
		return nil, err
	}
	l := o.find("client-config-dir")
	if l == nil || !o.isServer() {
		return nil, nil
	}
	dir := o.resolve(l.arg(1))
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("%s:%d: %w", f.Path, l.number, err)
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || strings.HasPrefix(e.Name(), ".") || e.Name() == "DEFAULT" {
			continue
		}
		c, err := open(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		if k, err := c.kind(); err == nil && k == openVPNClient {
			files = append(files, c)
		}
	}
	return files, nil
}

func (f *File) base() string {
	base := filepath.Base(f.Path)
	return strings.TrimSuffix(base, filepath.Ext(base))
}

// note is on a line of the file.
func (f *File) note(line int, text, why string) Note {
	return Note{File: filepath.Base(f.Path), Line: line, Text: oneLine(text), Why: why}
}

// oneLine is a text of a file's as a part of a comment.
func oneLine(s string) string {
	s = strings.Join(strings.Fields(plain(s)), " ")
	if r := []rune(s); len(r) > 160 {
		s = string(r[:160]) + " …"
	}
	return s
}

// plain replaces what would end a comment, or is refused in one.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return ' '
		}
		return r
	}, s)
}

// kind finds out what a file is, by words that are in no file of another kind.
func (f *File) kind() (kind, error) {
	switch {
	case len(f.Text) > maxFile:
		return unknown, fmt.Errorf("%s: has %d bytes, which is too much for a configuration", f.Path, len(f.Text))
	case strings.ContainsRune(f.Text, 0):
		return unknown, fmt.Errorf("%s: is not a text", f.Path)
	}
	scores := map[kind]int{}
	for _, l := range strings.Split(f.Text, "\n") {
		l = strings.ToLower(strings.TrimSpace(l))
		words := strings.Fields(l)
		switch {
		case l == "[interface]" || l == "[peer]":
			scores[wgQuick] += 10
		case len(words) == 0 || l[0] == '#' || l[0] == ';':
		case len(words) >= 2 && (words[0] == "protocol" || words[0] == "template" || words[0] == "filter" || words[0] == "function" ||
			words[0] == "router" && words[1] == "id" || words[0] == "define") && strings.ContainsAny(l, "{;=("):
			scores[bird] += 3
		case l == "client" || words[0] == "dev" || words[0] == "remote" || words[0] == "tls-server" || words[0] == "tls-client" ||
			words[0] == "persist-tun" || words[0] == "ifconfig" || words[0] == "server" || words[0] == "proto":
			if !strings.HasSuffix(l, ";") && !strings.HasSuffix(l, "{") {
				scores[openVPN] += 2
			}
		case words[0] == "iroute" || words[0] == "iroute-ipv6" || words[0] == "ifconfig-push" || words[0] == "ifconfig-ipv6-push":
			scores[openVPNClient]++
		}
	}
	best, most := unknown, 0
	for _, k := range []kind{wgQuick, bird, openVPN, openVPNClient} {
		if scores[k] > most {
			best, most = k, scores[k]
		}
	}
	if best == unknown {
		return unknown, fmt.Errorf("%s: is neither of wg-quick, nor of OpenVPN, nor of BIRD 2 with a protocol bgp", f.Path)
	}
	return best, nil
}
