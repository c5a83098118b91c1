// Command amend copies the source of GoBGP's module and makes the changes of
// changes.go in the copy, which Warren is built and tested with. It holds
// none of GoBGP's code: a change names a package, a declaration in it and an
// expression in that, and what is to stand there. Where GoBGP is not as a
// change expects, amend says so and leaves no copy.
//
// Usage: amend MODULE COPY, or amend -notice
//
// MODULE is the directory of the module as released, COPY the directory to
// make; what was there is replaced. With -notice it writes which places it changes, in the
// words in which those are told who are given the result.
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == "-notice" {
		fmt.Print(notice(changes))
		return
	}
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: amend MODULE COPY, or amend -notice")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], changes); err != nil {
		fmt.Fprintln(os.Stderr, "amend:", err)
		os.Exit(1)
	}
}

// run makes the changes in a copy of module beside target, which it becomes
// only when all were made.
func run(module, target string, changes []change) error {
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(target), filepath.Base(target)+"-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	// CopyFS makes files that can be written, which those of the module cache cannot.
	if err := os.CopyFS(tmp, os.DirFS(module)); err != nil {
		return fmt.Errorf("copy %s: %w", module, err)
	}
	for _, c := range changes {
		if err := c.make(tmp); err != nil {
			return fmt.Errorf("%s is not as %s expects: %w (see tools/amend/changes.go)", module, c, err)
		}
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	if err := os.RemoveAll(target); err != nil {
		return err
	}
	return os.Rename(tmp, target)
}
