package link

import (
	"os"
	"path/filepath"
	"testing"
)

func TestPrepareWithoutIPv6(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "ipv4/conf/tun0")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "rp_filter"), []byte("1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := prepare(root, "tun0"); err != nil {
		t.Error(err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "rp_filter")); err != nil || string(b) != "2\n" && string(b) != "2" {
		t.Errorf("rp_filter is %q, %v; want 2", b, err)
	}
	if _, err := os.Stat(filepath.Join(root, "ipv6")); err == nil {
		t.Error("files were made that did not exist")
	}
}

func TestPrepareRefusesWhatIsNoInterface(t *testing.T) {
	for _, name := range []string{"all", "default", "", ".", "..", "../all", "a/b"} {
		if err := prepare(t.TempDir(), name); err == nil {
			t.Errorf("Prepare(%q) works", name)
		}
	}
}

func TestForwarding(t *testing.T) {
	root := t.TempDir()
	for path, value := range map[string]string{"ipv4/conf/eth0": "1\n", "ipv4/conf/eth1": "0\n", "ipv6/conf/all": "0\n"} {
		if err := os.MkdirAll(filepath.Join(root, path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, path, "forwarding"), []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]bool{"eth0": true, "eth1": false} {
		if on, err := forwarding(root, true, name); err != nil || on != want {
			t.Errorf("%s: %v, %v", name, on, err)
		}
	}
	if on, err := forwarding(root, false, "eth0"); err != nil || on {
		t.Errorf("IPv6: %v, %v", on, err)
	}
	if _, err := forwarding(root, true, "eth2"); err == nil {
		t.Error("an interface that is not there")
	}
}
