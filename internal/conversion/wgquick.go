package conversion

import (
	"fmt"
	"strings"
)

// wgFile is a file of wg-quick(8).
type wgFile struct {
	*File
	device wgSection
	peers  []wgSection
}

// wgSection is [Interface] or a [Peer].
type wgSection struct {
	line  int
	title string // the comment before it, or at its beginning
	lines []wgLine
}

type wgLine struct {
	number     int
	key, value string
	written    string // the key, as it is in the file
}

// parseWG reads a file as wg(8) does: keys and sections in any case, comments behind #.
func parseWG(f *File) (*wgFile, error) {
	w := &wgFile{File: f}
	var at *wgSection
	comment := ""
	for i, text := range strings.Split(f.Text, "\n") {
		l, behind, _ := strings.Cut(strings.TrimSpace(text), "#")
		if l = strings.TrimSpace(l); l == "" {
			if behind = strings.TrimSpace(behind); behind != "" {
				if comment = behind; at != nil && len(at.lines) == 0 && at.title == "" {
					at.title = behind
				}
			} else if text == "" {
				comment = ""
			}
			continue
		}
		switch strings.ToLower(l) {
		case "[interface]":
			if w.device.line > 0 {
				return nil, fmt.Errorf("%s:%d: a second [Interface]", f.Path, i+1)
			}
			w.device.line, at, comment = i+1, &w.device, ""
			continue
		case "[peer]":
			w.peers = append(w.peers, wgSection{line: i + 1, title: comment})
			at, comment = &w.peers[len(w.peers)-1], ""
			continue
		}
		key, value, ok := strings.Cut(l, "=")
		if !ok || at == nil {
			return nil, fmt.Errorf("%s:%d: %q is neither a section nor KEY = VALUE", f.Path, i+1, oneLine(l))
		}
		key = strings.TrimSpace(key)
		at.lines, comment = append(at.lines, wgLine{i + 1, strings.ToLower(key), strings.TrimSpace(value), key}), ""
	}
	if w.device.line == 0 {
		return nil, fmt.Errorf("%s: has no [Interface]", f.Path)
	}
	if len(w.peers) == 0 {
		return nil, fmt.Errorf("%s: has no [Peer], so there is no tunnel in it", f.Path)
	}
	return w, nil
}

// value returns the last value of a key, which counts.
func (s *wgSection) value(key string) (v string, line int) {
	for _, l := range s.lines {
		if l.key == key {
			v, line = l.value, l.number
		}
	}
	return v, line
}

// values returns all values of a key that may be there several times, each with commas.
func (s *wgSection) values(key string) (all []string) {
	for _, l := range s.lines {
		if l.key != key {
			continue
		}
		for _, v := range strings.Split(l.value, ",") {
			if v = strings.TrimSpace(v); v != "" {
				all = append(all, v)
			}
		}
	}
	return all
}
