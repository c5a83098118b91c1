//go:build packages

package packaging

import (
	"bytes"
	"crypto/sha256"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// programs are the only files that can be run.
var programs = []string{"/usr/bin/warren", "/usr/libexec/warren/gobgp"}

// All that a package has is root's, nothing is written to by others, run as somebody else, or a link.
func TestOwnersAndModes(t *testing.T) {
	for _, p := range every(t) {
		all := p.listing(t)
		for _, e := range all {
			want := uint64(regular | 0o644)
			switch {
			case e.path == "/etc/warren" || e.path == "/etc/warren/peers.d":
				want = directory | 0o700
			case e.mode&formatOf == directory:
				want = directory | 0o755
			case slices.Contains(programs, e.path):
				want = regular | 0o755
			}
			if e.mode != want || e.owner != "root:root" {
				t.Errorf("%s: %s is %o of %s, and is to be %o of root:root", p, e.path, e.mode, e.owner, want)
			}
			if e.made != all[0].made {
				t.Errorf("%s: %s is of %d, %s of %d: it can't be built once more", p, e.path, e.made, all[0].path, all[0].made)
			}
			// In an rpm a directory that belongs to the distribution's own packages must not belong to this one too.
			if p.kind == "rpm" && e.mode&formatOf == directory && !strings.Contains(e.path, "/warren") {
				t.Errorf("%s owns %s", p, e.path)
			}
		}
	}
}

// TestAllHaveTheSame compares the packages file by file, and with what a package is to have.
func TestAllHaveTheSame(t *testing.T) {
	first := here(t, "deb")
	want := files(first.listing(t))
	for _, file := range append([]string{
		"/usr/lib/systemd/system/warren.service", "/usr/lib/sysusers.d/warren.conf", "/usr/lib/tmpfiles.d/warren.conf",
		"/usr/share/man/man1/warren.1.gz", "/usr/share/man/man1/warren-status.1.gz", "/usr/share/man/man5/warren.toml.5.gz",
		"/usr/share/bash-completion/completions/warren", "/usr/share/fish/vendor_completions.d/warren.fish", "/usr/share/zsh/X/_warren",
		"/usr/share/doc/warren/copyright", "/usr/share/doc/warren/THIRD-PARTY-LICENSES", "/usr/share/doc/warren/README.md",
		"/usr/share/doc/warren/examples/reference/warren.toml", "/usr/share/doc/warren/sbom/warren.cdx.json", "/usr/share/doc/warren/sbom/gobgp.cdx.json",
	}, programs...) {
		if !slices.Contains(want, file) {
			t.Errorf("%s is missing", file)
		}
	}
	monitoring, _ := filepath.Glob("../configs/monitoring/*.[jy]*")
	for _, file := range monitoring {
		if file := "/usr/share/warren/monitoring/" + filepath.Base(file); !slices.Contains(want, file) {
			t.Errorf("%s is missing", file)
		}
	}
	sums := map[string]map[string][32]byte{}
	for _, p := range every(t) {
		if got := files(p.listing(t)); !slices.Equal(got, want) {
			t.Errorf("the %s has\n%s\nand the %s\n%s", p, strings.Join(got, "\n"), first, strings.Join(want, "\n"))
		}
		sum := contents(t, p.unpacked(t))
		if got := slices.Sorted(maps.Keys(sum)); !slices.Equal(got, want) {
			t.Errorf("of the %s there are unpacked\n%s", p, strings.Join(got, "\n"))
		}
		sums[p.String()] = sum
	}
	for _, p := range every(t) {
		for file, sum := range sums[p.String()] {
			other := first
			if slices.Contains(programs, file) || strings.Contains(file, "/sbom/") { // of the architecture
				other.goarch = p.goarch
			}
			if sums[other.String()][file] != sum {
				t.Errorf("the %s and the %s have not the same %s", p, other, file)
			}
		}
	}
	unit, err := os.ReadFile(filepath.Join(first.unpacked(t), "usr/lib/systemd/system/warren.service"))
	if err != nil || strings.Contains(string(unit), "/usr/local") || !strings.Contains(string(unit), "\nExecStart=/usr/bin/warren run ") {
		t.Errorf("the unit: %v\n%s", err, unit)
	}
}

// contents are the sums of the files below a directory.
func contents(t *testing.T, root string) map[string][32]byte {
	t.Helper()
	sums := map[string][32]byte{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		sums[sameZsh(strings.TrimPrefix(path, root))] = sha256.Sum256(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sums
}

// fields are lines of "Key: value".
func fields(text string) map[string]string {
	has := map[string]string{}
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(strings.TrimRight(line, "\n"), ": "); ok && !strings.HasPrefix(key, " ") {
			has[key] = value
		}
	}
	return has
}

// A package says its version, architecture and license, and asks for no other package.
func TestWhatPackagesSay(t *testing.T) {
	version := os.Getenv("WARREN_PACKAGE_VERSION")
	if version == "" {
		t.Fatal("WARREN_PACKAGE_VERSION is not set: run make test-packages")
	}
	for _, p := range every(t) {
		arch := p.in[p.kind]
		if p.kind == "deb" {
			got := fields(command(t, "dpkg-deb", "--field", p.file))
			for key, want := range map[string]string{
				"Package": "warren", "Version": version + "-1", "Architecture": arch, "Section": "net", "Priority": "optional",
				"Suggests": "nftables", "Depends": "", "Pre-Depends": "", "Recommends": "", "Conflicts": "", "Provides": "",
				"Description": "BGP-speaking routing agent over point-to-point tunnels",
			} {
				if got[key] != want {
					t.Errorf("%s: %s is %q, and is to be %q", p, key, got[key], want)
				}
			}
			if want := "warren_" + version + "-1_" + arch + ".deb"; filepath.Base(p.file) != want {
				t.Errorf("%s is in %s, not in %s", p, p.file, want)
			}
			continue
		}
		const format = "%{NAME} %{EPOCH} %{VERSION} %{RELEASE} %{ARCH} %{OS} %{LICENSE} %{SUMMARY}"
		if got, want := command(t, "rpm", "-qp", "--qf", format, p.file), "warren (none) "+version+" 1 "+arch+
			" linux MIT BGP-speaking routing agent over point-to-point tunnels"; got != want {
			t.Errorf("%s says %q, and is to say %q", p, got, want)
		}
		for line := range strings.Lines(command(t, "rpm", "-qp", "--requires", p.file)) {
			if line = strings.TrimSpace(line); line != "/bin/sh" && !strings.HasPrefix(line, "rpmlib(") {
				t.Errorf("%s requires %s", p, line)
			}
		}
		if want := "warren-" + version + "-1." + arch + ".rpm"; filepath.Base(p.file) != want {
			t.Errorf("%s is in %s, not in %s", p, p.file, want)
		}
	}
}

// The digests in a package are right. (dpkg verifies its own when the files are there: TestPackageUnderSystemd.)
func TestDigests(t *testing.T) {
	for _, p := range every(t) {
		if p.kind == "rpm" {
			command(t, "rpm", "--checksig", "--nosignature", p.file)
		}
	}
	dir := filepath.Dir(here(t, "deb").file)
	command(t, "/bin/sh", "-c", `cd "$1" && sha256sum --check --quiet --strict SHA256SUMS && test $(wc -l <SHA256SUMS) = 4`, "sh", dir)
}

// A package has the scripts of the directory scripts, and no others.
func TestPackagedScripts(t *testing.T) {
	// By the names in the source, in a deb, and in an rpm.
	named := [][3]string{{"postinstall", "postinst", "POSTIN"}, {"preremove", "prerm", "PREUN"}, {"postremove", "postrm", "POSTUN"}}
	for _, p := range every(t) {
		var members []string
		has := map[string][]byte{}
		if p.kind == "deb" {
			for _, m := range headers(t, "--ctrl-tarfile", p.file) {
				if m.Typeflag == '5' {
					continue
				}
				name := strings.TrimPrefix(m.Name, "./")
				members, has[name] = append(members, name), m.data
				if script := strings.HasPrefix(name, "p"); script != (m.Mode&0o777 == 0o755) {
					t.Errorf("%s: the mode of %s is %o", p, name, m.Mode)
				}
			}
			slices.Sort(members)
			if want := []string{"control", "md5sums", "postinst", "postrm", "prerm"}; !slices.Equal(members, want) {
				t.Errorf("%s: dpkg is given %q, not %q", p, members, want)
			}
		}
		for _, name := range named {
			want, err := os.ReadFile("scripts/" + name[0])
			if err != nil {
				t.Fatal(err)
			}
			got := has[name[1]]
			if p.kind == "rpm" {
				got = []byte(command(t, "rpm", "-qp", "--qf", "%{"+name[2]+"}", p.file))
				if shell := command(t, "rpm", "-qp", "--qf", "%{"+name[2]+"PROG}", p.file); shell != "/bin/sh" {
					t.Errorf("%s: %s is run by %s", p, name[0], shell)
				}
			}
			if !bytes.Equal(bytes.TrimSpace(got), bytes.TrimSpace(want)) {
				t.Errorf("%s: %s is\n%s", p, name[0], got)
			}
		}
		if p.kind == "rpm" {
			if got := command(t, "rpm", "-qp", "--qf", "%{PREIN}%{PRETRANS}%{POSTTRANS}%{VERIFYSCRIPT}", p.file) +
				command(t, "rpm", "-qp", "--triggers", p.file); got != strings.Repeat("(none)", 4) {
				t.Errorf("%s: there are more: %s", p, got)
			}
		}
	}
}
