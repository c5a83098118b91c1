package link

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// hashRoot makes a tree like /proc/sys/net with the two policies; "" is one that is not there.
func hashRoot(t *testing.T, v4, v6 string) (h *FlowHash, policies func() string) {
	t.Helper()
	root := t.TempDir()
	for path, value := range map[string]string{hashPolicies[0]: v4, hashPolicies[1]: v6} {
		if value == "" {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, path)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, path), []byte(value+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return &FlowHash{root: root}, func() string {
		var all []string
		for _, path := range hashPolicies {
			b, err := os.ReadFile(filepath.Join(root, path))
			if err != nil {
				b = []byte("-")
			}
			all = append(all, strings.TrimSpace(string(b))[:1]) // a file keeps what follows, a sysctl has nothing more
		}
		return strings.Join(all, " ")
	}
}

func TestFlowHash(t *testing.T) {
	for _, test := range []struct{ name, v4, v6, on, off string }{
		{"the default", "0", "0", "1 1", "0 0"},
		{"by ports already", "1", "0", "1 1", "1 0"},
		{"somebody's choice", "3", "2", "3 2", "3 2"},
		{"no IPv6", "0", "", "1 -", "0 -"},
	} {
		t.Run(test.name, func(t *testing.T) {
			h, policies := hashRoot(t, test.v4, test.v6)
			for range 2 {
				if err := h.SetByPorts(true); err != nil || policies() != test.on {
					t.Errorf("on: %s, %v; want %s", policies(), err, test.on)
				}
			}
			for range 2 {
				if err := h.SetByPorts(false); err != nil || policies() != test.off {
					t.Errorf("off: %s, %v; want %s", policies(), err, test.off)
				}
			}
		})
	}
}

// What somebody has chosen since is not undone.
func TestFlowHashChosenSince(t *testing.T) {
	h, policies := hashRoot(t, "0", "0")
	if err := h.SetByPorts(true); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(h.root, hashPolicies[0]), []byte("2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := h.SetByPorts(false); err != nil || policies() != "2 0" {
		t.Errorf("%s, %v; want 2 0", policies(), err)
	}
}

func TestFlowHashSaysWhich(t *testing.T) {
	h, _ := hashRoot(t, "0", "0")
	file := filepath.Join(h.root, hashPolicies[1])
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(file, 0o700); err != nil { // cannot be read nor written, whoever asks
		t.Fatal(err)
	}
	if err := h.SetByPorts(true); err == nil || !strings.Contains(err.Error(), "net.ipv6.fib_multipath_hash_policy = 1") {
		t.Errorf("%v", err)
	}
}
