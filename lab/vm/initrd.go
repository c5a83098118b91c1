package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// first are the modules that the root needs.
var first = []string{"virtio_pci", "virtiofs"}

const firstInit = `#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
%s/bin/busybox mount -t virtiofs -o ro root /root || /bin/busybox poweroff -f
exec /bin/busybox switch_root /root "$(/bin/busybox sed -n 's/.*second=\([^ ]*\).*/\1/p' /proc/cmdline)"
`

// makeInitrd writes the first root: busybox, and the modules with those that they need, in order.
func makeInitrd(ctx context.Context, k kernel) (string, error) {
	root := filepath.Join(filepath.Dir(k.root), "initrd")
	if err := os.RemoveAll(root); err != nil {
		return "", err
	}
	var load strings.Builder
	loaded := map[string]bool{}
	for _, name := range first {
		needs, err := output(ctx, "", "modprobe", "-d", k.root, "-S", k.version, "--show-depends", name)
		if err != nil {
			return "", err
		}
		for _, l := range strings.Split(needs, "\n") {
			path, is := strings.CutPrefix(strings.TrimSpace(l), "insmod ")
			if !is || loaded[path] { // or it is built in
				continue
			}
			loaded[path] = true
			to := filepath.Base(path)
			if err := copyFile(path, filepath.Join(root, to)); err != nil {
				return "", err
			}
			fmt.Fprintf(&load, "/bin/busybox insmod /%s\n", to)
		}
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return "", err
	}
	for _, d := range []string{"bin", "proc", "root"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			return "", err
		}
	}
	err = errors.Join(copyFile(busybox, filepath.Join(root, "bin", "busybox")),
		os.WriteFile(filepath.Join(root, "init"), fmt.Appendf(nil, firstInit, load.String()), 0o755))
	if err != nil {
		return "", err
	}
	archive := filepath.Join(filepath.Dir(k.root), "initrd.cpio")
	cmd := exec.CommandContext(ctx, busybox, "sh", "-c", "busybox find . | busybox cpio -o -H newc")
	cmd.Dir, cmd.Stderr = root, new(bytes.Buffer)
	data, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("cpio: %w: %s", err, cmd.Stderr)
	}
	return archive, os.WriteFile(archive, data, 0o644)
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o755)
}

// secondInit begins the work in the real root. Modules that the kernel asks for come from where they were
// unpacked: there is no place for them in a root that is read only.
const secondInit = `#!/bin/bash
export PATH=/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
# What is to be written to is memory. The project may lie below one of these, and is seen through it.
mkdir /dev/project
mount --bind %[2]s /dev/project
for at in /dev/shm /tmp /run /var; do mount -t tmpfs tmpfs $at; done
mkdir -p %[2]s
mount --bind /dev/project %[2]s
umount /dev/project
mkdir -p /var/lib /var/log /var/tmp /run/netns /run/lock
ln -s /run /var/run
echo %[1]s > /proc/sys/kernel/modprobe
%[1]s -q tun # no device file has the kernel ask for it before it is there
hostname vm
ip link set lo up
cd %[3]s || exit
%[4]s </dev/null
echo "vm: exit $?"
sync
echo o > /proc/sysrq-trigger
sleep 60
`

const modprobe = `#!/bin/sh
exec modprobe -d %s "$@"
`

// writeInit writes what the machine does in a directory of the project, and returns its path.
func writeInit(k kernel, project, work string, command []string) (string, error) {
	at := filepath.Dir(k.root)
	helper, start := filepath.Join(at, "modprobe"), filepath.Join(at, "init")
	quoted := make([]string, len(command))
	for i, word := range command {
		quoted[i] = quote(word)
	}
	var environment strings.Builder
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "LAB_") || name == "CI" {
			fmt.Fprintf(&environment, "%s ", quote(v))
		}
	}
	line := "env " + environment.String() + strings.Join(quoted, " ")
	text := fmt.Sprintf(secondInit, quote(helper), quote(project), quote(work), line)
	return start, errors.Join(os.WriteFile(helper, fmt.Appendf(nil, modprobe, quote(k.root)), 0o755), os.WriteFile(start, []byte(text), 0o755))
}

// quote writes a word for sh.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
