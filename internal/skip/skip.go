// Package skip holds the one rule for tests that a machine cannot run.
package skip

import (
	"os"
	"testing"
)

// OutsideCI ends the test, which needs what this machine lacks; the text says what, and
// how to get it. Where the environment says CI=true the test fails, because one that
// does not run proves nothing; elsewhere it is skipped.
func OutsideCI(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}
