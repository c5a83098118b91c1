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

// dir is what is kept between runs, in the project's directory.
const dir = "bin/vm"

func main() {
	timeout := flag.Duration("timeout", 10*time.Minute, "for all of it")
	work := flag.String("C", ".", "the directory in which the command runs")
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

// run runs a command in a directory, and returns its exit status.
func run(ctx context.Context, work string, command []string) (status int, err error) {
	if os.Geteuid() != 0 {
		return 0, errors.New("virtiofsd shares the host's files as root: run it as root")
	}
	k, err := fetchKernel(ctx)
	if err != nil {
		return 0, fmt.Errorf("kernel: %w", err)
	}
	initrd, err := makeInitrd(ctx, k)
	if err != nil {
		return 0, fmt.Errorf("initrd: %w", err)
	}
	if work, err = filepath.Abs(work); err != nil {
		return 0, err
	}
	start, err := writeInit(k, work, command)
	if err != nil {
		return 0, err
	}
	m := machine{kernel: k.image, initrd: initrd, init: start}
	return m.run(ctx)
}
