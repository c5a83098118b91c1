//go:build packages

package packaging

import (
	"bytes"
	"debug/buildinfo"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"warren/internal/skip"
)

// unpacked returns a directory with the files of a package.
func unpacked(t *testing.T, kind string) string {
	t.Helper()
	dir, name := packages(t, "WARREN_PACKAGES", "*."+kind)
	to := t.TempDir()
	line := `dpkg-deb --extract "$1" "$2"`
	if kind == "rpm" {
		// rpm2cpio of rpm 4.18 ends with 1 whatever happens; TestRPM checks the digests.
		line = `set +o pipefail; rpm2cpio "$1" | cpio --quiet --extract --make-directories --no-absolute-filenames --directory "$2"`
	}
	command(t, "/bin/bash", "-euo", "pipefail", "-c", line, "sh", filepath.Join(dir, name), to)
	return to
}

// paths lists the files of an unpacked package, with their modes.
func paths(t *testing.T, root string) (all []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			all = append(all, info.Mode().String()+" "+strings.TrimPrefix(path, root))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestBothKindsHaveTheSame compares the two packages file by file, and with what a package is to have.
func TestBothKindsHaveTheSame(t *testing.T) {
	deb, rpm := unpacked(t, "deb"), unpacked(t, "rpm")
	inDeb, inRPM := paths(t, deb), paths(t, rpm)
	for _, list := range [][]string{inDeb, inRPM} {
		for i := range list {
			list[i] = strings.NewReplacer("zsh/vendor-completions", "zsh/X", "zsh/site-functions", "zsh/X").Replace(list[i])
		}
	}
	if !slices.Equal(inDeb, inRPM) {
		t.Errorf("the deb has\n%s\nand the rpm\n%s", strings.Join(inDeb, "\n"), strings.Join(inRPM, "\n"))
	}
	for _, want := range []string{
		"-rwxr-xr-x /usr/bin/warren", "-rwxr-xr-x /usr/libexec/warren/gobgp",
		"-rw-r--r-- /usr/lib/systemd/system/warren.service", "-rw-r--r-- /usr/lib/sysusers.d/warren.conf", "-rw-r--r-- /usr/lib/tmpfiles.d/warren.conf",
		"-rw-r--r-- /usr/share/man/man1/warren.1.gz", "-rw-r--r-- /usr/share/man/man1/warren-status.1.gz", "-rw-r--r-- /usr/share/man/man5/warren.toml.5.gz",
		"-rw-r--r-- /usr/share/bash-completion/completions/warren", "-rw-r--r-- /usr/share/fish/vendor_completions.d/warren.fish", "-rw-r--r-- /usr/share/zsh/X/_warren",
		"-rw-r--r-- /usr/share/doc/warren/copyright", "-rw-r--r-- /usr/share/doc/warren/THIRD-PARTY-LICENSES",
		"-rw-r--r-- /usr/share/doc/warren/examples/reference/warren.toml", "-rw-r--r-- /usr/share/doc/warren/sbom/warren.cdx.json",
	} {
		if !slices.Contains(inDeb, want) {
			t.Errorf("%s is missing", want)
		}
	}
	monitoring, _ := filepath.Glob("../configs/monitoring/*.[jy]*")
	for _, file := range monitoring {
		if want := "-rw-r--r-- /usr/share/warren/monitoring/" + filepath.Base(file); !slices.Contains(inDeb, want) {
			t.Errorf("%s is missing", want)
		}
	}
	for _, name := range []string{"usr/bin/warren", "usr/libexec/warren/gobgp"} {
		command(t, "cmp", filepath.Join(deb, name), filepath.Join(rpm, name))
	}
	unit, err := os.ReadFile(filepath.Join(deb, "usr/lib/systemd/system/warren.service"))
	if err != nil || strings.Contains(string(unit), "/usr/local") || !strings.Contains(string(unit), "\nExecStart=/usr/bin/warren run ") {
		t.Errorf("the unit: %v\n%s", err, unit)
	}
}

// TestRPM checks what rpm would do; it is not installed, as there is no machine of that kind here.
func TestRPM(t *testing.T) {
	dir, name := packages(t, "WARREN_PACKAGES", "*.rpm")
	file := filepath.Join(dir, name)
	command(t, "rpm", "--checksig", "--nosignature", file)
	if got := command(t, "rpm", "-qp", "--qf", "%{NAME} %{LICENSE} %{OS} %{SUMMARY}", file); got != "warren MIT linux BGP-speaking routing agent over point-to-point tunnels" {
		t.Errorf("it says %q", got)
	}
	// A directory that belongs to the distribution's own packages must not belong to this one too.
	owned := strings.Fields(command(t, "rpm", "-qp", "--qf", "[%{FILEMODES:perms} %{FILENAMES}\n]", file))
	for i := 0; i+1 < len(owned); i += 2 {
		if strings.HasPrefix(owned[i], "d") && !strings.Contains(owned[i+1], "/warren") {
			t.Errorf("it owns %s", owned[i+1])
		}
	}
	// What rpm calls them with: 1 for the first installation, 2 for an upgrade, 0 for the end.
	scripts := command(t, "rpm", "-qp", "--scripts", file)
	for _, want := range []string{"postinstall scriptlet", "preuninstall scriptlet", "postuninstall scriptlet", "warren restart", "disable --now warren.service"} {
		if !strings.Contains(scripts, want) {
			t.Errorf("%q is not in\n%s", want, scripts)
		}
	}
}

// TestScripts has the scripts run with each of the arguments that dpkg and rpm call them with, on a machine
// where systemctl and the others only write down what they are told.
func TestScripts(t *testing.T) {
	for _, test := range []struct{ script, args, running, want string }{
		{"postinstall", "configure", "no", "sysusers daemon-reload is-active"},
		{"postinstall", "configure 1.0-1", "yes", "sysusers daemon-reload is-active restart"},
		{"postinstall", "abort-upgrade 1.0-1", "yes", ""},
		{"postinstall", "1", "no", "sysusers daemon-reload is-active"},
		{"postinstall", "2", "yes", "sysusers daemon-reload is-active restart"},
		{"preremove", "upgrade 1.0-1", "yes", ""},
		{"preremove", "remove", "yes", "disable"},
		{"preremove", "1", "yes", ""},
		{"preremove", "0", "yes", "disable"},
		{"postremove", "remove", "no", "daemon-reload"},
		{"postremove", "upgrade 1.0-1", "no", "daemon-reload"},
		{"postremove", "0", "no", "daemon-reload"},
		{"postremove", "1", "no", "daemon-reload"},
	} {
		dir := t.TempDir()
		diary := filepath.Join(dir, "diary")
		for name, text := range map[string]string{
			"systemctl":        `for w; do case $w in -*) ;; *) echo $w >>` + diary + `; break;; esac; done; [ "$1" != is-active ] || [ $RUNNING = yes ]`,
			"systemd-sysusers": "echo sysusers >>" + diary,
			"warren":           "echo $1 >>" + diary,
		} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		// The scripts ask for this directory whether systemd runs.
		data, err := os.ReadFile("scripts/" + test.script)
		if err != nil {
			t.Fatal(err)
		}
		script := strings.ReplaceAll(string(data), "/run/systemd/system", dir)
		cmd := exec.Command("/bin/sh", append([]string{"-c", script, test.script}, strings.Fields(test.args)...)...)
		cmd.Env = []string{"PATH=" + dir + ":/usr/bin:/bin", "RUNNING=" + test.running}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s %s: %v\n%s", test.script, test.args, err, out)
		}
		did, _ := os.ReadFile(diary)
		if got := strings.Join(strings.Fields(string(did)), " "); got != test.want {
			t.Errorf("%s %s does %q, and is to do %q", test.script, test.args, got, test.want)
		}
	}
}

