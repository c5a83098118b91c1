package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"warren/internal/access"
)

// read reads a file that the configuration consists of. A user that can write to its directory
// can put another in its place, so that is looked at too, and so is the directory that a
// symbolic link leads to. The directories above are not: a user that replaced one of them
// could not put files of root's into the new one.
func (l *loader) read(path string, e exposure) ([]byte, error) {
	if data, there := l.over[path]; there && data == nil {
		return nil, fs.ErrNotExist
	} else if there {
		return data, nil
	}
	l.checkDir(filepath.Dir(path))
	if real, err := filepath.EvalSymlinks(path); err == nil && filepath.Dir(real) != filepath.Dir(path) {
		l.checkDir(filepath.Dir(real))
	}
	return readFile(path, e)
}

// checkDir notes, once for each, directories in which others can replace files.
func (l *loader) checkDir(dir string) {
	if l.dirs[dir] {
		return
	}
	if l.dirs == nil {
		l.dirs = map[string]bool{}
	}
	l.dirs[dir] = true
	info, err := os.Stat(dir)
	if err != nil {
		return // as reading the file will say
	}
	if err := access.Dir(dir, info); err != nil {
		l.fail(place{file: dir}, "%v", err)
	}
}

// peerSources reads the peer files of a directory, and lists the visible ones that are none.
// A file that is added there adds a peer, so a sticky directory will not do.
func (l *loader) peerSources(dir string) (sources []source, unread []string) {
	entries, err := l.peerEntries(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.fail(place{file: dir}, "%v", err)
		return nil, nil
	}
	for _, file := range slices.Sorted(maps.Keys(l.over)) {
		if data := l.over[file]; data != nil && filepath.Dir(file) == filepath.Clean(dir) && filepath.Ext(file) == ".toml" {
			sources = append(sources, source{file: file, data: data})
		}
	}
	for _, e := range entries {
		if _, over := l.over[filepath.Join(dir, e.Name())]; over {
			continue
		}
		// A leading dot marks hidden files and some editors' lock files;
		// backups and swap files have another ending.
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if filepath.Ext(e.Name()) != ".toml" {
			unread = append(unread, filepath.Join(dir, e.Name()))
			continue
		}
		s := source{file: filepath.Join(dir, e.Name())}
		if s.data, err = l.read(s.file, trusted); err != nil {
			l.fail(place{file: s.file}, "cannot be read: %v", err)
			continue
		}
		sources = append(sources, s)
	}
	return sources, unread
}

func (l *loader) peerEntries(dir string) ([]os.DirEntry, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", plain(err))
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", plain(err))
	}
	if !info.IsDir() {
		return nil, errors.New("cannot be read: not a directory")
	}
	if err := access.File(dir, info); err != nil {
		return nil, err
	}
	if l.dirs == nil {
		l.dirs = map[string]bool{}
	}
	l.dirs[dir] = true
	entries, err := f.ReadDir(-1)
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", plain(err))
	}
	slices.SortFunc(entries, func(a, b os.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, nil
}
