package main

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/bits"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// keepAwake starts a process that keeps every processor busy with what gives way to
// anything else. A virtual processor that halts waits for its host when there is
// something to do again: on hosts with other guests that is a millisecond now and nothing
// then, and all that differs between two contenders drowns in it.
// On a machine that other work keeps busy it takes from that work, so it can be left out.
func keepAwake(leaveOut bool) (stop func(), err error) {
	if leaveOut {
		return func() {}, nil
	}
	group, err := ungroup(autogroup)
	if err != nil {
		return nil, fmt.Errorf("keep processors awake: %w", err)
	}
	letSleep, err := startAwake()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("keep processors awake: %w", err), group())
	}
	return func() {
		letSleep()
		if err := group(); err != nil {
			fmt.Fprintln(os.Stderr, "the scheduler's autogroups stay off:", err)
		}
	}, nil
}

// autogroup says whether the kernel's scheduler takes the processes of a session as one group (sched(7)).
const autogroup = "/proc/sys/kernel/sched_autogroup_enabled"

// ungroup turns autogroups off for processes to come. In one, what gives way to anything else gives way to its own
// session alone, and other groups wait for it: threads of the kernel that deliver packets did, for up to a second at
// a time (perf sched timehist, Linux 6.18). group turns them on again if they were. A kernel may have none.
func ungroup(file string) (group func() error, err error) {
	was, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) || err == nil && string(was) == "0\n" {
		return func() error { return nil }, nil
	}
	if err == nil {
		err = os.WriteFile(file, []byte("0\n"), 0)
	}
	return func() error { return os.WriteFile(file, was, 0) }, err
}

func startAwake() (stop func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, "stay-awake")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}, nil
}

// stayAwake is what that process does, until it is killed.
func stayAwake() error {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return fmt.Errorf("stay awake: %w", err)
	}
	runtime.GOMAXPROCS(set.Count() + 1)
	failed := make(chan error)
	for cpu := range len(set) * bits.UintSize {
		if set.IsSet(cpu) {
			go func() { failed <- occupy(cpu) }()
		}
	}
	return <-failed
}

// occupy spins on a processor whenever nobody else wants it. It returns only errors.
func occupy(cpu int) error {
	runtime.LockOSThread()
	var one unix.CPUSet
	one.Set(cpu)
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return fmt.Errorf("stay awake on processor %d: %w", cpu, err)
	}
	if err := unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_IDLE}, 0); err != nil {
		return fmt.Errorf("stay awake with least priority: %w", err)
	}
	for x := 2.0; ; x = math.Sqrt(x) + 2 { // waits for itself, so that a sibling thread has nearly all of the core
	}
}
