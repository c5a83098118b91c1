//go:build packages

package packaging

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"warren/internal/skip"
)

// architecture is one that packages are made for, by the names that Go and the kinds of packages have for it.
type architecture struct {
	goarch   string
	in       map[string]string // by kind
	machine  elf.Machine
	emulator string // runs its programs on another processor; of Debian's package qemu-user
}

var architectures = []architecture{
	{"amd64", map[string]string{"deb": "amd64", "rpm": "x86_64"}, elf.EM_X86_64, "qemu-x86_64"},
	{"arm64", map[string]string{"deb": "arm64", "rpm": "aarch64"}, elf.EM_AARCH64, "qemu-aarch64"},
}

var kinds = []string{"deb", "rpm"}

// pkg is one package.
type pkg struct {
	kind string
	architecture
	file string
}

func (p pkg) String() string { return p.kind + " for " + p.goarch }

// every returns the packages of both kinds for each architecture, as `make packages` makes them.
func every(t *testing.T) (all []pkg) {
	t.Helper()
	for _, a := range architectures {
		for _, kind := range kinds {
			all = append(all, pkg{kind, a, find(t, "WARREN_PACKAGES", kind, a)})
		}
	}
	return all
}

// here returns the package for this machine's processor.
func here(t *testing.T, kind string) pkg {
	t.Helper()
	for _, p := range every(t) {
		if p.kind == kind && p.goarch == runtime.GOARCH {
			return p
		}
	}
	t.Fatalf("there are no packages for %s", runtime.GOARCH)
	return pkg{}
}

// find returns the only package of a kind and an architecture in the directory that a variable of the environment names.
func find(t *testing.T, variable, kind string, a architecture) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(os.Getenv(variable), "*"+a.in[kind]+"."+kind))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s=%s has %q: run make test-packages", variable, os.Getenv(variable), found)
	}
	file, err := filepath.Abs(found[0])
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// scratch is a directory for all tests.
var scratch string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "warren-packages-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	scratch = dir
	code := m.Run()
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

var unpacking sync.Mutex

// unpacked returns a directory with the files of a package, which nobody changes.
func (p pkg) unpacked(t *testing.T) string {
	t.Helper()
	unpacking.Lock()
	defer unpacking.Unlock()
	to := filepath.Join(scratch, p.kind+"-"+p.goarch)
	if _, err := os.Stat(to); err == nil {
		return to
	}
	tmp := to + ".tmp"
	makeDirs(t, tmp)
	line := `dpkg-deb --extract "$1" "$2"`
	if p.kind == "rpm" {
		// rpm2cpio of rpm 4.18 ends with 1 whatever happens; TestDigests checks what it reads.
		line = `set +o pipefail; rpm2cpio "$1" | cpio --quiet --extract --make-directories --no-absolute-filenames --directory "$2"`
	}
	command(t, "/bin/bash", "-euo", "pipefail", "-c", line, "sh", p.file, tmp)
	if err := os.Rename(tmp, to); err != nil {
		t.Fatal(err)
	}
	return to
}

// run runs a program of the package, by an emulator if it is for another processor. It returns what the program
// writes to its standard output, and its exit status.
func (p pkg) run(t *testing.T, program string, args ...string) (stdout string, code int, stderr string) {
	t.Helper()
	argv := append([]string{filepath.Join(p.unpacked(t), program)}, args...)
	if p.goarch != runtime.GOARCH {
		if _, err := exec.LookPath(p.emulator); err != nil {
			skip.OutsideCI(t, "%v: install qemu-user", err)
		}
		argv = append([]string{p.emulator}, argv...)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	failed := new(exec.ExitError)
	if err != nil && (!errors.As(err, &failed) || failed.ExitCode() < 0) {
		t.Fatalf("%s: %v\n%s%s", strings.Join(argv, " "), err, out.Bytes(), errs.Bytes())
	}
	return out.String(), cmd.ProcessState.ExitCode(), errs.String()
}
