package logging

import (
	"errors"
	"fmt"
	"os/signal"
	"syscall"

	"github.com/coreos/go-systemd/v22/journal"
	"golang.org/x/sys/unix"
)

// Stderr makes a log that writes to standard error, with priorities if the
// journal reads there. Call it once, at the start of the daemon.
//
// From now on the process lives on when what reads standard output or standard
// error goes away (os/signal, "SIGPIPE"), and a panic ends it also where nobody
// reads: with a full pipe the runtime would wait for ever to write why.
func Stderr() *Log { return stderr(maxLines) }

func stderr(lines int) *Log {
	signal.Ignore(syscall.SIGPIPE)
	unblock(syscall.Stderr)
	toJournal, err := journal.StderrIsJournalStream()
	return newLog(descriptor(syscall.Stderr), toJournal && err == nil, lines)
}

// unblock has writes to a pipe or a socket fail instead of wait. O_NONBLOCK is
// of the open file, which a pipe may share with the programs of the shell that
// started this one, so the pipe is opened once more; a socket cannot be. Where
// that is refused, and for terminals and files, everything stays as it is.
func unblock(fd int) {
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFSOCK:
		_ = unix.SetNonblock(fd, true)
	case unix.S_IFIFO:
		own, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", fd), unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			return
		}
		_ = unix.Dup3(own, fd, 0)
		_ = unix.Close(own)
	}
}

// descriptor is an open file to write to, waiting where it does not itself.
type descriptor int

func (d descriptor) Write(p []byte) (n int, err error) {
	for n < len(p) {
		m, err := unix.Write(int(d), p[n:])
		switch {
		case err == nil:
			n += m
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			fds := []unix.PollFd{{Fd: int32(d), Events: unix.POLLOUT}}
			if _, err := unix.Poll(fds, -1); err != nil && !errors.Is(err, unix.EINTR) {
				return n, err
			}
		default:
			return n, err
		}
	}
	return n, nil
}
