package agent

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Each kind of condition has its row in docs/monitoring.md, which says what it is and what --check makes of it.
func TestMonitoringPageHasAllConditions(t *testing.T) {
	text, err := os.ReadFile("../../docs/monitoring.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## All conditions\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var page []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| .* \\| [01] \\|$").FindAllStringSubmatch(section, -1) {
		page = append(page, m[1])
		if _, ok := words[kind(m[1])]; !ok {
			t.Errorf("there is no condition %s", m[1])
		}
	}
	for k := range words {
		if !slices.Contains(page, string(k)) {
			t.Errorf("docs/monitoring.md has no row for the condition %s", k)
		}
	}
}
