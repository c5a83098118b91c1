package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// execFiltered replaces this process by a command, after filter has put a filter on the
// calling thread's system calls.
func execFiltered(argv []string, filter func() error) error {
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return err
	}
	runtime.LockOSThread() // the filter is the thread's, and exec keeps only this one
	if err := filter(); err != nil {
		return err
	}
	return fmt.Errorf("run %s: %w", path, unix.Exec(path, argv, os.Environ()))
}

// setFilter puts a filter on the system calls of this thread and what it starts. With
// SECCOMP_FILTER_FLAG_NEW_LISTENER it returns the descriptor of the listener, which an exec
// closes.
func setFilter(code []unix.SockFilter, flags uintptr) (listener int, err error) {
	if unsafe.Sizeof(uintptr(0)) != 8 || runtime.GOARCH == "s390x" {
		return -1, errors.New("only for 64-bit machines with the low half of an argument first")
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return -1, fmt.Errorf("no_new_privs: %w", err)
	}
	program := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&program)))
	runtime.KeepAlive(code)
	if errno != 0 {
		return -1, fmt.Errorf("seccomp: %w", errno)
	}
	return int(fd), nil
}
