package peerfile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"warren/internal/config"
)

const (
	routerText = "name = \"a\"\nasn = 64512\nrouter_id = \"10.1.0.1\"\n[tls]\nlisten = [\"0.0.0.0:443\"]\n"
	severalTxt = "# All of them.\n\n[peer.b.tunnel]\nsecret_file = \"b.secret\"\n[peer.b.bgp]\nasn = 64513\nimport = []\n\n# The other.\n" +
		"[peer.c.tunnel]\nsecret_file = \"c.secret\"\n[peer.c.bgp]\nasn = 64514\nimport = []\n"
	dottedText = "peer.b.tunnel.secret_file = \"b.secret\"\npeer.b.bgp.asn = 64513\npeer.b.bgp.import = []\n[peer.c.tunnel]\nsecret_file = \"c.secret\"\n[peer.c.bgp]\nasn = 64514\nimport = []\n"
)

func aSite(t *testing.T, peers string) *config.Config {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "peers.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"warren.toml": routerText, "peers.d/all.toml": peers,
		"b.secret": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n", "c.secret": "HxweHRsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA=\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := config.Load(filepath.Join(dir, "warren.toml"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// One of several peers of a file is taken out, and the file keeps its comments and its mode.
func TestRemovalFromASharedFile(t *testing.T) {
	c := aSite(t, severalTxt)
	dir := filepath.Dir(c.Path)
	plan, err := Removal(c, "b")
	if err != nil {
		t.Fatal(err)
	}
	if err := plan.Do(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "peers.d/all.toml"))
	want := "# All of them.\n\n\n# The other.\n" + severalTxt[strings.Index(severalTxt, "[peer.c"):]
	if err != nil || string(text) != want {
		t.Errorf("%v\n%s", err, text)
	}
	if info, err := os.Stat(filepath.Join(dir, "peers.d/all.toml")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if _, err := os.Stat(filepath.Join(dir, "b.secret")); err == nil {
		t.Error("the secret is still there")
	}
	next, err := config.Load(c.Path)
	if err != nil || len(next.Peers) != 1 || next.Peers[0].Name != "c" {
		t.Errorf("%+v, %v", next, err)
	}
}

// What was edited after the plan was made, as while an operator is asked, is neither written over nor deleted.
func TestPlanIsOfWhatWasSeen(t *testing.T) {
	const alone = "[tunnel]\ninterface = \"alone\"\nsecret_file = \"b.secret\"\n[bgp]\nasn = 64513\nimport = []\n"
	for name, text := range map[string]string{"one of several": severalTxt, "the only one": alone} {
		c := aSite(t, text)
		file := filepath.Join(filepath.Dir(c.Path), "peers.d/all.toml")
		plan, err := Removal(c, c.Peers[0].Name)
		if err != nil {
			t.Fatal(err)
		}
		edited := text + "# another line\n"
		if err := os.WriteFile(file, []byte(edited), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := plan.Do(); err == nil || !strings.Contains(err.Error(), file+" was changed meanwhile, so that nothing was done") {
			t.Errorf("%s: error %v", name, err)
		}
		if now, err := os.ReadFile(file); err != nil || string(now) != edited {
			t.Errorf("%s: %v\n%s", name, err, now)
		}
		if _, err := os.Stat(filepath.Join(filepath.Dir(c.Path), "b.secret")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		if err := plan.Do(); err == nil || !strings.Contains(err.Error(), "was changed meanwhile") {
			t.Errorf("%s, gone: error %v", name, err)
		}
	}
}

// What cannot be cut out by its headers is refused, and nothing is changed.
func TestRemovalOfDottedKeys(t *testing.T) {
	c := aSite(t, dottedText)
	if _, err := Removal(c, "b"); err == nil || !strings.Contains(err.Error(), "by hand") {
		t.Errorf("got %v", err)
	}
	if _, err := Removal(c, "d"); err == nil || !strings.Contains(err.Error(), `no peer "d"`) || !strings.Contains(err.Error(), "b, c") {
		t.Errorf("got %v", err)
	}
}

// What cannot be made leaves nothing behind, and nothing that is there is overwritten.
func TestPlanIsDoneOrUndone(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) File { return File{Path: filepath.Join(dir, name), Text: "new", Mode: 0o600} }
	if err := os.WriteFile(filepath.Join(dir, "c"), []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := &Plan{Create: []File{file("a"), file("sub/b"), file("c")}}
	if err := p.Taken(); err == nil {
		t.Error("c was not noticed")
	}
	if err := p.Do(); err == nil || !strings.Contains(err.Error(), "not overwritten") {
		t.Errorf("got %v", err)
	}
	if old, err := os.ReadFile(filepath.Join(dir, "c")); err != nil || string(old) != "old" {
		t.Errorf("%s, %v", old, err)
	}
	for _, name := range []string{"a", "sub/b"} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s was left", name)
		}
	}
}
