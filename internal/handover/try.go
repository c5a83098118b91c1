package handover

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// maxOutput bounds what is read of what a program says, in bytes.
const maxOutput = 64 << 10

// Program returns the file that this program is in now: what it was started as if that is still
// a file, be it a newer one; else the file that it was started from. Call it once, at the
// start, as the path may be relative.
func Program() (string, error) {
	started, err := os.Stat("/proc/self/exe")
	if err != nil {
		return "", fmt.Errorf("handover: look at this program: %w", err)
	}
	if name := os.Args[0]; strings.Contains(name, "/") {
		// A link that a package changes is followed each time.
		if is, err := os.Stat(name); err == nil && os.SameFile(is, started) {
			return filepath.Abs(name)
		}
	}
	return os.Executable()
}

// Try runs a program until it ends or ctx is done, and returns its exit status and what it wrote to
// its standard error.
func Try(ctx context.Context, path string, argv []string) (status int, says string, err error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return 0, "", fmt.Errorf("handover: %w", err)
	}
	defer null.Close()
	out, theirs, err := os.Pipe()
	if err != nil {
		return 0, "", fmt.Errorf("handover: %w", err)
	}
	defer out.Close()
	running, err := os.StartProcess(path, argv, &os.ProcAttr{Env: environment(), Files: []*os.File{null, null, theirs}})
	theirs.Close()
	if err != nil {
		return 0, "", fmt.Errorf("handover: start %s: %w", path, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = running.Kill(); out.Close() })
	defer stop()
	text, _ := io.ReadAll(io.LimitReader(out, maxOutput)) // what there is counts
	out.Close()
	state, err := running.Wait()
	if err != nil {
		return 0, "", fmt.Errorf("handover: wait for %s: %w", path, err)
	}
	if ctx.Err() != nil {
		return 0, "", fmt.Errorf("handover: %s does not answer: %w", path, ctx.Err())
	}
	return state.ExitCode(), strings.TrimSpace(string(text)), nil
}
