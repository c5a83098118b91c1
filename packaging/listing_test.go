//go:build packages

package packaging

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// entry is a file or a directory of a package.
type entry struct {
	path, owner string // "/usr/bin", "root:root"
	mode        uint64 // as stat has it: S_IFDIR and S_IFREG are in it
	made        int64  // in seconds since 1970
}

const (
	formatOf  = 0o170000
	directory = 0o040000
	regular   = 0o100000
)

// listing is what the package's own table says, in the order of paths.
func (p pkg) listing(t *testing.T) (all []entry) {
	t.Helper()
	if p.kind == "rpm" {
		const format = `[%{FILEMODES} %{FILEUSERNAME}:%{FILEGROUPNAME} %{FILEMTIMES} %{FILENAMES}\n]`
		for line := range strings.Lines(command(t, "rpm", "-qp", "--qf", format, p.file)) {
			var e entry
			if _, err := fmt.Sscan(line, &e.mode, &e.owner, &e.made, &e.path); err != nil {
				t.Fatalf("rpm says %q: %v", line, err)
			}
			all = append(all, e)
		}
	} else {
		for _, h := range headers(t, "--fsys-tarfile", p.file) {
			e := entry{path: "/" + strings.Trim(strings.TrimPrefix(h.Name, "."), "/"), owner: h.Uname + ":" + h.Gname, mode: uint64(h.Mode), made: h.ModTime.Unix()}
			switch h.Typeflag {
			case tar.TypeDir:
				e.mode |= directory
			case tar.TypeReg:
				e.mode |= regular
			}
			if h.Uid != 0 || h.Gid != 0 {
				e.owner = strconv.Itoa(h.Uid) + ":" + strconv.Itoa(h.Gid)
			}
			all = append(all, e)
		}
	}
	slices.SortFunc(all, func(a, b entry) int { return strings.Compare(a.path, b.path) })
	return all
}

// files are the paths of what is no directory, where zsh's completion is in one place for both kinds.
func files(all []entry) (paths []string) {
	for _, e := range all {
		if e.mode&formatOf != directory {
			paths = append(paths, sameZsh(e.path))
		}
	}
	slices.Sort(paths)
	return paths
}

func sameZsh(path string) string {
	return strings.NewReplacer("zsh/vendor-completions", "zsh/X", "zsh/site-functions", "zsh/X").Replace(path)
}

// member is what an archive has of one file.
type member struct {
	*tar.Header
	data []byte // of the control archive
}

// headers reads one of the two archives of a Debian package.
func headers(t *testing.T, which, file string) (all []member) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.Command("dpkg-deb", which, file)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("dpkg-deb %s %s: %v\n%s", which, file, err, errs.Bytes())
	}
	for r := tar.NewReader(&out); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		m := member{Header: h}
		if err == nil && which == "--ctrl-tarfile" {
			m.data, err = io.ReadAll(r)
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
}
