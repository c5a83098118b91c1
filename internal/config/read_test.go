package config

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"warren/internal/skip"
)

// TestMain gives the tests the umask that most machines have: with one that lets a group
// write, what the tests make would be refused.
func TestMain(m *testing.M) {
	syscall.Umask(0o022)
	os.Exit(m.Run())
}

// What others can change is refused, wherever it is, once each.
func TestWhatOthersCanChangeIsRefused(t *testing.T) {
	for _, c := range []struct {
		what string // below the directory of warren.toml
		mode fs.FileMode
		says string // "" if it is fine
	}{
		{"warren.toml", 0o644, ""},
		{"warren.toml", 0o666, "warren.toml: cannot be read: others than its owner can change it (mode 0666); run: chmod go-w "},
		{"warren.toml", 0o664, "warren.toml: cannot be read: others than its owner can change it (mode 0664); run: chmod go-w "},
		{"peers.d/b.toml", 0o644, ""},
		{"peers.d/b.toml", 0o646, "peers.d/b.toml: cannot be read: others than its owner can change it (mode 0646); run: chmod go-w "},
		{"peers.d/b.toml", 0o660, "peers.d/b.toml: cannot be read: others than its owner can change it (mode 0660); run: chmod go-w "},
		{"peers.d", 0o755, ""},
		{"peers.d", 0o777, "peers.d: others than its owner can change it (mode 0777); run: chmod go-w "},
		{"peers.d", 0o775, "peers.d: others than its owner can change it (mode 0775); run: chmod go-w "},
		{"peers.d", 0o777 | fs.ModeSticky, "peers.d: others than its owner can change it (mode 0777); run: chmod go-w "},
		{"", 0o755, ""},
		{"", 0o777, ": others than its owner can change it (mode 0777); run: chmod go-w "},
		{"", 0o770, ": others than its owner can change it (mode 0770); run: chmod go-w "},
		{"", 0o777 | fs.ModeSticky, ""},
		{"ca.crt", 0o644, ""},
		{"ca.crt", 0o666, "others than its owner can change it (mode 0666); run: chmod go-w "},
		{"tls.crt", 0o664, "others than its owner can change it (mode 0664); run: chmod go-w "},
		{"other", 0o775, "other: others than its owner can change it (mode 0775); run: chmod go-w "},
	} {
		path := setUp(t, routerText, map[string]string{
			"peers.d/b.toml":     peerText + "ca_file = \"ca.crt\"\npeer_name = \"b.example.net\"\n",
			"peers.d/c.toml":     strings.Replace(peerText, "192.0.2.1", "192.0.2.2", 1) + "secret_file = \"other/c.secret\"\n",
			"other/here-to-stay": "",
		})
		dir := filepath.Dir(path)
		if err := os.Rename(filepath.Join(dir, "c.secret"), filepath.Join(dir, "other", "c.secret")); err != nil {
			t.Fatal(err)
		}
		at := filepath.Join(dir, c.what)
		if err := os.Chmod(at, c.mode); err != nil {
			t.Fatal(err)
		}
		_, err := Load(path)
		if c.says == "" {
			if err != nil {
				t.Errorf("%s with mode %v: %v", c.what, c.mode, err)
			}
			continue
		}
		if err == nil || strings.Count(err.Error(), c.says+at) != 1 || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s with mode %v: %v\nwant one line with %q", c.what, c.mode, err, c.says+at)
		}
	}
}

// So is what belongs to another user, and what a symbolic link leads to.
func TestWhatBelongsToOthersIsRefused(t *testing.T) {
	const other = 12345
	for _, what := range []string{"warren.toml", "peers.d", "peers.d/b.toml", "", "tls.crt", "afar/c.toml", "afar"} {
		path := setUp(t, routerText, map[string]string{
			"peers.d/b.toml": peerText + "secret_file = \"b.secret\"\n",
			"afar/c.toml":    strings.Replace(peerText, "192.0.2.1", "192.0.2.2", 1) + "secret_file = \"c.secret\"\n",
		})
		dir := filepath.Dir(path)
		if err := os.Symlink("../afar/c.toml", filepath.Join(dir, "peers.d", "c.toml")); err != nil {
			t.Fatal(err)
		}
		load(t, path)
		at := filepath.Join(dir, what)
		if err := os.Chown(at, other, -1); err != nil {
			skip.OutsideCI(t, "only root can give files away, where there are other users: %v", err)
		}
		_, err := Load(path)
		if err == nil || !strings.Contains(err.Error(), "belongs to user 12345; it must belong to root") ||
			!strings.Contains(err.Error(), "run: chown 0 ") {
			t.Errorf("%q of another user: %v", what, err)
		}
	}
}

// A config that others can change keeps nobody from asking the daemon how things are.
func TestSocketOfAConfigThatOthersCanChange(t *testing.T) {
	path := setUp(t, routerText, nil)
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Socket(path); err != nil {
		t.Error(err)
	}
}
