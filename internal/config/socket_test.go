package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestSocket(t *testing.T) {
	for _, tt := range []struct{ text, want, err string }{
		{"", DefaultSocket, ""},
		{"[api]\nsocket = \"/tmp/x.sock\"\n", "/tmp/x.sock", ""},
		{"asn = \"mistaken\"\n[api]\nsocket = \"/tmp/x.sock\"\n", "/tmp/x.sock", ""},
		{"[api]\nsocket = \"x.sock\"\n", "", "absolute"},
		{"[api]\nsocket = 5\n", "", "quotes"},
		// What is no TOML has what its lines say.
		{"[api\n", "", "warren.toml:1"},
		{"asn = 64512\nname = \"a\n[api]\nsocket = \"/tmp/x.sock\" # here\n", "/tmp/x.sock", ""},
		{"[announce]\nnetworks = [\"10.0.0.0/8\"\n[api]\nsocket = \"/tmp/x.sock\"\n[log]\nlevel = \"info\"\n", "/tmp/x.sock", ""},
		{"[api]\r\nhttp = \"127.0.0.1:8179\r\nsocket = '/tmp/x.sock'\r\n", "/tmp/x.sock", ""},
		{"[api\nsocket = \"/tmp/x.sock\"\n", "/tmp/x.sock", ""},
		{"api.socket = \"/tmp/x.sock\"\nasn = \n", "/tmp/x.sock", ""},
		{"\xef\xbb\xbfapi = { socket = \"/tmp/x.sock\" }\nasn = \n", "/tmp/x.sock", ""},
		{"[api]\nsocket = \"/tmp/x.sock\"\nsocket = \"/tmp/y.sock\"\n", "/tmp/x.sock", ""},
		{"[api]\nsocket = \"/tmp/x.sock\"\n[api]\ngobgp = \"\"\n", "/tmp/x.sock", ""},
		{"[history]\nsocket = \"/tmp/x.sock\"\nasn =\n", "", "warren.toml:3"},
		{"[api]\nsocket = \"/tmp/x.sock\nasn = 1\n", "", "warren.toml:2"},
		{"[api]\nsocket = \"x.sock\"\nasn =\n", "", "warren.toml:2: api.socket: \"x.sock\" cannot be a socket"},
		{"[api]\nsocket = \"/tmp/x.sock\"\nx = " + strings.Repeat("[", 100_000) + "\n", "/tmp/x.sock", ""},
	} {
		file := filepath.Join(t.TempDir(), "warren.toml")
		if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := Socket(file)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%q: error %v, want one with %q", tt.text, err, tt.err)
			}
			continue
		}
		if err != nil || got != tt.want {
			t.Errorf("%q: %q, %v; want %q", tt.text, got, err, tt.want)
		}
	}
	if _, err := Socket(filepath.Join(t.TempDir(), "no.toml")); err == nil {
		t.Error("a config that is not there was no error")
	}
}

// A mistake anywhere else in the file, after which it is no TOML, leaves the socket known.
func TestSocketWhereverTheMistakeIs(t *testing.T) {
	text := strings.Replace(readShipped(t, "reference/warren.toml"), DefaultSocket, "/tmp/x.sock", 1)
	lines := strings.SplitAfter(text, "\n")
	first := slices.Index(lines, "[api]\n")
	socket := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "socket =") })
	if first < 0 || socket < first {
		t.Fatalf("[api] is in line %d, socket in line %d", first, socket)
	}
	file := filepath.Join(t.TempDir(), "warren.toml")
	for i := 0; i <= len(lines); i += 5 {
		for _, mistake := range []string{"x = \"", "x = [", "x = \"\"\"", "[x", "]", "=", "x = {"} {
			if i > first && i <= socket && mistake == "[x" {
				continue // what is behind it is not in [api] any more
			}
			write(t, file, strings.Join(slices.Insert(slices.Clone(lines), i, mistake+"\n"), ""))
			if got, err := Socket(file); err != nil || got != "/tmp/x.sock" {
				t.Errorf("%s in line %d: %q, %v", mistake, i+1, got, err)
			}
		}
	}
}

