package topo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// removeStale removes the namespaces and directories of that prefix whose maker
// no longer lives. A process number in use again leaves them for a later run.
func removeStale(ctx context.Context, prefix string) error {
	stale := regexp.MustCompile(`^` + regexp.QuoteMeta(prefix) + `-(\d+)\.\d+(-|$)`)
	dead := func(name string) bool {
		m := stale.FindStringSubmatch(name)
		if m == nil {
			return false
		}
		pid, err := strconv.Atoi(m[1])
		return err == nil && !alive(pid)
	}
	return removeIf(ctx, dead)
}

// alive tells whether a process runs. One that has ended may keep its number for
// long where nobody waits for orphans, as in many containers.
func alive(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return !errors.Is(err, os.ErrNotExist)
	}
	// The state follows the name in brackets, which may hold brackets itself.
	_, state, _ := strings.Cut(string(stat[bytes.LastIndexByte(stat, ')')+1:]), " ")
	return !strings.HasPrefix(state, "Z") && !strings.HasPrefix(state, "X")
}

// namesFile lists a topology's namespaces in its directory. Namespaces that merely
// begin with a topology's fixed name may be somebody's own.
const namesFile = "namespaces"

// Remove removes the topology that was made with FixedName under that name, if
// there is one.
func Remove(ctx context.Context, name string) error {
	dir := filepath.Join(os.TempDir(), name)
	info, err := os.Lstat(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("topo: earlier topology %s: %w", name, err)
	}
	// Anybody may make a directory there, and name namespaces in it.
	if !ownDirectory(info) {
		return fmt.Errorf("topo: %s is in the way: it is not a directory of this user's", dir)
	}
	list, err := os.ReadFile(filepath.Join(dir, namesFile))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("topo: earlier topology %s: %w", name, err)
	}
	listed := strings.Fields(string(list))
	return removeIf(ctx, func(s string) bool { return s == name || slices.Contains(listed, s) })
}

// record adds a namespace to the list of its topology's.
func (t *Topology) record(namespace string) error {
	f, err := os.OpenFile(filepath.Join(t.dir, namesFile), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("topo: list of namespaces: %w", err)
	}
	_, err = fmt.Fprintln(f, namespace)
	return errors.Join(err, f.Close())
}

func ownDirectory(info os.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && info.IsDir() && int(st.Uid) == os.Geteuid()
}

// removeIf removes the namespaces that match, and this user's directories that do.
func removeIf(ctx context.Context, match func(name string) bool) error {
	names, err := namespaces(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		if match(name) {
			errs = append(errs, removeNamespace(ctx, name))
		}
	}
	dirs, err := os.ReadDir(os.TempDir())
	if err != nil {
		return fmt.Errorf("topo: look for stale directories: %w", err)
	}
	for _, d := range dirs {
		if !match(d.Name()) {
			continue
		}
		if info, err := d.Info(); err == nil && ownDirectory(info) { // it may have gone since
			errs = append(errs, os.RemoveAll(filepath.Join(os.TempDir(), d.Name())))
		}
	}
	return errors.Join(errs...)
}

// namespaces lists the named network namespaces.
func namespaces(ctx context.Context) ([]string, error) {
	out, err := command(ctx, "", "ip", "netns", "list")
	if err != nil {
		return nil, err
	}
	var names []string
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); len(f) > 0 {
			names = append(names, f[0])
		}
	}
	return names, nil
}

// removeNamespace kills every process of a namespace and removes its name; the
// kernel removes the rest. One that another program has removed meanwhile is fine.
func removeNamespace(ctx context.Context, name string) error {
	out, err := command(ctx, "", "ip", "netns", "pids", name)
	if err != nil {
		return ignoreGone(ctx, name, err)
	}
	for _, field := range strings.Fields(out) {
		if pid, err := strconv.Atoi(field); err == nil && pid > 1 && pid != os.Getpid() {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended since
		}
	}
	if _, err := command(ctx, "", "ip", "netns", "delete", name); err != nil {
		return ignoreGone(ctx, name, err)
	}
	return nil
}

func ignoreGone(ctx context.Context, name string, cause error) error {
	names, err := namespaces(ctx)
	if err != nil {
		return errors.Join(cause, err)
	}
	for _, n := range names {
		if n == name {
			return cause
		}
	}
	return nil
}
