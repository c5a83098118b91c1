package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"warren/internal/manual"
	"warren/internal/skip"
)

func pages(t *testing.T) map[string]string {
	t.Helper()
	all, err := manual.Commands(root())
	if err != nil {
		t.Fatal(err)
	}
	config, err := manual.Config(os.DirFS("../../configs/reference"))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, p := range append(all, config) {
		files[p.File()] = string(p.Roff("1.2.3", time.Unix(1790000000, 0)))
	}
	return files
}

// Each command has a page, with each of its flags, and the page of warren itself names it.
func TestManualHasEveryCommandAndFlag(t *testing.T) {
	files := pages(t)
	for _, cmd := range root().Commands() {
		if cmd.Hidden || cmd.Name() == "help" {
			continue
		}
		name := "warren-" + cmd.Name()
		text, ok := files[name+".1"]
		if !ok || !strings.Contains(files["warren.1"], "\\fB"+name+"\\fP(1)\n") {
			t.Errorf("%s: has a page: %v; warren(1) names it or not", name, ok)
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden && !strings.Contains(text, "\\fB--"+f.Name+"\\fP") {
				t.Errorf("%s does not have --%s", name, f.Name)
			}
		})
	}
}

// TestManualIsUnderstood has the two programs that show pages look for mistakes.
func TestManualIsUnderstood(t *testing.T) {
	dir := t.TempDir()
	for name, text := range pages(t) {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{
			{"man", "--warnings", "-l", file},
			{"mandoc", "-T", "lint", "-W", "warning", file},
		} {
			if _, err := exec.LookPath(args[0]); err != nil {
				skip.OutsideCI(t, "%v: install man-db and mandoc", err)
			}
			cmd := exec.Command(args[0], args[1:]...)
			cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "MANWIDTH=80", "MAN_KEEP_STDERR=1")
			var says bytes.Buffer
			cmd.Stderr = &says
			out, err := cmd.Output()
			if args[0] == "mandoc" {
				says.Write(out)
			} else if !bytes.Contains(out, []byte("NAME\n")) {
				t.Errorf("%s: man shows %q", name, out)
			}
			if err != nil || says.Len() > 0 {
				t.Errorf("%s: %s: %v\n%s", args[0], name, err, says.Bytes())
			}
		}
	}
}
