package conversion

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"flag"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"warren/internal/config"
	"warren/internal/keys"
)

var update = flag.Bool("update", false, "write what comes out into testdata")

// filled are the lines that an operator has to fill in, with something in them.
var filled = strings.NewReplacer("# asn =\n", "asn = 64999\n", "# peer_name =\n", "peer_name = \"x.example.net\"\n",
	"# public_key =\n", "public_key = \"xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=\"\n", "# interface =\n", "interface = \"lan0\"\n")

// Each archive has the files of a real set-up, names and keys replaced, and what becomes of them. What comes
// out is a configuration that can be loaded once its gaps are filled in.
func TestSetUps(t *testing.T) {
	archives, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(archives) < 22 {
		t.Fatalf("%d archives, %v", len(archives), err)
	}
	for _, path := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			in, certificate := newRouter(t)
			var args []string
			want := map[string]string{}
			var inputs []txtar.File
			for _, f := range a.Files {
				if name, is := strings.CutPrefix(f.Name, "want/"); is {
					want[name] = string(f.Data)
					continue
				}
				inputs = append(inputs, f)
				at := filepath.Join(in, f.Name)
				if filepath.Dir(f.Name) == "." && !strings.HasSuffix(f.Name, ".crt") {
					args = append(args, at)
				}
				must(t, os.MkdirAll(filepath.Dir(at), 0o700))
				must(t, os.WriteFile(at, []byte(strings.ReplaceAll(string(f.Data), "$CERTIFICATE\n", certificate)), 0o600))
			}
			files, err := Open(args)
			must(t, err)
			r, err := Read(files)
			must(t, err)
			got := map[string]string{"warren.toml": r.RouterText()}
			for _, n := range r.Notes {
				got["notes"] += n.String() + "\n"
			}
			for _, f := range r.Files() {
				got[f.Name] = f.Content
			}
			for name, text := range got {
				got[name] = strings.ReplaceAll(strings.ReplaceAll(text, in, "$DIR"), certificate, "$CERTIFICATE\n")
			}
			if *update {
				write := &txtar.Archive{Comment: a.Comment, Files: inputs}
				for _, name := range sortedKeys(got) {
					write.Files = append(write.Files, txtar.File{Name: "want/" + name, Data: []byte(got[name])})
				}
				must(t, os.WriteFile(path, txtar.Format(write), 0o644))
			} else {
				for _, name := range sortedKeys(got, want) {
					if strings.TrimSpace(got[name]) != strings.TrimSpace(want[name]) {
						t.Errorf("%s:\n%s\nwant:\n%s", name, got[name], want[name])
					}
				}
			}
			loads(t, r, in)
		})
	}
}

// newRouter makes a directory with the keys of a router.
func newRouter(t *testing.T) (dir, certificate string) {
	t.Helper()
	dir = t.TempDir()
	must(t, os.Chmod(dir, 0o700))
	_, err := keys.Router(dir)
	must(t, err)
	return dir, authority(t)
}

