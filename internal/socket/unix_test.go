package socket

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"warren/internal/skip"
)

// tempDir is short enough for a unix socket whatever the test's name is.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "so")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func listenAt(t *testing.T, path string, mode fs.FileMode) net.Listener {
	t.Helper()
	l, err := ListenUnix(t.Context(), path, mode)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func refused(t *testing.T, path, says string) {
	t.Helper()
	l, err := ListenUnix(t.Context(), path, 0o600)
	if err == nil {
		l.Close()
		t.Fatalf("%s was taken", path)
	}
	if !strings.Contains(err.Error(), says) {
		t.Errorf("%v; want %q", err, says)
	}
}

// The directory is made, the mode is as asked whatever the umask, and closing leaves but
// the lock.
func TestModeAndDirectory(t *testing.T) {
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	for _, mode := range []fs.FileMode{0o600, 0o660} {
		path := filepath.Join(tempDir(t), "run", "a", "w.sock")
		l := listenAt(t, path, mode)
		info, err := os.Stat(path)
		if err != nil || info.Mode() != mode|fs.ModeSocket {
			t.Errorf("mode %v, %v; want %v", info.Mode(), err, mode)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket is left behind: %v", err)
		}
		listenAt(t, path, mode) // and again, beside the lock that stayed
	}
}

// A setgid directory gives the socket its group, which then may look.
func TestGroupOfTheDirectory(t *testing.T) {
	dir := tempDir(t)
	const group = 12345
	if err := os.Chown(dir, -1, group); err != nil {
		skip.OutsideCI(t, "only root can, where there are other groups: %v", err)
	}
	if err := os.Chmod(dir, 0o750|fs.ModeSetgid); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "w.sock")
	listenAt(t, path, 0o660)
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil || st.Gid != group || st.Mode&0o777 != 0o660 {
		t.Errorf("group %d, mode %o, %v", st.Gid, st.Mode, err)
	}
}

func TestStaleIsReplacedAndLivingIsNot(t *testing.T) {
	path := filepath.Join(tempDir(t), "w.sock")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false) // as kill -9 would have it
	dead.Close()
	l := listenAt(t, path, 0o600)

	refused(t, path, "another process listens there")
	if err := os.Remove(path + ".lock"); err != nil {
		t.Fatal(err)
	}
	refused(t, path, "it answers at")
	if _, err := ListenUnix(t.Context(), path, 0o600); !errors.Is(err, ErrHeld) {
		t.Errorf("%v; want ErrHeld", err)
	}
	go func() {
		if c, err := l.Accept(); err == nil {
			c.Close()
		}
	}()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatalf("the first was disturbed: %v", err)
	}
	c.Close()
}

// What others may have put where the socket or its lock shall be is neither followed nor
// used.
func TestNothingIsFollowed(t *testing.T) {
	dir := tempDir(t)
	target := filepath.Join(dir, "target")
	path := filepath.Join(dir, "w.sock")
	lock := path + ".lock"

	if err := os.Symlink(target, lock); err != nil {
		t.Fatal(err)
	}
	refused(t, path, "is a symbolic link, which is not followed: remove it")
	if _, err := os.Lstat(target); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the link was followed: %v", err)
	}
	if err := os.WriteFile(target, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, path, "is a symbolic link")
	if b, err := os.ReadFile(target); err != nil || string(b) != "precious" {
		t.Errorf("what the link names was changed: %q, %v", b, err)
	}
	os.Remove(lock)

	if err := syscall.Mkfifo(lock, 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, path, "is no regular file: remove it")
	os.Remove(lock)

	if err := os.WriteFile(lock, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(lock, 0o666); err != nil {
		t.Fatal(err)
	}
	refused(t, path, "chmod go-w "+lock)
	if err := os.Chmod(lock, 0o600); err != nil {
		t.Fatal(err)
	}
	if os.Chown(lock, 12345, -1) == nil { // only root can
		refused(t, path, "belongs to user 12345")
	}
	os.Remove(lock)

	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
	refused(t, path, "is there and is no socket")
	if b, err := os.ReadFile(target); err != nil || string(b) != "precious" {
		t.Errorf("what the link names was changed: %q, %v", b, err)
	}
}

func TestDirectoryOfOthersIsRefused(t *testing.T) {
	dir := tempDir(t)
	path := filepath.Join(dir, "w.sock")
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	refused(t, path, "run: chmod go-w "+dir)
	if err := os.Chmod(dir, 0o777|fs.ModeSticky); err != nil {
		t.Fatal(err)
	}
	listenAt(t, path, 0o600).Close()
}
