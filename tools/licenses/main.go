// Command licenses collects the licenses of all that is linked into bin/warren and bin/gobgp: of
// the modules, as `go list -deps` names them, and of Go's standard library.
//
// Usage, in the directory of Warren's module (`make licenses`, `make check`):
//
//	licenses FILE          writes them to FILE
//	licenses -check FILE   fails if FILE is not what would be written
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// commands are the packages that `make build` makes what is shipped of.
var commands = []string{"./cmd/warren", "github.com/osrg/gobgp/v4/cmd/gobgp"}

// tags are those that they are built with, TAGS of the Makefile.
const tags = "grpcnotrace"

// licenseFile matches the files that a module's terms are in.
var licenseFile = regexp.MustCompile(`(?i)^(licen[sc]e|copying|notice|patents)(\.(txt|md|rst))?$`)

const head = `What is linked into the commands warren and gobgp besides Warren's own code, and under
which terms. Each text stands once, below the names of all that it is for.

`

// architectures are those that packages are made for. What is linked differs.
var architectures = []string{"amd64", "arm64"}

func main() {
	check := flag.Bool("check", false, "compare, do not write")
	flag.Parse()
	if err := run(flag.Args(), *check); err != nil {
		fmt.Fprintln(os.Stderr, "licenses:", err)
		os.Exit(1)
	}
}

func run(args []string, check bool) error {
	if len(args) != 1 {
		return errors.New("usage: licenses [-check] FILE")
	}
	want, err := collect()
	if err != nil {
		return err
	}
	if !check {
		return os.WriteFile(args[0], want, 0o644)
	}
	have, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	if !bytes.Equal(have, want) {
		return fmt.Errorf("%s is not of what is linked now: run `make licenses`", args[0])
	}
	return nil
}

// listed is what `go list -json` says of a package.
type listed struct {
	Dir    string
	Module *struct {
		Path, Version, Dir string
		Main               bool
	}
}

// collect makes the file.
func collect() ([]byte, error) {
	texts := map[string][]string{} // names by text
	packages, err := dependencies()
	if err != nil {
		return nil, err
	}
	changed, err := changes()
	if err != nil {
		return nil, err
	}
	dirs := map[string]map[string]bool{} // the directories of each module that something is linked from
	roots := map[string]string{}
	for _, p := range packages {
		if p.Module == nil || p.Module.Main {
			continue
		}
		name := p.Module.Path + " " + p.Module.Version
		roots[name] = p.Module.Dir
		if dirs[name] == nil {
			dirs[name] = map[string]bool{}
		}
		for d := p.Dir; len(d) >= len(p.Module.Dir); d = filepath.Dir(d) {
			dirs[name][d] = true
		}
	}
	for name, in := range dirs {
		found := false
		for dir := range in {
			n, err := read(texts, name, dir)
			if err != nil {
				return nil, err
			}
			found = found || n && dir == roots[name]
		}
		if !found {
			return nil, fmt.Errorf("%s has no license in %s", name, roots[name])
		}
	}
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return nil, err
	}
	if found, err := read(texts, "Go's standard library", strings.TrimSpace(string(root))); err != nil || !found {
		return nil, fmt.Errorf("no license of Go's standard library: %w", err)
	}
	return write(changed, texts), nil
}

// changes returns what amend says that it changes.
func changes() (string, error) {
	cmd := exec.Command("go", "run", "-C", "tools", "./amend", "-notice")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("amend -notice: %w", err)
	}
	return string(out), nil
}

// dependencies lists the packages that are linked, on each architecture.
func dependencies() (all []listed, err error) {
	for _, arch := range architectures {
		on, err := dependenciesOn(arch)
		if err != nil {
			return nil, err
		}
		all = append(all, on...)
	}
	return all, nil
}

func dependenciesOn(arch string) (all []listed, err error) {
	cmd := exec.Command("go", append([]string{"list", "-deps", "-tags", tags, "-json=Dir,Module"}, commands...)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list for %s: %w", arch, err)
	}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		all = append(all, p)
	}
}

// read adds the texts of a directory, and tells if there is a license among them.
func read(texts map[string][]string, name, dir string) (found bool, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false, err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || !licenseFile.MatchString(e.Name()) {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return false, err
		}
		text := strings.TrimSpace(strings.ReplaceAll(string(b), "\r\n", "\n"))
		if !slices.Contains(texts[text], name) {
			texts[text] = append(texts[text], name)
		}
		lower := strings.ToLower(e.Name())
		found = found || strings.HasPrefix(lower, "licen") || strings.HasPrefix(lower, "copying")
	}
	return found, nil
}

// write puts the file together: what is changed, and the texts, sorted by the names that they are for.
func write(changed string, texts map[string][]string) []byte {
	type entry struct{ names, text string }
	var entries []entry
	for text, names := range texts {
		slices.Sort(names)
		entries = append(entries, entry{strings.Join(names, "\n"), text})
	}
	slices.SortFunc(entries, func(a, b entry) int {
		return strings.Compare(a.names+"\n\n"+a.text, b.names+"\n\n"+b.text)
	})
	line := strings.Repeat("=", 80)
	var out strings.Builder
	out.WriteString(head + changed)
	for _, e := range entries {
		fmt.Fprintf(&out, "\n%s\n%s\n%s\n\n%s\n", line, e.names, line, e.text)
	}
	return []byte(out.String())
}
