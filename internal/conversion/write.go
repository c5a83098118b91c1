package conversion

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Text is the peer's file.
func (p *Peer) Text() string {
	var b strings.Builder
	names := make([]string, len(p.Sources))
	for i, s := range p.Sources {
		names[i] = oneLine(filepath.Base(s))
	}
	fmt.Fprintf(&b, "# Made by `warren import` of %s. Read it through, then run `warren check`.\n", strings.Join(names, " and "))
	if p.Tunnel != nil {
		table(&b, "tunnel", p.Tunnel)
	}
	table(&b, "bgp", p.BGP)
	if len(p.Notes) > 0 {
		b.WriteString("\n# What has no counterpart here, or not the whole of it:\n")
		for _, n := range p.Notes {
			fmt.Fprintf(&b, "#   %s\n#     %s\n", n.where(), plain(n.Why))
		}
	}
	return b.String()
}

// String is the note in one line.
func (n Note) String() string { return n.where() + ": " + n.Why }

func (n Note) where() string {
	at := oneLine(n.File)
	if n.Line > 0 {
		at += fmt.Sprintf(":%d", n.Line)
	}
	return at + ": " + n.Text
}

func table(b *strings.Builder, name string, settings []Setting) {
	fmt.Fprintf(b, "\n[%s]\n", name)
	for _, s := range settings {
		for _, w := range s.Why {
			fmt.Fprintf(b, "# %s\n", plain(w))
		}
		if s.Value == "" {
			fmt.Fprintf(b, "# %s =\n", s.Key)
		} else {
			fmt.Fprintf(b, "%s = %s\n", s.Key, s.Value)
		}
	}
}

// RouterText is what belongs into warren.toml, table by table.
func (r *Result) RouterText() string {
	var b strings.Builder
	for _, name := range r.tables() {
		if name != "" {
			fmt.Fprintf(&b, "\n[%s]\n", name)
		}
		for _, s := range r.Router {
			if t, key, _ := cutLast(s.Key); t == name {
				fmt.Fprintf(&b, "%s = %s", key, s.Value)
				if len(s.Why) > 0 && s.Why[0] != "" {
					fmt.Fprintf(&b, " # %s", plain(s.Why[0]))
				}
				b.WriteByte('\n')
			}
		}
	}
	return b.String()
}

// tables are those that settings of the router are in, the keys without one first.
func (r *Result) tables() (names []string) {
	for _, s := range r.Router {
		t, _, _ := cutLast(s.Key)
		if !slices.Contains(names, t) {
			names = append(names, t)
		}
	}
	slices.SortStableFunc(names, func(a, b string) int { return min(len(a), 1) - min(len(b), 1) })
	return names
}

func cutLast(s string) (before, after string, found bool) {
	i := strings.LastIndexByte(s, '.')
	if i < 0 {
		return "", s, false
	}
	return s[:i], s[i+1:], true
}

// Files are what is to be written: paths relative to the directory of warren.toml, which differ.
func (r *Result) Files() (files []KeyFile) {
	for _, p := range r.Peers {
		files = append(files, KeyFile{Name: filepath.Join("peers.d", p.Name+".toml"), Content: p.Text()})
		files = append(files, p.Keys...)
	}
	return append(files, r.Keys...)
}

// Write writes all files below dir, those with keys for the owner alone. It overwrites nothing: where one of
// the files is there already, none is written.
func (r *Result) Write(dir string) (written []string, err error) {
	files := r.Files()
	var there []string
	for _, f := range files {
		if _, err := os.Lstat(filepath.Join(dir, f.Name)); err == nil {
			there = append(there, filepath.Join(dir, f.Name))
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	if len(there) > 0 {
		return nil, fmt.Errorf("nothing is written, for there are already %s: move them away, or write to another directory", strings.Join(there, ", "))
	}
	if err := os.MkdirAll(filepath.Join(dir, "peers.d"), 0o700); err != nil {
		return nil, err
	}
	for _, f := range files {
		path := filepath.Join(dir, f.Name)
		if err := write(path, f); err != nil {
			for _, w := range written {
				os.Remove(w)
			}
			return nil, fmt.Errorf("write %s: %w", path, err)
		}
		written = append(written, path)
	}
	return written, nil
}

// write makes a file that must not be there.
func write(path string, f KeyFile) error {
	mode := fs.FileMode(0o600)
	if f.Public {
		mode = 0o644
	}
	to, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, werr := to.WriteString(f.Content)
	if err := errors.Join(werr, to.Sync(), to.Close()); err != nil {
		os.Remove(path)
		return err
	}
	return nil
}
