package handover

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// variable of the environment has the number of the process and that of the memory file's descriptor,
// with a colon between. What a child gets by mistake has another process's number.
const variable = "WARREN_HANDOVER"

// seals make sure that what is read is what was written.
const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE

// Exec replaces this program by the one in the file path, which gets the arguments argv, what is in
// state, and the descriptors. It returns only if that cannot be done; then all is as before.
func Exec(path string, argv []string, state []byte, descriptors []int) error {
	memory, err := write(state)
	if err != nil {
		return fmt.Errorf("handover: %w", err)
	}
	defer memory.Close()
	fd := int(memory.Fd())
	all := append(descriptors[:len(descriptors):len(descriptors)], fd)
	env := append(environment(), variable+"="+strconv.Itoa(os.Getpid())+":"+strconv.Itoa(fd))

	syscall.ForkLock.Lock() // a process that is started now would have the descriptors too
	defer syscall.ForkLock.Unlock()
	defer func() { _ = closeOnExec(all, true) }() // it fails for none that is open
	if err := closeOnExec(all, false); err != nil {
		return fmt.Errorf("handover: %w", err)
	}
	return fmt.Errorf("handover: start %s: %w", path, syscall.Exec(path, argv, env))
}

// environment is that of this process, without what it was handed over itself.
func environment() (env []string) {
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, variable+"=") {
			env = append(env, e)
		}
	}
	return env
}

// write returns a memory file with that content, sealed.
func write(state []byte) (_ *os.File, err error) {
	fd, err := unix.MemfdCreate("warren-handover", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("make a memory file: %w", err)
	}
	f := os.NewFile(uintptr(fd), "handover")
	if _, err = f.WriteAt(state, 0); err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("write a memory file: %w", err)
	}
	return f, nil
}

func closeOnExec(fds []int, on bool) error {
	var errs []error
	for _, fd := range fds {
		flag := 0
		if on {
			flag = unix.FD_CLOEXEC
		}
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, flag); err != nil {
			errs = append(errs, fmt.Errorf("descriptor %d: %w", fd, err))
		}
	}
	return errors.Join(errs...)
}

// Take returns what the program before has left in this process; nil if there was none. It is to be called
// once, before any process is started, and then Keep for the descriptors.
func Take() ([]byte, error) {
	value, ok := os.LookupEnv(variable)
	if !ok {
		return nil, nil
	}
	if err := os.Unsetenv(variable); err != nil {
		return nil, fmt.Errorf("handover: %w", err)
	}
	pid, number, _ := strings.Cut(value, ":")
	fd, err := strconv.Atoi(number)
	if err != nil || pid != strconv.Itoa(os.Getpid()) {
		return nil, nil // another process's
	}
	have, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0)
	if err != nil || have&seals != seals {
		return nil, fmt.Errorf("handover: descriptor %d is no sealed memory file (%w)", fd, err)
	}
	f := os.NewFile(uintptr(fd), "handover")
	defer f.Close()
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("handover: %w", err)
	}
	state, err := io.ReadAll(f)
	if err != nil {
		return nil, fmt.Errorf("handover: read the memory file: %w", err)
	}
	return state, nil
}

// Keep gives descriptors that were handed over their close-on-exec flag back. One that is not open is
// an error.
func Keep(fds []int) error {
	if err := closeOnExec(fds, true); err != nil {
		return fmt.Errorf("handover: %w", err)
	}
	return nil
}