func TestHTTP(t *testing.T) {
	for _, tt := range []struct{ value, want, err string }{
		{`"127.0.0.1:8179"`, "127.0.0.1:8179", ""},
		{`"[::1]:80"`, "[::1]:80", ""},
		{`"0.0.0.0:8179"`, "0.0.0.0:8179", ""},
		{`"192.0.2.1:444"`, "192.0.2.1:444", ""},
		{`""`, "", ""},
		{`"unix:/run/warren/http.sock"`, "unix:/run/warren/http.sock", ""},
		{`"unix:///run/warren/http.sock"`, "unix:/run/warren/http.sock", ""},
		{`"unix:http.sock"`, "", "must be absolute"},
		{`"unix:/run/warren/warren.sock"`, "", "is api.socket too"},
		{`"127.0.0.1:50051"`, "", "the gobgp command may look"},
		{`"[::]:50051"`, "", "the gobgp command may look"},
		{`"0.0.0.0:443"`, "", "is taken by tls.listen"},
		{`"127.0.0.1:443"`, "", "is taken by tls.listen"},
		{`"localhost:8179"`, "", "write 127.0.0.1:8179"},
		{`":8179"`, "", "has no address"},
		{`"127.0.0.1"`, "", "an address with a port"},
		{`"127.0.0.1:0"`, "", "an address with a port"},
		{`"224.0.0.1:80"`, "", "cannot be used"},
		{`8179`, "", "in quotes"},
	} {
		path := setUp(t, routerText+"[api]\nhttp = "+tt.value+"\n", nil)
		cfg, err := Load(path)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: error %v, want one line with %q", tt.value, err, tt.err)
			}
			continue
		}
		if err != nil || cfg.API.HTTP != tt.want {
			t.Errorf("%s: %+v, %v; want %q", tt.value, cfg, err, tt.want)
		}
	}
}

func TestGobgp(t *testing.T) {
	const long = "/a-path-of-more-bytes-than-fit-into-the-address-of-a-unix-socket/which-has-one-hundred-and-eight-of-them/g.sock"
	for _, tt := range []struct{ value, want, err string }{
		{`"127.0.0.1:50051"`, "127.0.0.1:50051", ""},
		{`"127.0.0.9:179"`, "127.0.0.9:179", ""},
		{`"[::1]:50052"`, "[::1]:50052", ""},
		{`""`, "", ""},
		{`"unix:/run/warren/gobgp.sock"`, "unix:/run/warren/gobgp.sock", ""},
		{`"unix:///run/warren/gobgp.sock"`, "unix:/run/warren/gobgp.sock", ""},
		{`"unix:/run/warren/../g.sock"`, "unix:/run/g.sock", ""},
		{`"unix:gobgp.sock"`, "", "must be absolute"},
		{`"unix://run/gobgp.sock"`, "", "must be absolute"},
		{`"unix:"`, "", "must be absolute"},
		{`"unix:/"`, "", "must be absolute"},
		{`"unix:/run/"`, "", "must be absolute"},
		{`"unix:` + long + `"`, "", "at most 107 bytes"},
		{`"unix:/run/warren/warren.sock"`, "", "is api.socket too"},
		{`"/run/warren/gobgp.sock"`, "", "such as unix:/run/warren/gobgp.sock"},
		{`"0.0.0.0:50051"`, "", "has no password"},
		{`"192.0.2.1:50051"`, "", "has no password"},
		{`"localhost:50051"`, "", "a loopback address with a port"},
		{`"127.0.0.1"`, "", "a loopback address with a port"},
		{`"127.0.0.1:0"`, "", "a loopback address with a port"},
		{`50051`, "", "in quotes"},
	} {
		path := setUp(t, routerText+"[api]\ngobgp = "+tt.value+"\n", nil)
		cfg, err := Load(path)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: error %v, want one line with %q", tt.value, err, tt.err)
			}
			continue
		}
		if err != nil || cfg.API.Gobgp != tt.want {
			t.Errorf("%s: %+v, %v; want %q", tt.value, cfg, err, tt.want)
		}
	}
}
