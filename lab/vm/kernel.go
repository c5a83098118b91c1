package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
)

// metapackage depends on the newest of the distribution's kernels for clouds.
const metapackage = "linux-image-cloud-amd64"

// kernel is a kernel below dir.
type kernel struct {
	image   string // vmlinuz
	root    string // modules are in root/lib/modules/version
	version string
}

// fetchKernel returns the distribution's kernel, which is downloaded to a directory if it is not there.
func fetchKernel(ctx context.Context, root string) (k kernel, err error) {
	if k, err = kernelIn(root); err == nil {
		return k, nil
	}
	if k, err = download(ctx, root); err == nil || ctx.Err() != nil {
		return k, err
	}
	// Without lists of packages, or with old ones: the mirror has the newest alone.
	fmt.Fprintf(os.Stderr, "vm: the kernel cannot be downloaded: %v; trying again after apt-get update\n", err)
	if _, err = output(ctx, "", "apt-get", "-q", "update"); err == nil {
		k, err = download(ctx, root)
	}
	if err != nil {
		err = fmt.Errorf("cannot be downloaded: %w\nIt is what Debian's package %s depends on: is one of its mirrors within reach, and in /etc/apt?", err, metapackage)
	}
	return k, err
}

// download gets the newest kernel, as far as the lists of packages know, and unpacks it.
func download(ctx context.Context, root string) (k kernel, err error) {
	dependencies, err := output(ctx, "", "apt-cache", "depends", metapackage)
	if err != nil {
		return k, err
	}
	name := regexp.MustCompile(`linux-image-[0-9][^ \n]*-cloud-amd64`).FindString(dependencies)
	if name == "" {
		return k, fmt.Errorf("%s depends on no kernel: apt-get update, or is this Debian?", metapackage)
	}
	fresh := root + ".download"
	if err := errors.Join(os.RemoveAll(fresh), os.RemoveAll(root), os.MkdirAll(fresh, 0o755)); err != nil {
		return k, err
	}
	defer os.RemoveAll(fresh)
	if _, err := output(ctx, fresh, "apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", name); err != nil {
		return k, err
	}
	packages, err := filepath.Glob(filepath.Join(fresh, "*.deb"))
	if err != nil {
		return k, err
	}
	if len(packages) != 1 {
		return k, fmt.Errorf("%s: %d packages were downloaded", name, len(packages))
	}
	unpacked := filepath.Join(fresh, "root")
	if _, err := output(ctx, "", "dpkg-deb", "-x", packages[0], unpacked); err != nil {
		return k, err
	}
	if k, err = kernelIn(unpacked); err != nil {
		return k, err
	}
	if _, err := output(ctx, "", "depmod", "-b", unpacked, k.version); err != nil {
		return k, err
	}
	if err := os.Rename(unpacked, root); err != nil {
		return k, err
	}
	return kernelIn(root)
}

func kernelIn(root string) (kernel, error) {
	images, err := filepath.Glob(filepath.Join(root, "boot", "vmlinuz-*"))
	if err != nil || len(images) != 1 {
		return kernel{}, fmt.Errorf("%d kernels in %s", len(images), root)
	}
	version := filepath.Base(images[0])[len("vmlinuz-"):]
	if _, err := os.Stat(filepath.Join(root, "lib", "modules", version)); err != nil {
		return kernel{}, err
	}
	return kernel{images[0], root, version}, nil
}

// output runs a program in a directory.
func output(ctx context.Context, in, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = in
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("%w: %s", err, exit.Stderr)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return string(out), nil
}
