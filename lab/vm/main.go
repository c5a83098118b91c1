package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// dir is what is kept between runs, in the project.
const dir = "bin/vm"

func main() {
	timeout := flag.Duration("timeout", 10*time.Minute, "for all of it")
	work := flag.String("C", ".", "the directory of the project in which the command runs")
	flag.Usage = func() { fmt.Fprintln(os.Stderr, "usage: vm [-timeout DURATION] [-C DIR] COMMAND [ARG ...]") }
	flag.Parse()
	if flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithTimeout(ctx, *timeout)
	status, err := run(ctx, *work, flag.Args())
	cancel()
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "vm:", err)
		os.Exit(1)
	}
	os.Exit(status)
}

// run runs a command in a directory of the project, and returns its exit status.
func run(ctx context.Context, work string, command []string) (status int, err error) {
	if os.Geteuid() != 0 {
		return 0, errors.New("virtiofsd shares the host's files as root: run it as root")
	}
	project, work, err := within(work)
	if err != nil {
		return 0, err
	}
	k, err := fetchKernel(ctx, filepath.Join(project, dir, "kernel"))
	if err != nil {
		return 0, fmt.Errorf("kernel: %w", err)
	}
	initrd, err := makeInitrd(ctx, k)
	if err != nil {
		return 0, fmt.Errorf("initrd: %w", err)
	}
	start, err := writeInit(k, project, work, command)
	if err != nil {
		return 0, err
	}
	m := machine{kernel: k.image, initrd: initrd, init: start}
	return m.run(ctx)
}

// within returns the project, which is the current directory, and a directory in it. Both are without symbolic links, which
// may lie where the machine has others' files or none.
func within(work string) (project, in string, err error) {
	if project, err = os.Getwd(); err != nil {
		return "", "", err
	}
	if project, err = filepath.EvalSymlinks(project); err != nil {
		return "", "", err
	}
	if in, err = filepath.Abs(work); err != nil {
		return "", "", err
	}
	if in, err = filepath.EvalSymlinks(in); err != nil {
		return "", "", err
	}
	if rel, err := filepath.Rel(project, in); err != nil || !filepath.IsLocal(rel) {
		return "", "", fmt.Errorf("-C %s: the machine is sure to see only what is in %s", work, project)
	}
	return project, in, nil
}
