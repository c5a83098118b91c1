package main

import (
	"fmt"
	"os"
	"path/filepath"

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
	return execFiltered(argv, func() error { return refuseSockets(unix.AF_INET6, unix.EAFNOSUPPORT) })
}

// refuseSockets has socket(2) fail for a family, in this thread and what it starts.
func refuseSockets(family int, with unix.Errno) error {
	const number, firstArgument = 0, 16 // offsets in struct seccomp_data
	code := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: number},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_SOCKET, Jf: 3},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: firstArgument},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(family), Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(with)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	_, err := setFilter(code, 0)
	return err
}
