package config

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"warren/internal/keys"
)

var update = flag.Bool("update", false, "rewrite the expected messages in testdata/mistakes")

// TestMistakes loads each archive of testdata/mistakes and compares all that
// is said about it with the file "want" in it.
func TestMistakes(t *testing.T) {
	files, err := filepath.Glob("testdata/mistakes/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no archives: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			dir := keyDir(t)
			want, rest := "", archive.Files[:0]
			for _, f := range archive.Files {
				if f.Name == "want" {
					want = string(f.Data)
					continue
				}
				rest = append(rest, f)
				write(t, filepath.Join(dir, f.Name), string(f.Data))
			}
			cfg, err := Load(filepath.Join(dir, "warren.toml"))
			if err == nil {
				t.Fatalf("no mistake found in %+v", cfg)
			}
			got := strings.ReplaceAll(err.Error(), dir+"/", "") + "\n"
			if *update {
				archive.Files = append(rest, txtar.File{Name: "want", Data: []byte(got)})
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != want {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

// keyDir makes a directory with the key files that the tests' configs name.
func keyDir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if _, err := keys.Router(dir); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "x", "site-c", "site-h", "site-h.2", "site-j", "site-l", "spoke-1", "spoke-2", "spoke-3", "a-b"} {
		if err := keys.Secret(filepath.Join(dir, name+".secret")); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"one.key", "two.key", "own.key", "site-k.0.key", "site-k.1.key"} {
		if err := keys.Secret(filepath.Join(dir, name)); err != nil { // 32 random bytes are a private key too
			t.Fatal(err)
		}
	}
	same, err := os.ReadFile(filepath.Join(dir, "e.secret"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "e.copy"), string(same))
	write(t, filepath.Join(dir, "readable.secret"), string(same))
	if err := os.Chmod(filepath.Join(dir, "readable.secret"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := keys.Secret(filepath.Join(dir, "site-f.psk")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "ca.crt"), makeCA(t))
	write(t, filepath.Join(dir, "site-m.password"), "a b c\n")
	write(t, filepath.Join(dir, "open.password"), "a b c\n")
	if err := os.Chmod(filepath.Join(dir, "open.password"), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func write(t testing.TB, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
