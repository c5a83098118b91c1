package child

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"warren/internal/speaker/wire"
)

// What is logged in the process is in the daemon's log as if it had been logged there.
func TestLogIsTheSame(t *testing.T) {
	log := func(l *slog.Logger) {
		l.Info("plain")
		l.With("peer", "b").WithGroup("g").Warn("many kinds", "n", 7, "u", uint64(1)<<63, "f", 1.5, "yes", true,
			"lasted", 1500*time.Millisecond, "prefix", netip.MustParsePrefix("10.1.0.0/16"), "err", errors.New("no \"way\"\n"),
			slog.Group("in", "x", "y z"), "at", time.Unix(1, 0).UTC())
		l.Debug("not at this level")
	}
	var direct, lines, passed bytes.Buffer
	options := &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}
	log(slog.New(slog.NewTextHandler(&direct, options)))
	log(slog.New(&handler{out: &lines, level: new(slog.LevelVar)}))
	for line := range bytes.Lines(lines.Bytes()) {
		r, err := wire.ParseRecord(line)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if err := slog.NewTextHandler(&passed, options).Handle(context.Background(), r); err != nil {
			t.Fatal(err)
		}
	}
	if passed.String() != direct.String() {
		t.Errorf("passed on:\n%s\nlogged directly:\n%s", passed.String(), direct.String())
	}
}

// A record that is too long does not become something else.
func TestLongRecord(t *testing.T) {
	var lines bytes.Buffer
	l := slog.New(&handler{out: &lines, level: new(slog.LevelVar)})
	l.Info("it is long", "text", strings.Repeat("x", 1<<20))
	if r, err := wire.ParseRecord(lines.Bytes()); err != nil || lines.Len() > maxLine || !strings.HasPrefix(r.Message, "it is long") {
		t.Errorf("%d bytes, %v: %v", lines.Len(), r.Message, err)
	}
}
