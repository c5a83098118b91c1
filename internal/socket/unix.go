package socket

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"warren/internal/access"
)

const (
	dirMode   = 0o755
	lockMode  = 0o600
	probeTime = 10 * time.Second // an answer comes at once, but this process may have to wait for its turn
)

// ErrHeld is wrapped by the error that says that a living process has the socket.
var ErrHeld = errors.New("another process listens there")

// ListenUnix listens on a unix socket at an absolute path. Its file gets the mode, and the
// group of its directory if that is setgid. Closing the listener removes it.
//
// The lock beside the socket stays: removing it would let two processes that start at the
// same moment each hold a different file of that name.
func ListenUnix(ctx context.Context, path string, mode fs.FileMode) (net.Listener, error) {
	if err := makeDir(filepath.Dir(path)); err != nil {
		return nil, err
	}
	lock, err := Lock(path)
	if err != nil {
		return nil, err
	}
	l, err := listen(ctx, path, mode)
	if err != nil {
		lock.Close()
		return nil, err
	}
	return &unixListener{Listener: l, lock: lock}, nil
}

// unixListener releases the lock when it is closed.
type unixListener struct {
	net.Listener
	lock *os.File
	once sync.Once
}

func (l *unixListener) Close() error {
	err := l.Listener.Close()
	l.once.Do(func() { err = errors.Join(err, l.lock.Close()) })
	return err
}

// SyscallConn implements syscall.Conn: another process may accept the connections.
func (l *unixListener) SyscallConn() (syscall.RawConn, error) {
	return l.Listener.(*net.UnixListener).SyscallConn()
}

// makeDir makes the socket's directory. One in which others can replace the socket by their
// own is refused.
func makeDir(dir string) error {
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return fmt.Errorf("make the socket's directory: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("look at the socket's directory: %w", err)
	}
	if err := access.Dir(dir, info); err != nil {
		return fmt.Errorf("the socket's directory %s: %w", dir, err)
	}
	return nil
}

// Lock takes the lock of the socket at a path, for who must not work beside the process that listens there. ErrHeld is that it
// does. The caller closes it.
func Lock(path string) (*os.File, error) { return takeLock(path + ".lock") }

// takeLock makes sure that no two processes use the same socket. The kernel releases it when
// the process ends, however it ends. In a directory where others may make files, such as /tmp,
// they may have put anything there; O_NONBLOCK is for a named pipe.
func takeLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK, lockMode)
	if errors.Is(err, unix.ELOOP) {
		return nil, fmt.Errorf("the socket's lock %s is a symbolic link, which is not followed: remove it", path)
	}
	if err != nil {
		return nil, fmt.Errorf("open the socket's lock: %w", err)
	}
	if err := checkLock(f); err != nil {
		f.Close()
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w, or `warren cleanup` is at work: it holds the lock %s", ErrHeld, path)
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}

func checkLock(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("look at the socket's lock: %w", err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("the socket's lock %s is no regular file: remove it", f.Name())
	}
	if err := access.File(f.Name(), info); err != nil {
		return fmt.Errorf("the socket's lock %s: %w", f.Name(), err)
	}
	return nil
}

func listen(ctx context.Context, path string, mode fs.FileMode) (net.Listener, error) {
	if err := removeStale(path); err != nil {
		return nil, err
	}
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var chmodErr error
		// The file that bind makes takes its mode from the socket, as far as the umask
		// lets it, so there is no moment at which others could connect.
		err := c.Control(func(fd uintptr) { chmodErr = unix.Fchmod(int(fd), uint32(mode.Perm())) })
		return errors.Join(err, chmodErr)
	}}
	l, err := lc.Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	if err := widen(path, mode); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// widen gives the file what the umask kept from it. It opens the file without following a
// link, as somebody could have replaced it in a directory such as /tmp.
func widen(path string, mode fs.FileMode) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("look at %s: %w", path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFSOCK || int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%s is not the socket that was made: somebody has replaced it", path)
	}
	if fs.FileMode(st.Mode).Perm() == mode.Perm() {
		return nil
	}
	// A descriptor opened by O_PATH can't be given to fchmod.
	if err := os.Chmod(fmt.Sprintf("/proc/self/fd/%d", fd), mode.Perm()); err != nil {
		return fmt.Errorf("set the mode of %s: %w", path, err)
	}
	return nil
}

// removeStale removes what a killed process left, and nothing else.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("look for an old socket: %w", err)
	case info.Mode().Type() != os.ModeSocket:
		return fmt.Errorf("%s is there and is no socket: move it away, or choose another path", path)
	}
	// Whoever holds no lock may still be listening: the lock may have been removed by hand.
	c, err := net.DialTimeout("unix", path, probeTime)
	if err == nil {
		c.Close()
		return fmt.Errorf("%w: it answers at %s", ErrHeld, path)
	}
	// With a full backlog, or without leave to connect, there is a process all the same.
	if !errors.Is(err, unix.ECONNREFUSED) && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: %w", ErrHeld, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove an old socket: %w", err)
	}
	return nil
}
