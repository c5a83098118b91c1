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
