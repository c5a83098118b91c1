package socket

import (
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// Handover is a listening socket of ListenUnix that one program leaves to the next one in the same process.
type Handover struct {
	Listener int `json:"listener"` // descriptor
	Lock     int `json:"lock"`     // descriptor
}

// Handed is what ListenUnix and Adopt return.
type Handed interface {
	net.Listener
	// HandOver describes the socket. The descriptors stay the listener's.
	HandOver() (Handover, error)
}

// HandOver implements Handed.
func (l *unixListener) HandOver() (h Handover, err error) {
	raw, err := l.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { h.Listener = int(fd) })
	}
	if err != nil {
		return h, fmt.Errorf("hand over a socket: %w", err)
	}
	lock, err := l.lock.SyscallConn()
	if err == nil {
		err = lock.Control(func(fd uintptr) { h.Lock = int(fd) })
	}
	if err != nil {
		return h, fmt.Errorf("hand over a socket's lock: %w", err)
	}
	return h, nil
}

// Adopt returns the listener on the socket at path that was handed over, where clients wait. The descriptors are
// its own from now on; if this fails they are closed.
func Adopt(path string, h Handover) (Handed, error) {
	f, lock := os.NewFile(uintptr(h.Listener), path), os.NewFile(uintptr(h.Lock), path+".lock")
	l, err := adopt(path, f)
	f.Close()
	if err == nil {
		err = isFile(lock, path+".lock")
	}
	if err != nil {
		lock.Close()
		if l != nil {
			_ = l.Close()
		}
		return nil, fmt.Errorf("take over the socket %s: %w", path, err)
	}
	return &unixListener{Listener: l, lock: lock}, nil
}

func adopt(path string, f *os.File) (*net.UnixListener, error) {
	listens, err := unix.GetsockoptInt(int(f.Fd()), unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if err != nil {
		return nil, err
	}
	if listens == 0 {
		return nil, errors.New("it does not listen")
	}
	l, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	u, ok := l.(*net.UnixListener)
	if !ok || u.Addr().String() != path {
		l.Close()
		return nil, fmt.Errorf("it listens on %s", l.Addr())
	}
	u.SetUnlinkOnClose(true)
	return u, nil
}

// isFile makes sure that an open file is the one at path.
func isFile(f *os.File, path string) error {
	is, err := f.Stat()
	if err != nil {
		return err
	}
	there, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if !os.SameFile(is, there) {
		return fmt.Errorf("%s is another file by now", path)
	}
	return nil
}
