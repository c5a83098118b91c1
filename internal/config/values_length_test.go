package config

import (
	"strings"
	"testing"
)

// TestLengths has the longest names that are good, and the shortest that are too long.
func TestLengths(t *testing.T) {
	for what, c := range map[string]struct {
		most int
		good func(s string) bool
	}{
		"name":            {63, func(s string) bool { return checkName(s) == nil }},
		"label of a host": {63, func(s string) bool { return validHost(s + ".example.net") }},
		"last label":      {63, validHost},
		"congestion control": {15, func(s string) bool {
			l := loader{}
			l.congestion(value[string]{v: s, state: given}, "")
			return len(l.errs) == 0
		}},
	} {
		for n, want := range map[int]bool{0: false, 1: true, 2: true, c.most: true, c.most + 1: false, 100 * c.most: false} {
			if got := c.good(strings.Repeat("a", n)); got != want {
				t.Errorf("%s of %d bytes: %v, want %v", what, n, got, want)
			}
		}
	}
	for _, s := range []string{"a\n", "-a", "a b", "a/b"} {
		if checkName(s) == nil || validHost(s) {
			t.Errorf("%q is taken", s)
		}
	}
}
