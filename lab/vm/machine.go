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

// virtiofsds are where Debian 12 and later ones have the program that shares the host's files. It is in no directory of PATH.
var virtiofsds = []string{"/usr/lib/qemu/virtiofsd", "/usr/libexec/virtiofsd"}

// machine is a virtual machine that runs once.
type machine struct {
	kernel, initrd string
	init           string // the first process in the host's root
}

// memory is in MiB.
const memory = 1536

// processor has what qemu can emulate, but for what makes each system call and each look into the page tables longer.
const processor = "max,-smap,-smep,-la57"

// parameters are the kernel's. Without the first one it takes the time stamp counters of several emulated processors for
// unsynchronized, though qemu has one for all, and reads the time from the HPET: a device, which all processors wait for at
// each of the many times that the schedulers of Go and of the kernel look at the time. Without the second one it looks for a timer that
// ticks as fast as its loops are, which none does on a busy host, and may end without one.
const parameters = "tsc=reliable no_timer_check mitigations=off console=ttyS0 quiet panic=-1"

// run returns the exit status that the machine has told of before it ended.
func (m *machine) run(ctx context.Context) (status int, err error) {
	scratch, err := os.MkdirTemp("", "vm")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(scratch)
	socket := filepath.Join(scratch, "files.sock")
	virtiofsd, err := findVirtiofsd()
	if err != nil {
		return 0, err
	}
	// What the machine has read once it takes for good: nobody changes it meanwhile, and each question is a way out and back.
	files := exec.CommandContext(ctx, virtiofsd, "--socket-path="+socket, "-o", "source=/", "-o", "cache=always", "-o", "sandbox=chroot", "-o", "log_level=warn")
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
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", "-M", "q35", "-accel", "tcg,thread=multi", "-cpu", processor, "-smp", "2", "-m", strconv.Itoa(memory),
		"-object", fmt.Sprintf("memory-backend-memfd,id=mem,size=%dM,share=on", memory), "-numa", "node,memdev=mem",
		"-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot",
		"-chardev", "socket,id=files,path="+socket, "-device", "vhost-user-fs-pci,chardev=files,tag=root",
		"-kernel", m.kernel, "-initrd", m.initrd, "-append", parameters+" second="+m.init)
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
	for end := time.Now().Add(time.Minute); time.Now().Before(end) && ctx.Err() == nil; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			return nil
		}
	}
	return errors.New("it makes no socket")
}

func findVirtiofsd() (string, error) {
	for _, path := range virtiofsds {
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("there is no virtiofsd, neither %s: install Debian's qemu-system-common, or virtiofsd where that is a package", strings.Join(virtiofsds, " nor "))
}
