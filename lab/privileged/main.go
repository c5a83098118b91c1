// Command privileged runs a command with the rights that network namespaces
// and TUN devices need: as root it just runs it, otherwise it becomes root of
// a user namespace first, where the kernel allows that, or says what is
// missing.
//
// Usage: privileged COMMAND [ARG ...]
package main

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"warren/lab/topo"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: privileged COMMAND [ARG ...]")
		os.Exit(2)
	}
	if err := topo.Reexec(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	path, err := exec.LookPath(os.Args[1])
	if err == nil {
		err = syscall.Exec(path, os.Args[1:], os.Environ())
	}
	fmt.Fprintln(os.Stderr, "privileged:", err)
	os.Exit(1)
}
