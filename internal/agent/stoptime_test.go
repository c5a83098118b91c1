package agent

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// What runs the daemon, systemd or a container's runtime, does not kill it before each of its parts has had its time to
// stop, the one that removes the routes among them.
func TestStopIsGivenItsTime(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	parts := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		parts += len(regexp.MustCompile(`\bt\.(start|startReady|cleanup)\((ctx, )?"`).FindAll(data, -1))
	}
	if parts < 10 {
		t.Fatalf("%d parts of the daemon are found", parts)
	}
	// Some of them are alternatives, so that this is more than it can take.
	want := removeTimeout + time.Duration(parts-1)*stopTimeout
	for name, pattern := range map[string]string{
		"../../configs/warren.service":           `(?m)^TimeoutStopSec=(\d+)$`,
		"../../packaging/container/compose.yaml": `(?m)^  stop_grace_period: (\d+)s$`,
		"../../docs/set-up.md":                   "`docker run --stop-timeout (\\d+)`",
	} {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		m := regexp.MustCompile(pattern).FindSubmatch(data)
		if m == nil {
			t.Errorf("%s does not say how long a stop may take", name)
			continue
		}
		if got, err := time.ParseDuration(string(m[1]) + "s"); err != nil || got < want {
			t.Errorf("%s gives a stop %v; its parts may take %v", name, got, want)
		}
	}
}
