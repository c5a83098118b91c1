package config

import (
	"errors"
	"os"
	"path/filepath"
)

// The limits of the [history] table.
const (
	defaultHistorySize = 8 << 20
	minHistorySize     = 64 << 10
	maxHistorySize     = 1 << 30
)

func (l *loader) history(raw *rawHistory) History {
	h := History{MaxSize: defaultHistorySize}
	if v := raw.File; v.state == given {
		h.File = filepath.Clean(v.v)
		if !filepath.IsAbs(v.v) {
			l.fail(v.place, "%q is not an absolute path, such as /var/lib/warren/history.jsonl", v.v)
		} else if info, err := os.Stat(h.File); err == nil && info.IsDir() {
			l.fail(v.place, "%q is a directory; it must be a file, such as %s", v.v, filepath.Join(h.File, "history.jsonl"))
		}
	}
	if v := raw.MaxSize; v.state == given {
		size, err := parseSize(v.v)
		if err == nil && (size < minHistorySize || size > maxHistorySize) {
			err = errors.New("is out of range")
		}
		if err != nil {
			l.fail(v.place, "%q %v; allowed are 64KiB to 1GiB", v.v, err)
			return h
		}
		if h.MaxSize = size; raw.File.state == absent {
			l.fail(v.place, "is of no use without history.file")
		}
	}
	return h
}
