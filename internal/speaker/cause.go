package speaker

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// cause says why the process has ended: the reason for which this one has killed it, or what it said, or how it
// ended. A connection to it that has ended is not a reason, but a consequence.
func (p *process) cause(state *os.ProcessState, asked error, crash *crash) error {
	var broken *brokenError
	switch status, ok := state.Sys().(syscall.WaitStatus); {
	case errors.As(asked, &broken), asked != nil && !isEnd(asked):
		return asked
	case crash.reason != "":
		return errors.New(crash.reason)
	case ok && status.Signaled() && status.Signal() == unix.SIGKILL:
		return errors.New("it was killed: by somebody, or by the kernel because memory was short (its log says so)")
	case ok && status.Signaled():
		return fmt.Errorf("it was ended by signal %d (%v)", status.Signal(), status.Signal())
	}
	return fmt.Errorf("it has ended with status %d", state.ExitCode())
}

// brokenError says that the process does what it must not, and is ended for that.
type brokenError struct{ error }

func broken(format string, args ...any) error { return &brokenError{fmt.Errorf(format, args...)} }

func (e *brokenError) Unwrap() error { return e.error }

// isEnd reports whether err is what a connection to a process says that has ended.
func isEnd(err error) bool {
	return slices.ContainsFunc([]error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, unix.ECONNRESET, unix.EPIPE},
		func(end error) bool { return errors.Is(err, end) })
}
