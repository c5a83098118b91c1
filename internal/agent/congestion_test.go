package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"warren/internal/config"
	"warren/internal/keys"
	"warren/internal/status"
	"warren/tunnel"
	"warren/tunnel/tlslink"
)

// congestionConfig writes a config with one tunnel, and a congestion control if it is not "".
func congestionConfig(t *testing.T, congestion string) (path string) {
	t.Helper()
	dir := t.TempDir()
	line := ""
	if congestion != "" {
		line = "congestion = \"" + congestion + "\"\n"
	}
	path = filepath.Join(dir, "warren.toml")
	for name, text := range map[string]string{
		path:                                    "asn = 64512\nrouter_id = \"10.0.0.1\"\n[tls]\nlisten = [\"192.0.2.1:443\"]\n",
		filepath.Join(dir, "peers.d", "b.toml"): "[tunnel]\n" + line + "secret_file = \"b.secret\"\n[bgp]\nasn = 64513\nimport = []\n",
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := keys.Secret(filepath.Join(dir, "b.secret")); err != nil {
		t.Fatal(err)
	}
	return path
}

// Another congestion control is for connections to come: the tunnel stays.
func TestReloadChangesTheCongestionControl(t *testing.T) {
	w := newWorld(t, router(peerConfig("b", 0), peerConfig("c", 1)))
	w.up(t, "b")
	other := peerConfig("b", 0)
	other.Tunnels[0].Congestion = "reno"
	noted, lines := w.reloads(t, router(other, peerConfig("c", 1)))
	expect(t, "noted", noted, []string{`tune b: congestion "reno", ecn false, dscp 0`, "guard [if-b if-c]"})
	expect(t, "lines", lines, []string{"peer b: congestion control reno, for connections from now on (tunnel.congestion)"})
	noted, lines = w.reloads(t, router(other, peerConfig("c", 1)))
	expect(t, "noted of the same", noted, []string{"guard [if-b if-c]"})
	expect(t, "lines of the same", lines, nil)
}

// One that is configured while the tunnel is being opened is set when it is open.
func TestCongestionControlOfATunnelThatIsBeingOpened(t *testing.T) {
	var opening func()
	w := newWorldWith(t, router(peerConfig("b", 0)), func(w *world) {
		w.handles.begin = func(f func()) { opening = f }
	})
	other := peerConfig("b", 0)
	other.Tunnels[0].Congestion = "reno"
	noted, _ := w.reloads(t, router(other))
	expect(t, "noted", noted, []string{"guard [if-b]"})
	mark := len(w.diary)
	opening()
	w.turn()
	expect(t, "opened", w.since(mark), []string{"open b on if-b", `tune b: congestion "reno", ecn false, dscp 0`, "listen []"})
}

// check says how to get what auto would take, and only to those who leave it to auto.
func TestHintOfABetterCongestionControl(t *testing.T) {
	lacks := func(string) error { return errors.New("is not here") }
	has := func(string) error { return nil }
	for _, c := range []struct {
		congestion string
		check      func(string) error
		hints      int
	}{{"", has, 0}, {"", lacks, 1}, {"auto", lacks, 1}, {"reno", lacks, 0}} {
		cfg, err := config.Load(congestionConfig(t, c.congestion))
		if err != nil {
			t.Fatal(err)
		}
		hints := congestionHints(cfg, c.check)
		if len(hints) != c.hints || c.hints > 0 && !strings.Contains(hints[0], "`modprobe tcp_bbr`") {
			t.Errorf("%+v: %q", c, hints)
		}
	}
	if _, err := Load(congestionConfig(t, "reno")); err != nil {
		t.Error(err)
	}
	_, err := Load(congestionConfig(t, "no-such-thing"))
	var mistakes config.Errors
	if !errors.As(err, &mistakes) || !strings.Contains(err.Error(), `b.toml:2: tunnel.congestion: "no-such-thing" is no congestion control that this kernel gives; it gives `) {
		t.Errorf("error %v", err)
	}
}

// Status says of the tunnels that are up how to get what auto would take, once for all that a module would help, and why not
// of one that a route keeps from it.
func TestHintOfTunnelsWithoutTheBestCongestionControl(t *testing.T) {
	w := newWorld(t, router(peerConfig("b", 0), peerConfig("c", 1), peerConfig("d", 2), peerConfig("e", 3)))
	lacks := fmt.Errorf("set it: %w", unix.ENOENT)
	w.tunnels.says = map[string]tunnel.Status{
		"b": {State: tunnel.StateUp, Congestion: "cubic", CongestionErr: lacks},
		"c": {State: tunnel.StateUp, Congestion: "reno", CongestionErr: errors.New("the route locks it")},
		"d": {State: tunnel.StateUp, Congestion: tlslink.BestCongestion},
		"e": {State: tunnel.StateUp, Congestion: "cubic", CongestionErr: lacks},
	}
	w.hinted(t, time.Now(),
		status.Hint{Peer: "c", Text: "the tunnel's connection uses the congestion control reno and not bbr, with which it would carry much more " +
			"over a path that loses packets: the route locks it; if that is meant, congestion = \"reno\" in [tunnel] ends this hint"},
		status.Hint{Text: "over TLS the tunnels to b, e use the kernel's default congestion control, cubic, as it does not give bbr, with which they " +
			"carry much more over paths that lose packets; where the kernel has it as a module, `modprobe tcp_bbr` loads it (of a container, " +
			"on its host), and a line tcp_bbr in /etc/modules-load.d/warren.conf does so at each boot; connections use it that are made then, " +
			"all of them within the hour"})
	w.tunnels.says = map[string]tunnel.Status{"b": {State: tunnel.StateUp, Congestion: "cubic"}} // as configured
	w.hinted(t, time.Now())
}

func TestHintOfTheSpeakersUser(t *testing.T) {
	if hints := userHints(true); len(hints) != 0 {
		t.Errorf("with a user of its own: %q", hints)
	}
	if hints := userHints(false); len(hints) != 1 || !strings.Contains(hints[0], "useradd --system") || !strings.Contains(hints[0], " warren`") {
		t.Errorf("without a user of its own: %q", hints)
	}
}
