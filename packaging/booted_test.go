//go:build packages

package packaging

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience bounds each wait for something that happens in the container. A machine that does
// other things too may be slow.
const patience = 2 * time.Minute

// booted is a Debian that systemd has booted, in namespaces of its own, with a network of its own.
// What is written there is gone when the test ends.
type booted struct {
	t   *testing.T
	pid int // of its systemd, as seen from here
}

// boot boots the Debian in the directory that WARREN_DEBIAN names, else a copy of this machine's,
// of which nothing starts but what belongs to systemd. The packages are in /packages and /next there.
func boot(t *testing.T) *booted {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("a Debian is booted by root only")
	}
	name := "warren-test-" + strconv.Itoa(os.Getpid())
	root := overlay(t, t.TempDir())
	var says bytes.Buffer
	cmd := exec.Command("/bin/sh", slices.Concat([]string{"-c", inCgroup, "sh", name}, nspawn(t, name, root),
		[]string{"--boot", "--private-network", "--console=pipe", "--bind=/dev/net/tun", "--", "--unit=basic.target"})...)
	cmd.Stdout, cmd.Stderr = &says, &says
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	b := &booted{t: t}
	t.Cleanup(func() {
		if init := onlyChild(cmd.Process.Pid); init != 0 {
			_ = syscall.Kill(init, syscall.SIGKILL) // and with it all that runs in its namespaces
		} else {
			_ = cmd.Process.Kill()
		}
		<-ended
		if t.Failed() {
			t.Logf("systemd-nspawn says:\n%s", says.Bytes())
		}
		leaveCgroup(name)
	})
	b.until("systemd runs", func() bool {
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("systemd-nspawn: %v\n%s", err, says.Bytes())
		default:
		}
		b.pid = onlyChild(cmd.Process.Pid)
		return b.pid != 0 && b.try("systemctl is-active --quiet basic.target") == nil
	})
	return b
}

// nspawn is the beginning of a command line that runs something in such a Debian, where the packages are.
func nspawn(t *testing.T, name, root string) []string {
	t.Helper()
	argv := []string{"systemd-nspawn", "--quiet", "--directory", root, "--register=no", "--keep-unit", "--machine", name,
		"--link-journal=no", "--resolv-conf=off", "--timezone=off"}
	for at, variable := range map[string]string{"/packages": "WARREN_PACKAGES", "/next": "WARREN_PACKAGES_NEXT"} {
		from, err := filepath.Abs(os.Getenv(variable))
		if err != nil {
			t.Fatal(err)
		}
		makeDirs(t, filepath.Join(root, at))
		argv = append(argv, "--bind-ro="+from+":"+at)
	}
	return argv
}

// inCgroup is a line of shell that runs a command in a control group of its own, as else what the
// booted systemd calls /system.slice would be this machine's.
const inCgroup = `name=$1; shift
for d in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
  if [ -e $d/cgroup.procs ]; then mkdir -p $d/$name && echo $$ >$d/$name/cgroup.procs; fi
done
exec "$@"`

// leaveCgroup removes it when nothing is in it any more.
func leaveCgroup(name string) {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		var left []string
		for _, dir := range []string{"/sys/fs/cgroup/" + name, "/sys/fs/cgroup/systemd/" + name, "/sys/fs/cgroup/unified/" + name} {
			_ = exec.Command("find", dir, "-depth", "-type", "d", "-exec", "rmdir", "{}", ";").Run()
			if _, err := os.Stat(dir); err == nil {
				left = append(left, dir)
			}
		}
		if len(left) == 0 {
			return
		}
	}
}

// overlay mounts a tree that is that Debian, with a layer over it that takes what is written.
func overlay(t *testing.T, dir string) (root string) {
	t.Helper()
	lower := os.Getenv("WARREN_DEBIAN")
	if lower == "" {
		lower = "/"
	}
	root = filepath.Join(dir, "root")
	command(t, "mount", "-t", "tmpfs", "-o", "mode=755", "none", dir)
	t.Cleanup(func() { command(t, "umount", "--recursive", "--lazy", dir) })
	for _, d := range []string{"upper", "work", "root"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	command(t, "mount", "-t", "overlay", "-o", fmt.Sprintf("lowerdir=%s,upperdir=%s/upper,workdir=%s/work", lower, dir, dir), "none", root)
	return root
}

func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// onlyChild returns a process's child, or 0.
func onlyChild(pid int) int {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	child, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		return 0
	}
	return child
}

// run runs a line of shell there, and returns what it writes to its standard output. It has to succeed.
func (b *booted) run(line string) string {
	b.t.Helper()
	out, err := b.output(line)
	if err != nil {
		journal, _ := b.output("journalctl --no-pager -n 60 -u warren -u far")
		b.t.Fatalf("%s: %v\n%s\nthe journal:\n%s", line, err, out, journal)
	}
	return strings.TrimSpace(out)
}

// fails runs a line that has to fail.
func (b *booted) fails(line string) {
	b.t.Helper()
	if out, err := b.output(line); err == nil {
		b.t.Fatalf("%s succeeds:\n%s", line, out)
	}
}

func (b *booted) try(line string) error {
	_, err := b.output(line)
	return err
}

func (b *booted) output(line string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "nsenter", "--target", strconv.Itoa(b.pid), "--mount", "--uts", "--ipc", "--net", "--pid", "--root",
		"/bin/sh", "-c", line)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive", "SYSTEMD_PAGER="}
	out, err := cmd.Output()
	if failed := new(exec.ExitError); errors.As(err, &failed) {
		err = fmt.Errorf("%w: %s", err, failed.Stderr)
	}
	return string(out), err
}

// until waits for a condition.
func (b *booted) until(what string, holds func() bool) {
	b.t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			var journal string
			if b.pid != 0 {
				journal, _ = b.output("systemctl status warren far; journalctl --no-pager -n 60 -u warren -u far")
			}
			b.t.Fatalf("not in %v: %s\n%s", patience, what, journal)
		}
	}
}

// succeeds waits until a line of shell succeeds.
func (b *booted) succeeds(line string) {
	b.t.Helper()
	b.until(line, func() bool { return b.try(line) == nil })
}
