package remains

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"warren/internal/socket"
)

// TestClear: what is left stays for its time while no daemon runs, counted from when that was noticed, and for ever while one does.
func TestClear(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	var at time.Duration
	removed := 0
	refuse := error(nil)
	look := func() Result {
		t.Helper()
		r, err := clearAt(path, func() (time.Duration, error) { return at, nil }, func(l Left) error {
			removed++
			if l.Config != "/etc/warren/warren.toml" || l.Table != 254 {
				t.Errorf("%+v", l)
			}
			return refuse
		})
		if !errors.Is(err, refuse) {
			t.Fatal(err)
		}
		return r
	}
	if r := look(); r.Left != nil || r.Runs {
		t.Errorf("nothing was noted: %+v", r)
	}
	if _, err := os.Lstat(path + ".lock"); err == nil {
		t.Error("a lock was made though nothing was noted")
	}
	noted := Left{Config: "/etc/warren/warren.toml", Table: 254, Within: time.Minute}
	if err := Note(path, noted); err != nil {
		t.Fatal(err)
	}
	lock, err := socket.Lock(path)
	if err != nil {
		t.Fatal(err)
	}
	at = time.Hour
	if r := look(); !r.Runs || removed > 0 {
		t.Errorf("a daemon runs: %+v, removed %d times", r, removed)
	}
	lock.Close()
	for _, c := range []struct{ at, stays time.Duration }{
		{2 * time.Hour, time.Minute},
		{2*time.Hour + 20*time.Second, 40 * time.Second},
		{time.Second, time.Minute}, // after a reboot
		{59 * time.Second, 2 * time.Second},
	} {
		at = c.at
		if r := look(); r.Stays != c.stays || removed > 0 {
			t.Errorf("at %v: %+v, removed %d times; want %v", at, r, removed, c.stays)
		}
	}
	if err := Note(path, noted); err != nil { // a daemon was there again
		t.Fatal(err)
	}
	at = time.Hour
	if r := look(); r.Stays != time.Minute {
		t.Errorf("%+v", r)
	}
	at += time.Minute
	refuse = errors.New("the kernel refuses")
	look()
	refuse = nil
	if r := look(); r.Stays != 0 || r.Left == nil || removed != 2 {
		t.Errorf("%+v, removed %d times", r, removed)
	}
	if r := look(); r.Left != nil || removed != 2 {
		t.Errorf("once more: %+v, removed %d times", r, removed)
	}
}

// TestForget: a daemon that has removed everything leaves nothing to do, also if it never noted anything.
func TestForget(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	for range 2 {
		if err := Forget(path); err != nil {
			t.Fatal(err)
		}
		if err := Note(path, Left{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := Forget(path); err != nil {
		t.Fatal(err)
	}
	if r, err := Clear(path, func(Left) error { return errors.New("there is nothing") }); err != nil || r.Left != nil {
		t.Errorf("%+v, %v", r, err)
	}
	if files, err := os.ReadDir(filepath.Dir(path)); err != nil || len(files) > 0 {
		t.Errorf("%v, %v", files, err)
	}
}

// TestForeignNote: what others may have put in the note's place, in a directory such as /tmp, removes nothing, and nobody waits for it.
func TestForeignNote(t *testing.T) {
	note := `{"table":254,"protocol":4}`
	for name, put := range map[string]func(path string) error{
		"a link": func(path string) error {
			target := filepath.Join(t.TempDir(), "note")
			return errors.Join(os.WriteFile(target, []byte(note), 0o600), os.Symlink(target, path))
		},
		"a named pipe": func(path string) error { return unix.Mkfifo(path, 0o600) },
		"a directory":  func(path string) error { return os.Mkdir(path, 0o700) },
		"of anybody": func(path string) error {
			return errors.Join(os.WriteFile(path, []byte(note), 0o600), os.Chmod(path, 0o666))
		},
	} {
		path := filepath.Join(t.TempDir(), "socket")
		if err := put(file(path)); err != nil {
			t.Fatal(err)
		}
		r, err := Clear(path, func(l Left) error {
			t.Errorf("%s: %+v was removed", name, l)
			return nil
		})
		if err == nil || r.Left != nil {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}