// authority makes the certificate of a CA.
func authority(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	of := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().AddDate(1, 0, 0), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, of, of, key.Public(), key)
	must(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// loads writes what was made beside a warren.toml, and has it loaded.
func loads(t *testing.T, r *Result, dir string) {
	t.Helper()
	_, err := r.Write(dir)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "warren.toml"), []byte("name = \"here\"\nasn = 64512\nrouter_id = \"10.255.0.1\"\n"+
		"[tls]\nlisten = [\"0.0.0.0:443\"]\n[wireguard]\nlisten_port = 51820\n"), 0o600))
	for _, p := range r.Peers {
		at := filepath.Join(dir, "peers.d", p.Name+".toml")
		text, err := os.ReadFile(at)
		must(t, err)
		must(t, os.WriteFile(at, []byte(filled.Replace(string(text))), 0o600))
		if s := get(p.Tunnel, "secret_file"); s != nil {
			must(t, keys.Secret(filepath.Join(dir, p.Name+".secret")))
		}
	}
	cfg, err := config.Load(filepath.Join(dir, "warren.toml"))
	if err != nil {
		t.Fatalf("it cannot be loaded: %v", err)
	}
	if len(cfg.Peers) != len(r.Peers) {
		t.Errorf("%d peers, want %d", len(cfg.Peers), len(r.Peers))
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func sortedKeys(maps ...map[string]string) (keys []string) {
	seen := map[string]bool{}
	for _, m := range maps {
		for k := range m {
			seen[k] = true
		}
	}
	for k := range seen {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// What cannot be understood is said, and nothing is written.
func TestNotUnderstood(t *testing.T) {
	for text, want := range map[string]string{
		"hello world\n":                             "is neither of wg-quick, nor of OpenVPN, nor of BIRD 2",
		"[Interface]\nPrivateKey = x\n":             "has no [Peer]",
		"[Peer]\nPublicKey = x\n":                   "has no [Interface]",
		"[Interface]\nwhat\n[Peer]\n":               ":2: \"what\" is neither a section nor KEY = VALUE",
		"client\ndev tap0\nremote a\n":              "is for Ethernet (dev tap)",
		"client\ndev tun\n<ca>\n":                   ":3: <ca> has no end",
		"protocol bgp x { neighbor 1.2.3.4 as 1;\n": "a { has no }",
		"protocol bgp x { /* }\n":                   ":1: /* has no end",
		"iroute 10.0.0.0 255.0.0.0\n":               "give the server's configuration too",
		"router id 1.2.3.4;\nprotocol device { }\n": "there is no peer in these files",
		strings.Repeat("x", maxFile+1):              "which is too much",
		"client\x00":                                "is not a text",
	} {
		_, err := Read([]File{{Path: "/etc/some.conf", Text: text}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %q", text, err, want)
		}
	}
}

// Where one of the files is there already nothing is written.
func TestNothingIsOverwritten(t *testing.T) {
	dir := t.TempDir()
	a, err := txtar.ParseFile("testdata/wg-two-sites.txtar")
	must(t, err)
	r, err := Read([]File{{Path: "wg0.conf", Text: string(a.Files[0].Data)}})
	must(t, err)
	written, err := r.Write(dir)
	must(t, err)
	must(t, os.Remove(filepath.Join(dir, "peers.d", "wg0.toml")))
	if _, err := r.Write(dir); err == nil || !strings.Contains(err.Error(), "wg0.wireguard.key") {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "peers.d", "wg0.toml")); err == nil {
		t.Error("a file was written beside one that was there")
	}
	for _, path := range written {
		if info, err := os.Stat(path); err == nil && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
	}
}

// Configurations of the same name, as those of two directories, have files of their own, and one where these are equal.
func TestFilesOfTheSameName(t *testing.T) {
	const one, another = "YAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=", "HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw="
	wg := func(key string, i int) string {
		return fmt.Sprintf("[Interface]\nPrivateKey = %s\nAddress = 10.%d.0.0/31\n[Peer]\nPublicKey = xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8D%c=\nAllowedIPs = 10.%d.0.1/32\n", key, i, "AEIMQUYcgk"[i], i)
	}
	ovpn := func(remote, ca, key string) string {
		return "client\ndev tun\nremote " + remote + "\n<ca>\n" + ca + "</ca>\n<cert>\n" + ca + "</cert>\n<key>\n" + key + "\n</key>\n"
	}
	ca := authority(t)
	r, err := Read([]File{
		{Path: "/a/wg0.conf", Text: wg(one, 0)}, {Path: "/b/wg0.conf", Text: wg(another, 1)}, {Path: "/c/wg0.conf", Text: wg(one, 2)},
		{Path: "/d/wg0.conf", Text: wg("?", 3)}, {Path: "/e/wg0.conf", Text: wg("?", 4)}, {Path: "/f/....conf", Text: wg(one, 5)},
		{Path: "/a/site.ovpn", Text: ovpn("192.0.2.1", ca, "one")}, {Path: "/b/site.ovpn", Text: ovpn("192.0.2.2", ca, "another")}, {Path: "/c/site.ovpn", Text: ovpn("192.0.2.3", authority(t), "one")},
		{Path: "/a/static.conf", Text: "dev tun\nremote 192.0.2.4\nsecret a\n"}, {Path: "/b/static.conf", Text: "dev tun\nremote 192.0.2.5\nsecret b\n"},
	})
	must(t, err)
	var got []string
	for _, p := range r.Peers {
		for _, key := range []string{"private_key_files", "ca_file", "secret_file"} {
			if s := get(p.Tunnel, key); s != nil {
				got = append(got, p.Name+": "+s.Value)
			}
		}
	}
	want := []string{
		`wg0: ["wg0.wireguard.key"]`, `wg0-2: ["wg0-2.wireguard.key"]`, `wg0-3: ["wg0.wireguard.key"]`, `wg0-4: ["wg0-3.wireguard.key"]`, `wg0-5: ["wg0-4.wireguard.key"]`,
		`peer-6: ["imported.wireguard.key"]`, `site: "site.ca.crt"`, `site-2: "site.ca.crt"`, `site-3: "site-2.ca.crt"`, `static: "static.secret"`, `static-2: "static-2.secret"`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	files := map[string]string{}
	for _, f := range r.Files() {
		if _, twice := files[f.Name]; twice {
			t.Errorf("%s twice", f.Name)
		}
		files[f.Name] = f.Content
	}
	for name, content := range map[string]string{
		"wg0.wireguard.key": one + "\n", "wg0-2.wireguard.key": another + "\n", "imported.wireguard.key": one + "\n",
		"site.key": "one\n", "site-2.key": "another\n", "site.ca.crt": ca, "site.cert": ca,
	} {
		if files[name] != content {
			t.Errorf("%s has %q, want %q", name, files[name], content)
		}
	}
	for _, name := range []string{"wg0-3.wireguard.key", "wg0-4.wireguard.key", "site-3.key", "static.secret"} {
		if content, made := files[name]; made {
			t.Errorf("%s is made, with %q", name, content)
		}
	}
	_, err = r.Write(t.TempDir())
	must(t, err)
}

// A file that is given twice, or given and found in client-config-dir, is read once.
func TestOpenedOnce(t *testing.T) {
	dir := t.TempDir()
	server, client := filepath.Join(dir, "server.conf"), filepath.Join(dir, "ccd", "site-b")
	must(t, os.Mkdir(filepath.Dir(client), 0o700))
	must(t, os.WriteFile(server, []byte("dev tun\nserver 10.8.0.0 255.255.255.0\nclient-config-dir ccd\n"), 0o600))
	must(t, os.WriteFile(client, []byte("iroute 10.2.0.0 255.255.0.0\n"), 0o600))
	for _, args := range [][]string{{server}, {server, client}, {client, server, server}} {
		files, err := Open(args)
		must(t, err)
		r, err := Read(files)
		must(t, err)
		if len(files) != 2 || len(r.Peers) != 1 {
			t.Errorf("%v: %d files, %d peers", args, len(files), len(r.Peers))
		}
	}
}
