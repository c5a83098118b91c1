package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// withoutIPv6 replaces this process by a command for which the kernel has no IPv6, as far as
// that can be played on one that has: there are no sockets of that family (EAFNOSUPPORT) and
// no sysctls, and no interface takes addresses or routes. Netlink goes on to answer; where
// a kernel without IPv6 says EOPNOTSUPP, this one says EACCES. It is for a process with a
// mount namespace and a network namespace of its own.
func withoutIPv6(argv []string) error {
	const sysctls = "/proc/sys/net/ipv6"
	for _, conf := range []string{"all", "default"} {
		if err := os.WriteFile(filepath.Join(sysctls, "conf", conf, "disable_ipv6"), []byte("1"), 0o600); err != nil {
			return err
		}
	}
	if err := unix.Mount("none", sysctls, "tmpfs", unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("mount over %s: %w", sysctls, err)
	}
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return err
	}
	runtime.LockOSThread() // the filter is the thread's, and exec keeps only this one
	if err := refuseSockets(unix.AF_INET6, unix.EAFNOSUPPORT); err != nil {
		return err
	}
	return fmt.Errorf("run %s: %w", path, unix.Exec(path, argv, os.Environ()))
}

// refuseSockets has socket(2) fail for a family, in this thread and what it starts.
func refuseSockets(family int, with unix.Errno) error {
	const number, firstArgument = 0, 16 // offsets in struct seccomp_data
	if unsafe.Sizeof(uintptr(0)) != 8 || runtime.GOARCH == "s390x" {
		return errors.New("only for 64-bit machines with the low half of an argument first")
	}
	code := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: number},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_SOCKET, Jf: 3},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: firstArgument},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(family), Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(with)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no_new_privs: %w", err)
	}
	program := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0)
	runtime.KeepAlive(code)
	if err != nil {
		return fmt.Errorf("seccomp: %w", err)
	}
	return nil
}
