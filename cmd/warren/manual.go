//go:build manual

package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"warren/internal/manual"
)

// main, with this build tag, writes what packages have of the commands into a directory: man/
// and completion/. It is run by `make manual` in the directory of the module, and is no part of
// the command that is shipped. The environment's SOURCE_DATE_EPOCH, in seconds, is the pages'
// date.
func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: go run -tags manual ./cmd/warren DIR")
		os.Exit(exitUsage)
	}
	if err := writeManual(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(exitFailed)
	}
}

func writeManual(dir string) error {
	seconds, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil {
		return fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	pages, err := manual.Commands(root())
	if err != nil {
		return err
	}
	config, err := manual.Config(os.DirFS("configs/reference"))
	if err != nil {
		return err
	}
	for _, p := range append(pages, config) {
		if err := writeInto(filepath.Join(dir, "man", p.File()), p.Roff(version, time.Unix(seconds, 0))); err != nil {
			return err
		}
	}
	for shell, write := range map[string]func(*cobra.Command, io.Writer) error{
		"bash": func(c *cobra.Command, w io.Writer) error { return c.GenBashCompletionV2(w, true) },
		"zsh":  (*cobra.Command).GenZshCompletion,
		"fish": func(c *cobra.Command, w io.Writer) error { return c.GenFishCompletion(w, true) },
	} {
		var script bytes.Buffer
		if err := write(root(), &script); err != nil {
			return fmt.Errorf("completion for %s: %w", shell, err)
		}
		if err := writeInto(filepath.Join(dir, "completion", "warren."+shell), script.Bytes()); err != nil {
			return err
		}
	}
	return nil
}

func writeInto(file string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, data, 0o644)
}
