package httpapi

import (
	"os/exec"
	"strings"
	"testing"

	"warren/internal/skip"
)

// promtool runs Prometheus' own tool, with a text at its standard input.
func promtool(t *testing.T, input string, args ...string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		skip.OutsideCI(t, "promtool is missing: on Debian it is in the package prometheus")
	}
	cmd := exec.Command(path, args...)
	cmd.Stdin = strings.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}
