package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const virtiofsd = "/usr/lib/qemu/virtiofsd"

// machine is a virtual machine that runs once.
type machine struct {
	kernel, initrd string
	init           string // the first process in the host's root
}

// memory is in MiB.
const memory = 1536

// run returns the exit status that the machine has told of before it ended.
func (m *machine) run(ctx context.Context) (status int, err error) {
	scratch, err := os.MkdirTemp("", "vm")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(scratch)
	socket := filepath.Join(scratch, "files.sock")
	files := exec.CommandContext(ctx, virtiofsd, "--socket-path="+socket, "-o", "source=/", "-o", "cache=auto", "-o", "sandbox=chroot", "-o", "log_level=warn")
	var said bytes.Buffer
	files.Stderr = &said
	if err := files.Start(); err != nil {
		return 0, err
	}
	defer func() { // it ends with its client
		_ = files.Process.Kill()
		_ = files.Wait()
	}()
	if err := waitFor(ctx, socket); err != nil {
		return 0, fmt.Errorf("virtiofsd: %w: %s", err, said.String())
	}
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", "-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", strconv.Itoa(memory),
		"-object", fmt.Sprintf("memory-backend-memfd,id=mem,size=%dM,share=on", memory), "-numa", "node,memdev=mem",
		"-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot",
		"-chardev", "socket,id=files,path="+socket, "-device", "vhost-user-fs-pci,chardev=files,tag=root",
		"-kernel", m.kernel, "-initrd", m.initrd, "-append", "console=ttyS0 quiet panic=-1 second="+m.init)
	var faults bytes.Buffer
	cmd.Stderr = &faults
	console, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	status, told := follow(console, os.Stdout)
	if err := errors.Join(cmd.Wait(), ctx.Err()); err != nil {
		return 0, fmt.Errorf("qemu: %w: %s", err, faults.String())
	}
	if !told {
		return 0, errors.New("the machine ended before the command: its last lines are above")
	}
	return status, nil
}

// follow copies what the console says, up to the exit status, and reads the rest.
func follow(console io.Reader, to io.Writer) (status int, told bool) {
	lines := bufio.NewReader(console)
	for {
		l, err := lines.ReadString('\n')
		l = strings.TrimRight(l, "\r\n")
		if code, is := strings.CutPrefix(l, "vm: exit "); is && !told {
			if n, err := strconv.Atoi(code); err == nil {
				status, told = n, true
			}
		}
		if !told && (l != "" || err == nil) {
			fmt.Fprintln(to, l)
		}
		if err != nil {
			return status, told
		}
	}
}

func waitFor(ctx context.Context, path string) error {
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end) && ctx.Err() == nil; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			return nil
		}
	}
	return errors.New("it makes no socket")
}
