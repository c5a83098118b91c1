package access

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"warren/internal/skip"
)

func TestModes(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "f")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path  string
		mode  fs.FileMode
		check func(string, fs.FileInfo) error
		says  string // "": it passes
	}{
		{file, 0o600, File, ""},
		{file, 0o644, File, ""},
		{file, 0o664, File, "mode 0664"},
		{file, 0o602, File, "chmod go-w " + file},
		{file, 0o666 | fs.ModeSticky, File, "mode 0666"},
		{dir, 0o755, Dir, ""},
		{dir, 0o777, Dir, "chmod go-w " + dir},
		{dir, 0o775, Dir, "mode 0775"},
		{dir, 0o777 | fs.ModeSticky, Dir, ""},
	} {
		if err := os.Chmod(c.path, c.mode); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(c.path)
		if err != nil {
			t.Fatal(err)
		}
		err = c.check(c.path, info)
		if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%v: %v; want %q", c.mode, err, c.says)
		}
	}
}

func TestOwners(t *testing.T) {
	if os.Geteuid() != 0 {
		skip.OutsideCI(t, "only root can give files away")
	}
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const other = 12345
	if err := os.Chown(file, other, other); err != nil {
		skip.OutsideCI(t, "this user namespace has no other user: %v", err)
	}
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, check := range map[string]func(string, fs.FileInfo) error{"file": File, "dir": Dir, "owner": Owner} {
		if err := check(file, info); err == nil || !strings.Contains(err.Error(), "belongs to user 12345") ||
			!strings.Contains(err.Error(), "run: chown 0 "+file) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !Trusted(0) || Trusted(other) {
		t.Error("the wrong users are trusted")
	}
}
