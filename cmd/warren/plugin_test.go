package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"warren/internal/status"
)

const monitoring = "../../configs/monitoring/"

func example(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(monitoring + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// matches returns what the group of a pattern matches in an example, at least one.
func matches(t *testing.T, name, pattern string) (all []string) {
	t.Helper()
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(example(t, name), -1) {
		all = append(all, m[1])
	}
	if len(all) == 0 {
		t.Fatalf("%s has nothing like %s", name, pattern)
	}
	return all
}

// The commands of the examples for Nagios are called rightly, sudo allows just these, and Icinga's are the same.
func TestPluginExamples(t *testing.T) {
	const program = "/usr/bin/warren "
	commands := matches(t, "nrpe.cfg", `(?m)^command\[\w+\]=/usr/bin/sudo -n (/usr/bin/warren .*)$`)
	allowed := matches(t, "warren.sudoers", `(?m)^nagios ALL=\(root\) NOPASSWD: (.*)$`)
	for i, line := range allowed {
		allowed[i] = regexp.MustCompile(`\\([,:=])`).ReplaceAllString(line, "$1")
		if strings.ContainsAny(allowed[i], "*?[\\") || regexp.MustCompile(`[^\\][,=:]`).MatchString(strings.TrimPrefix(line, "/usr/bin/")) {
			t.Errorf("sudo takes %s for something else", line)
		}
	}
	if !slices.Equal(commands, allowed) {
		t.Errorf("commands\n%s\nallowed\n%s", strings.Join(commands, "\n"), strings.Join(allowed, "\n"))
	}
	for _, c := range commands {
		// With no config there, each fails where it looks for the socket, and not before.
		args := append(strings.Fields(strings.TrimPrefix(c, program)), "-c", t.TempDir()+"/none.toml")
		if code, stdout, stderr := run(t, args...); code != int(status.LevelUnknown) || !strings.HasPrefix(stdout, "WARREN UNKNOWN - ") || !strings.Contains(stdout, "none.toml") || stderr != "" {
			t.Errorf("%s: exit %d, %q, %q", c, code, stdout, stderr)
		}
	}

	if words := matches(t, "icinga2.conf", `command = \[ (.*) \]`)[0]; words != `"/usr/bin/sudo", "-n", "/usr/bin/warren", "status", "--plugin"` {
		t.Errorf("Icinga runs %s", words)
	}
	limits := "--warning " + matches(t, "icinga2.conf", `vars\.warren_warning = "(.*)"`)[0] + " --critical " + matches(t, "icinga2.conf", `vars\.warren_critical = "(.*)"`)[0]
	if !strings.HasSuffix(commands[1], limits) {
		t.Errorf("Icinga has %s", limits)
	}
}
