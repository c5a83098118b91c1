package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// import writes the peers' files beside warren.toml, says what belongs into that, and with -n only shows them.
func TestImport(t *testing.T) {
	dir := t.TempDir()
	from := filepath.Join(dir, "wg7.conf")
	text := "[Interface]\nPrivateKey = YAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=\nListenPort = 51821\nAddress = 10.0.0.0/31\n" +
		"[Peer]\nPublicKey = xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=\nAllowedIPs = 10.0.0.1/32, 10.2.0.0/16\n"
	if err := os.WriteFile(from, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(dir, "warren")
	made := filepath.Join(to, "peers.d", "wg7.toml")
	code, stdout, _ := run(t, "import", "-n", "-c", filepath.Join(to, "warren.toml"), from)
	if _, err := os.Stat(to); code != 0 || !strings.Contains(stdout, `import = ["10.2.0.0/16"]`) || err == nil {
		t.Errorf("exit %d, %q, %v", code, stdout, err)
	}
	code, stdout, _ = run(t, "import", "-c", filepath.Join(to, "warren.toml"), from)
	if code != 0 || !strings.Contains(stdout, "made "+made) || !strings.Contains(stdout, "listen_port = 51821") {
		t.Errorf("exit %d, %q", code, stdout)
	}
	if got, err := os.ReadFile(made); err != nil || !strings.Contains(string(got), `peer_address = "10.0.0.1"`) {
		t.Errorf("%q, %v", got, err)
	}
	code, _, stderr := run(t, "import", "-o", to, from)
	if code != exitFailed || !strings.Contains(stderr, "nothing is written") {
		t.Errorf("exit %d, %q", code, stderr)
	}
}
