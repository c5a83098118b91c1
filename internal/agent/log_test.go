package agent

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"warren/internal/config"
	"warren/internal/logging"
)

// agentWithLog is an Agent of a config with these lines, and what it has logged
// by the time it is asked, which ends its log.
func agentWithLog(t *testing.T, lines string, override func(config.Log) config.Log) (*Agent, func() string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "warren.toml")
	writeConfig(t, path, lines)
	var out bytes.Buffer
	log := logging.New(&out, true)
	a, err := New(Options{Path: path, Log: log, OverrideLog: override})
	if err != nil {
		t.Fatal(err)
	}
	return a, func() string {
		log.Close(30 * time.Second)
		return out.String()
	}
}

func writeConfig(t *testing.T, path, lines string) {
	t.Helper()
	if err := os.WriteFile(path, []byte("name = \"a\"\nasn = 64512\nrouter_id = \"10.0.0.1\"\n"+lines), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestReloadAppliesTheLog(t *testing.T) {
	a, logged := agentWithLog(t, "[log]\nlevel = \"debug\"\n", nil)
	w := newWorld(t, router())
	w.setLog, w.logChange = a.setLog, a.logChange
	a.log.Debug("first")
	next := router()
	next.Log = config.Log{Level: slog.LevelWarn, Format: config.LogJSON}
	_, lines := w.reloads(t, next)
	expect(t, "lines", lines, []string{"log: level warn, format json"})
	_, lines = w.reloads(t, next)
	expect(t, "lines", lines, nil)
	a.log.Info("hidden")
	a.log.Warn("second")
	// What was changed meanwhile, a reload takes back.
	if err := a.setLogLevel("debug"); err != nil {
		t.Error(err)
	}
	_, lines = w.reloads(t, next)
	expect(t, "lines", lines, []string{"log: level warn, format json"})
	if got := logged(); !strings.Contains(got, "<7>level=DEBUG msg=first\n") || !strings.Contains(got, `"msg":"second"`) ||
		strings.Contains(got, "hidden") || !strings.Contains(got, `"msg":"log level changed","level":"debug"`) {
		t.Errorf("%s", got)
	}
}

func TestCommandLineWinsOverConfig(t *testing.T) {
	a, logged := agentWithLog(t, "[log]\nlevel = \"error\"\nformat = \"json\"\n", func(c config.Log) config.Log {
		c.Level = slog.LevelDebug
		return c
	})
	a.log.Debug("seen")
	if got := logged(); !strings.Contains(got, `"msg":"seen"`) {
		t.Errorf("%s", got)
	}
}

func TestLogLevelChanges(t *testing.T) {
	a, logged := agentWithLog(t, "", nil)
	for _, do := range []func(){
		func() {}, a.toggleDebug, a.toggleDebug,
		func() { _ = a.setLogLevel("debug") }, func() { _ = a.setLogLevel("info") },
	} {
		do()
		a.log.Debug("debug is on")
	}
	if err := a.setLogLevel("loud"); err == nil || !strings.Contains(err.Error(), `"loud" is not a level; allowed are debug, info, warn and error`) {
		t.Error(err)
	}
	want := "<6>level=INFO msg=\"log level changed\" level=debug\n<7>level=DEBUG msg=\"debug is on\"\n" +
		"<6>level=INFO msg=\"log level changed\" level=info\n"
	if got := logged(); got != want+want {
		t.Errorf("%s", got)
	}
}
