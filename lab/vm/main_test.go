package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheProjectHasNoSymbolicLinks(t *testing.T) {
	real, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	project, link := filepath.Join(real, "project"), filepath.Join(real, "link")
	if err := os.MkdirAll(filepath.Join(project, "lab"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(project, link); err != nil {
		t.Fatal(err)
	}
	t.Chdir(link)
	for work, want := range map[string]string{".": project, "lab": project + "/lab", link + "/lab": project + "/lab"} {
		if at, in, err := within(work); at != project || in != want || err != nil {
			t.Errorf("%s: %s, %s, %v", work, at, in, err)
		}
	}
	for _, work := range []string{"..", "/"} {
		if _, in, err := within(work); err == nil {
			t.Errorf("%s: %s, no error", work, in)
		}
	}
}

// A command in a directory of the project finds what is beside that directory, wherever the project is.
func TestInitBindsTheWholeProject(t *testing.T) {
	start, err := writeInit(kernel{root: filepath.Join(t.TempDir(), "kernel")}, "/tmp/it's/project", "/tmp/it's/project/lab", []string{"../bin/x"})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(start)
	if err != nil {
		t.Fatal(err)
	}
	at := 0
	for _, line := range []string{
		`mount --bind '/tmp/it'\''s/project' /dev/project`, "do mount -t tmpfs", `mount --bind /dev/project '/tmp/it'\''s/project'`,
		`cd '/tmp/it'\''s/project/lab' || exit`,
	} {
		n := strings.Index(string(text[at:]), line)
		if n < 0 {
			t.Fatalf("there is no %q behind %q", line, text[:at])
		}
		at += n
	}
}

func TestAKernelThatCannotBeDownloadedIsNamed(t *testing.T) {
	programs := t.TempDir()
	t.Setenv("PATH", programs)
	for name, script := range map[string]string{
		"apt-cache": "echo 'Depends: linux-image-6.1.0-1-cloud-amd64'",
		"apt-get":   "echo 'E: no mirror' >&2; exit 100",
	} {
		if err := os.WriteFile(filepath.Join(programs, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	_, err := fetchKernel(t.Context(), filepath.Join(t.TempDir(), "kernel"))
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{metapackage, "E: no mirror", "mirrors"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in: %v", want, err)
		}
	}
}
