// Package configs tests the systemd unit. The configs beside it are tested by
// internal/config.
package configs

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"warren/internal/skip"
)

// unit reads warren.service: the values of each key, in order. The key of a setting that is
// commented out begins with #.
func unit(t *testing.T) map[string][]string {
	t.Helper()
	data, err := os.ReadFile("warren.service")
	if err != nil {
		t.Fatal(err)
	}
	settings := map[string][]string{}
	for _, line := range strings.Split(string(data), "\n") {
		// A comment that is a setting has no space behind its sign.
		if key, val, found := strings.Cut(line, "="); found && !strings.HasPrefix(line, "# ") {
			settings[key] = append(settings[key], val)
		}
	}
	return settings
}

// TestUnit checks what the daemon cannot work without, and what keeps it from
// doing more than its work.
func TestUnit(t *testing.T) {
	got := unit(t)
	for key, want := range map[string]string{
		// The daemon tells systemd when it is ready and reloading.
		"Type":         "notify",
		"NotifyAccess": "main",
		"ExecStart":    "/usr/local/bin/warren run -c /etc/warren/warren.toml",
		"ExecReload":   "/usr/local/bin/warren reload -c /etc/warren/warren.toml",
		"Restart":      "always",
		"WatchdogSec":  "60",
		// It is never given up: nothing else brings the tunnels back.
		"StartLimitIntervalSec": "0",
		// Keys stay out of memory images.
		"LimitCORE": "0",
		// The default of api.socket is /run/warren/warren.sock.
		"RuntimeDirectory": "warren",
		"LimitNOFILE":      "65536",

		"CapabilityBoundingSet": "CAP_NET_ADMIN CAP_NET_RAW CAP_NET_BIND_SERVICE CAP_SETUID CAP_SETGID CAP_KILL",
		// The kernel may end the speaker's process, and the tunnels are not to end with it.
		"OOMPolicy":       "continue",
		"NoNewPrivileges": "yes",
		"DevicePolicy":    "closed",
		"DeviceAllow":     "/dev/net/tun rw",
		"ProtectSystem":   "strict",
		// The secret of an invitation is replaced there.
		"ReadWritePaths":          "-/etc/warren",
		"MemoryDenyWriteExecute":  "yes",
		"RestrictAddressFamilies": "AF_INET AF_INET6 AF_NETLINK AF_UNIX",
		"RestrictNamespaces":      "yes",
		"SystemCallArchitectures": "native",
		"WantedBy":                "multi-user.target",
	} {
		if !slices.Equal(got[key], []string{want}) {
			t.Errorf("%s is %q, want %q", key, got[key], want)
		}
	}
	if want := []string{"@system-service", "~@privileged @resources", "setuid setgid setgroups setpriority setrlimit capset landlock_create_ruleset landlock_add_rule landlock_restrict_self"}; !slices.Equal(got["SystemCallFilter"], want) {
		t.Errorf("SystemCallFilter is %q, want %q", got["SystemCallFilter"], want)
	}
	// How much memory is too much only the operator knows: the advice is there, and not in force.
	for _, key := range []string{"MemoryHigh", "MemoryMax"} {
		if got[key] != nil || len(got["#"+key]) != 1 {
			t.Errorf("%s is %q, as a comment %q", key, got[key], got["#"+key])
		}
	}
	// Each of these would take away something that the daemon uses: sysctls
	// of the tunnels, /proc/sys itself, /dev/net/tun, the host's network.
	for _, key := range []string{"ProtectKernelTunables", "ProcSubset", "PrivateDevices", "PrivateNetwork", "PrivateUsers", "User", "DynamicUser"} {
		if got[key] != nil {
			t.Errorf("%s is set", key)
		}
	}
}

// TestUnitIsUnderstood asks systemd, which a developer may lack but CI may not.
func TestUnitIsUnderstood(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		skip.OutsideCI(t, "%v: install systemd; TestUnit has checked the lines", err)
	}
	data, err := os.ReadFile("warren.service")
	if err != nil {
		t.Fatal(err)
	}
	// The command must exist to be verified.
	file := filepath.Join(t.TempDir(), "warren.service")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(string(data), "/usr/local/bin/warren", "/bin/true")), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"verify", file}, {"security", "--offline=yes", "--threshold=30", file}} {
		out, err := exec.Command(analyze, args...).CombinedOutput()
		if err != nil {
			t.Errorf("systemd-analyze %v: %v\n%s", args, err, out)
		} else if args[0] == "verify" && len(out) > 0 {
			t.Errorf("systemd-analyze verify:\n%s", out)
		}
	}
}
