package child

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"github.com/landlock-lsm/go-landlock/landlock"
	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/psx"
)

const (
	niceness = 5
	// oomScore has the kernel take this process before others when memory is short
	// (proc_pid_oom_score_adj(5)).
	oomScore = 500
)

// confine gives up what the process does not need, for good. What cannot be given up is no
// reason not to work, and is returned: a container may forbid the one or the other.
//
// The order matters: descriptors of files before the file system, the user before what a change
// of user resets.
func confine(uid, gid int) (problems []error) {
	do := func(what string, err error) {
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", what, err))
		}
	}
	do("be the first to go when memory is short", raiseOOMScore())
	// The daemon has made this process the head of a process group, which has its threads in it.
	do("give others the processor first", unix.Setpriority(unix.PRIO_PGRP, 0, niceness))
	none := unix.Rlimit{}
	do("write no memory image", unix.Setrlimit(unix.RLIMIT_CORE, &none))
	do("write no files", unix.Setrlimit(unix.RLIMIT_FSIZE, &none))
	if os.Geteuid() == 0 {
		do("become another user", becomeUser(uid, gid))
	}
	do("give up capabilities", dropCapabilities())
	do("gain no privileges", onAllThreads(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0))
	// After the change of user, which forgets it.
	do("end with the daemon", unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0))
	// No file can be opened, no TCP port be bound or connected to, and no process outside be
	// signaled, as far as the kernel can do that (landlock(7)).
	do("see no files", landlock.V6.BestEffort().Restrict())
	return problems
}

// becomeUser gives up root, for an unprivileged user without supplementary groups. The runtime
// does it on all threads.
func becomeUser(uid, gid int) error {
	if err := syscall.Setgroups([]int{}); err != nil {
		return fmt.Errorf("without groups: %w", err)
	}
	if err := syscall.Setgid(gid); err != nil {
		return fmt.Errorf("group %d: %w", gid, err)
	}
	if err := syscall.Setuid(uid); err != nil {
		return fmt.Errorf("user %d: %w", uid, err)
	}
	return nil
}

// raiseOOMScore leaves a score that is higher already.
func raiseOOMScore() error {
	const file = "/proc/self/oom_score_adj"
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if score, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil && score >= oomScore {
		return nil
	}
	return os.WriteFile(file, []byte(strconv.Itoa(oomScore)), 0)
}

// dropCapabilities empties the capability sets of all threads (capset(2)).
func dropCapabilities() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	_, _, errno := psx.Syscall3(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&none[0])), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// onAllThreads makes a system call on each thread of the process.
func onAllThreads(nr, a, b, c uintptr) error {
	_, _, errno := psx.Syscall6(nr, a, b, c, 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
