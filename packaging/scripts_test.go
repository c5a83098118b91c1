//go:build packages

package packaging

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestScripts has the scripts run with each of the arguments that dpkg and rpm call them with, on a machine
// where systemctl and the others only write down what they are told.
func TestScripts(t *testing.T) {
	const (
		installed = "sysusers daemon-reload is-active"
		upgraded  = "sysusers daemon-reload is-active restart"
	)
	for _, test := range []struct {
		script, args string
		does         string // where systemd runs, and the daemon
		stopped      string // where the daemon does not run
		still        string // in a tree where systemd is installed and nothing runs
	}{
		// dpkg: Debian policy, 6.5.
		{"postinstall", "configure", upgraded, installed, "sysusers"},
		{"postinstall", "configure 1.0-1", upgraded, installed, "sysusers"},
		{"postinstall", "abort-upgrade 1.0-1", "", "", ""},
		{"postinstall", "abort-remove", "", "", ""},
		{"postinstall", "abort-deconfigure in-favour other 1.0-1", "", "", ""},
		{"preremove", "upgrade 1.0-1", "", "", ""},
		{"preremove", "failed-upgrade 1.0-1", "", "", ""},
		{"preremove", "deconfigure in-favour other 1.0-1", "", "", ""},
		{"preremove", "remove", "disable", "disable", "disable"},
		{"postremove", "remove", "daemon-reload", "daemon-reload", ""},
		{"postremove", "purge", "daemon-reload", "daemon-reload", ""},
		{"postremove", "upgrade 1.0-1", "daemon-reload", "daemon-reload", ""},
		{"postremove", "abort-install", "daemon-reload", "daemon-reload", ""},
		// rpm: the first installation, an upgrade (the new package's postinstall first, then what goes of the old one),
		// and the end.
		{"postinstall", "1", upgraded, installed, "sysusers"},
		{"postinstall", "2", upgraded, installed, "sysusers"},
		{"preremove", "1", "", "", ""},
		{"postremove", "1", "daemon-reload", "daemon-reload", ""},
		{"preremove", "0", "disable", "disable", "disable"},
		{"postremove", "0", "daemon-reload", "daemon-reload", ""},
	} {
		for machine, want := range map[string]string{"running": test.does, "stopped": test.stopped, "still": test.still} {
			if got := told(t, test.script, test.args, machine); got != want {
				t.Errorf("%s %s, %s: it does %q, and is to do %q", test.script, test.args, machine, got, want)
			}
		}
	}
}

// told runs a script on such a machine, and returns what it tells other programs to do.
func told(t *testing.T, script, args, machine string) string {
	t.Helper()
	data, err := os.ReadFile("scripts/" + script)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	diary := filepath.Join(dir, "diary")
	for name, text := range map[string]string{
		"systemctl":        `for w; do case $w in -*) ;; *) echo $w >>` + diary + `; break;; esac; done; [ "$1" != is-active ] || [ $MACHINE = running ]`,
		"systemd-sysusers": "echo sysusers >>" + diary,
		"warren":           "echo $1 >>" + diary,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	systemd := dir // the scripts ask for a directory whether systemd runs
	if machine == "still" {
		systemd = filepath.Join(dir, "none")
	}
	text := strings.NewReplacer("/run/systemd/system", systemd, "/var/lib/warren", filepath.Join(dir, "state"), "/etc/warren", filepath.Join(dir, "etc")).Replace(string(data))
	cmd := exec.Command("/bin/sh", append([]string{"-c", text, script}, strings.Fields(args)...)...)
	cmd.Env = []string{"PATH=" + dir + ":/usr/bin:/bin", "MACHINE=" + machine}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s %s: %v\n%s", script, args, err, out)
	}
	did, _ := os.ReadFile(diary)
	return strings.Join(strings.Fields(string(did)), " ")
}