// The bills of materials name what Go says is linked in, and GoBGP by its own name.
func TestBillOfMaterials(t *testing.T) {
	root := unpacked(t, "deb")
	for bill, binary := range map[string]string{"warren": "usr/bin/warren", "gobgp": "usr/libexec/warren/gobgp"} {
		data, err := os.ReadFile(filepath.Join(root, "usr/share/doc/warren/sbom", bill+".cdx.json"))
		if err != nil {
			t.Fatal(err)
		}
		var b struct {
			Format     string `json:"bomFormat"`
			Components []struct{ Name, Version, Purl string }
		}
		if err := json.Unmarshal(data, &b); err != nil || b.Format != "CycloneDX" {
			t.Fatalf("%s: %v, %q", bill, err, b.Format)
		}
		has := map[string]string{}
		for _, c := range b.Components {
			has[c.Name] = c.Version
			if !strings.HasPrefix(c.Purl, "pkg:golang/"+c.Name+"@"+c.Version) {
				t.Errorf("%s: %+v", bill, c)
			}
		}
		info, err := buildinfo.ReadFile(filepath.Join(root, binary))
		if err != nil {
			t.Fatal(err)
		}
		for _, dep := range info.Deps {
			if has[dep.Path] != dep.Version {
				t.Errorf("%s: %s %s is linked, and the bill has %q", bill, dep.Path, dep.Version, has[dep.Path])
			}
		}
		if has["std"] != strings.Split(info.GoVersion, " ")[0] || len(info.Deps) < 10 {
			t.Errorf("%s: the standard library is %q, built with %s, %d dependencies", bill, has["std"], info.GoVersion, len(info.Deps))
		}
	}
}

// TestBashCompletes has bash complete a command with the packaged script and program.
func TestBashCompletes(t *testing.T) {
	const library = "/usr/share/bash-completion/bash_completion"
	if _, err := os.Stat(library); err != nil {
		skip.OutsideCI(t, "%v: install bash-completion", err)
	}
	root, dir := unpacked(t, "deb"), t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "peers.d"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, peer := range []string{"site-b", "site-c"} {
		if err := os.WriteFile(filepath.Join(dir, "peers.d", peer+".toml"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	script := `source ` + library + `; source "$1/usr/share/bash-completion/completions/warren"
complete -p warren >/dev/null
COMP_WORDS=(warren status -c "$2/warren.toml" si) COMP_CWORD=4 COMP_LINE="warren status -c $2/warren.toml si" COMP_POINT=${#COMP_LINE}
COMP_POINT=${#COMP_LINE} COMP_TYPE=63
__start_warren; printf '%s\n' "${COMPREPLY[@]}"`
	cmd := exec.Command("/bin/bash", "-c", script, "bash", root, dir)
	cmd.Env = []string{"PATH=" + filepath.Join(root, "usr/bin") + ":/usr/bin:/bin"}
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if got := strings.Fields(string(out)); err != nil || !slices.Equal(got, []string{"site-b", "site-c"}) {
		t.Errorf("bash offers %q: %v\n%s", got, err, errs.Bytes())
	}
}

// The program in a package says of which commit it is.
func TestPackagedVersion(t *testing.T) {
	root := unpacked(t, "deb")
	got := command(t, filepath.Join(root, "usr/bin/warren"), "version")
	if !regexp.MustCompile(`^warren \S+ go1\.\S+ linux/\w+\ncommit [0-9a-f]{40} of \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ(, changed since)?\n$`).MatchString(got) {
		t.Errorf("it says %q", got)
	}
}
