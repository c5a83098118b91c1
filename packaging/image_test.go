//go:build packages

package packaging

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"warren/internal/skip"
)

// image is one that buildah has built, and what it says that a container of it is started with.
type image struct {
	builder
	Entrypoint, Cmd, Env []string
	StopSignal           string
	Healthcheck          struct{ Test []string } // "CMD", and the command
}

// builder is buildah with a store of its own.
type builder struct {
	t   *testing.T
	dir string
}

func (b builder) run(args ...string) string {
	b.t.Helper()
	args = append([]string{"--root", filepath.Join(b.dir, "store"), "--runroot", filepath.Join(b.dir, "run"), "--storage-driver", "vfs"}, args...)
	cmd := exec.Command("buildah", args...)
	cmd.Dir = b.dir
	cmd.Env = append(os.Environ(), "TMPDIR="+b.dir)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		b.t.Fatalf("buildah %s: %v\n%s%s", strings.Join(args, " "), err, out.Bytes(), errs.Bytes())
	}
	return strings.TrimSpace(out.String())
}

// build builds the Dockerfile, both stages, as `docker build` would in a clone of the source with its changes.
// In place of the image that the first stage is from stands one with this machine's tools and Go (base).
func build(t *testing.T) image {
	t.Helper()
	if _, err := exec.LookPath("buildah"); err != nil {
		skip.OutsideCI(t, "%v: install buildah", err)
	}
	b := builder{t, t.TempDir()}
	source := filepath.Join(b.dir, "source")
	command(t, "git", "clone", "--quiet", "..", source)
	command(t, "/bin/bash", "-euo", "pipefail", "-c", `cd .. && git ls-files -z --deleted | (cd "$1" && xargs -0 -r rm -f) && git ls-files -z --modified --others --exclude-standard --deduplicate |
		while IFS= read -r -d '' file; do if [ -e "$file" ]; then printf '%s\0' "$file"; fi; done | xargs -0 -r cp --parents -at "$1"`, "sh", source)
	// What is in bin is of another machine.
	makeDirs(t, filepath.Join(source, "bin"))
	for _, name := range []string{"warren.mod", "warren", "gobgp"} {
		if err := os.WriteFile(filepath.Join(source, "bin", name), []byte("not what is to be in an image\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	b.run(slices.Concat([]string{"build", "--isolation", "chroot", "--pull-never", "--format", "docker", "--tag", "warren",
		"--file", "packaging/container/Dockerfile", "--ignorefile", filepath.Join(source, "packaging/container/Dockerfile.dockerignore")}, b.base(), []string{source})...)
	i := image{builder: b}
	var says struct{ Docker struct{ Config *image } }
	says.Docker.Config = &i
	if err := json.Unmarshal([]byte(b.run("inspect", "--type", "image", "warren")), &says); err != nil {
		t.Fatal(err)
	}
	return i
}

// base makes an image by the name that the first stage is from. It has no file of its own but a few; it returns
// the options that mount the rest: the tools, Go, and what Go has built and loaded before.
func (b builder) base() (mounts []string) {
	b.t.Helper()
	data, err := os.ReadFile(filepath.Join(containerDir, "Dockerfile"))
	from := regexp.MustCompile(`(?m)^FROM (golang:(\d+\.\d+)-bookworm) AS build$`).FindSubmatch(data)
	if from == nil {
		b.t.Fatalf("the Dockerfile's first stage is not from golang: %v", err)
	}
	mod, err := os.ReadFile("../go.mod")
	if !bytes.Contains(mod, append([]byte("\ngo "), from[2]...)) {
		b.t.Errorf("the Dockerfile is from %s, and go.mod is for another: %v", from[1], err)
	}
	tree := filepath.Join(b.dir, "base")
	for _, dir := range []string{"root", "tmp", "var/tmp", "go", "etc", "usr/local"} {
		makeDirs(b.t, filepath.Join(tree, dir))
	}
	for file, text := range map[string]string{"passwd": "root:x:0:0:root:/root:/bin/sh\n", "group": "root:x:0:\n"} {
		if err := os.WriteFile(filepath.Join(tree, "etc", file), []byte(text), 0o644); err != nil {
			b.t.Fatal(err)
		}
	}
	mount := func(from, to, how string) {
		if _, err := os.Stat(from); err != nil {
			return
		}
		makeDirs(b.t, filepath.Join(tree, to))
		mounts = append(mounts, "--volume", from+":"+to+":"+how)
	}
	for _, dir := range []string{"bin", "sbin", "lib", "lib64"} {
		mount("/usr/"+dir, "/usr/"+dir, "ro")
		if to, err := os.Readlink("/" + dir); err == nil {
			if err := os.Symlink(to, filepath.Join(tree, dir)); err != nil {
				b.t.Fatal(err)
			}
		}
	}
	for _, dir := range []string{"/usr/libexec", "/usr/include", "/usr/share", "/etc/alternatives", "/etc/ssl"} {
		mount(dir, dir, "ro")
	}
	env := strings.Fields(command(b.t, "go", "env", "GOROOT", "GOMODCACHE", "GOCACHE"))
	mount(env[0], "/usr/local/go", "ro")
	mount(env[1], "/go/pkg/mod", "rw")
	mount(env[2], "/root/.cache/go-build", "rw")
	container := b.run("from", "scratch")
	b.run("copy", container, tree, "/")
	// As that image has them.
	for _, v := range []string{"PATH=/go/bin:/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "GOTOOLCHAIN=local", "GOPATH=/go"} {
		b.run("config", "--env", v, container)
	}
	b.run("config", "--workingdir", "/go", container)
	b.run("commit", "--quiet", container, "docker.io/library/"+string(from[1]))
	return mounts
}

// root returns the directory of a new container's files.
func (i image) root(name string) string {
	i.t.Helper()
	i.run("from", "--pull-never", "--name", name, "warren")
	return i.run("mount", name)
}

// TestImage builds the Dockerfile, looks into the image, and runs the two sites of compose.yaml from it.
func TestImage(t *testing.T) {
	i := build(t)
	root := i.root("look")
	has := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			has[strings.TrimPrefix(path, root)] = info.Mode().String()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for file, mode := range map[string]string{
		"/etc/passwd": "-rw-r--r--", "/usr/share/doc/warren/LICENSE": "-rw-r--r--", "/usr/share/doc/warren/THIRD-PARTY-LICENSES": "-rw-r--r--",
		"/usr/bin/warren": "-rwxr-xr-x", "/usr/bin/gobgp": "-rwxr-xr-x",
	} {
		if has[file] != mode {
			t.Errorf("%s is %q, and is to be %s", file, has[file], mode)
		}
		delete(has, file)
	}
	if len(has) > 0 {
		t.Errorf("nobody knows why the image has %v", has)
	}
	if says := command(t, filepath.Join(root, "usr/bin/warren"), "version"); !saysVersion.MatchString(says) {
		t.Errorf("the image's warren says %q", says)
	}
	t.Run("two sites", i.runsTwoSites)
}
