package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// PeerNames returns the names of the peers that have files beside the config at path, sorted.
// It is for a shell that completes them: it checks nothing, and leaves out what it cannot
// read. Of a file with mistakes it takes the file's name.
func PeerNames(path string) (names []string) {
	files, _ := filepath.Glob(filepath.Join(globEscape(filepath.Dir(path)), "peers.d", "*.toml")) // the pattern is good
	for _, file := range files {
		if strings.HasPrefix(filepath.Base(file), ".") {
			continue
		}
		raw := &rawPeerFile{}
		l := &loader{}
		if data, err := readFile(file, public); err == nil && l.decode(file, data, raw) && raw.Peers.there {
			names = append(names, raw.Peers.names...)
			continue
		} else if os.IsNotExist(err) {
			continue // it has gone in this moment
		}
		names = append(names, strings.TrimSuffix(filepath.Base(file), ".toml"))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// globEscape is a directory as a pattern that matches nothing else.
func globEscape(dir string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}
