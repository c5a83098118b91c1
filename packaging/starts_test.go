//go:build packages

package packaging

import (
	"debug/buildinfo"
	"debug/elf"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const (
	warren = "usr/bin/warren"
	gobgp  = "usr/libexec/warren/gobgp"
)

// The programs are of the package's architecture, and run on any Linux: nothing is loaded when they start.
func TestPrograms(t *testing.T) {
	for _, p := range every(t) {
		for _, program := range []string{warren, gobgp} {
			file := filepath.Join(p.unpacked(t), program)
			f, err := elf.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if f.Machine != p.machine || f.Class != elf.ELFCLASS64 {
				t.Errorf("%s: %s is %v, %v", p, program, f.Machine, f.Class)
			}
			for _, part := range f.Progs {
				if part.Type == elf.PT_INTERP || part.Type == elf.PT_DYNAMIC {
					t.Errorf("%s: %s is linked dynamically", p, program)
				}
			}
			info, err := buildinfo.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			has := map[string]string{}
			for _, s := range info.Settings {
				has[s.Key] = s.Value
			}
			for key, want := range map[string]string{"GOOS": "linux", "GOARCH": p.goarch, "CGO_ENABLED": "0", "-trimpath": "true"} {
				if has[key] != want {
					t.Errorf("%s: %s is built with %s=%q, and is to be with %q", p, program, key, has[key], want)
				}
			}
		}
	}
}

// TestNothingCallsMethodsByName: a template, linked into the daemon, has the linker keep all exported methods of everything. They
// would be 7 MB of the binary, and as much of each process's memory that is read at some time.
func TestNothingCallsMethodsByName(t *testing.T) {
	for _, p := range every(t) {
		f, err := elf.Open(filepath.Join(p.unpacked(t), warren))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		symbols, err := f.Symbols()
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range symbols {
			if s.Name == "text/template.(*state).evalField" {
				t.Errorf("%s: %s has templates linked in", p, warren)
			}
		}
	}
}

var saysVersion = regexp.MustCompile(`^warren \S+ go1\.\S+ linux/(\w+)\ncommit [0-9a-f]{40} of \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ(, changed since)?\n$`)

// TestStarts starts the programs of each package, those for another processor by an emulator: they say what
// they are, and read the minimal configs, with the secret that they make.
func TestStarts(t *testing.T) {
	for _, p := range every(t) {
		t.Run(p.kind+"-"+p.goarch, func(t *testing.T) {
			t.Parallel()
			says, code, stderr := p.run(t, warren, "version")
			if m := saysVersion.FindStringSubmatch(says); code != 0 || m == nil || m[1] != p.goarch {
				t.Errorf("warren version: exit %d, %q, %s", code, says, stderr)
			}
			if says, code, stderr := p.run(t, gobgp, "--help"); code != 0 || !strings.Contains(says, "neighbor") {
				t.Errorf("gobgp --help: exit %d, %s%s", code, says, stderr)
			}
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS("../configs/minimal")); err != nil {
				t.Fatal(err)
			}
			secret := filepath.Join(dir, "site-a", "a-b.secret")
			if _, code, stderr := p.run(t, warren, "keygen", "--secret", secret); code != 0 {
				t.Fatalf("warren keygen: exit %d, %s", code, stderr)
			}
			command(t, "cp", "-a", secret, filepath.Join(dir, "site-b"))
			for _, site := range []string{"site-a", "site-b"} {
				if says, code, stderr := p.run(t, warren, "check", "-c", filepath.Join(dir, site, "warren.toml")); code != 0 {
					t.Errorf("warren check of %s: exit %d, %s%s", site, code, says, stderr)
				}
			}
			config := filepath.Join(dir, "site-b", "warren.toml")
			if names, code, stderr := p.run(t, warren, "__complete", "status", "-c", config, ""); code != 0 || !strings.HasPrefix(names, "site-a\n") {
				t.Errorf("it completes %q: exit %d, %s", names, code, stderr)
			}
			if err := os.WriteFile(config, []byte("nonsense = 1\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			if says, code, stderr := p.run(t, warren, "check", "-c", config); code != 1 || !strings.Contains(says+stderr, "nonsense") {
				t.Errorf("warren check of a config with a mistake: exit %d, %s%s", code, says, stderr)
			}
		})
	}
}
