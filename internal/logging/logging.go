package logging

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Settings are what a configuration says of the log.
type Settings struct {
	Level slog.Level
	JSON  bool // one JSON object a line, else text
}

// Log is a log. Its methods may be called from any goroutine.
type Log struct {
	journal bool
	level   slog.LevelVar
	json    atomic.Bool
	queue   *queue

	mu   sync.Mutex
	base slog.Level // what Set has said
}

// New makes a log that writes to w, with the priorities of sd-daemon(3) and
// without the time in lines of text if toJournal is set. It begins with text at
// level Info. Close ends its goroutine.
func New(w io.Writer, toJournal bool) *Log { return newLog(w, toJournal, maxLines) }

func newLog(w io.Writer, toJournal bool, lines int) *Log {
	l := &Log{journal: toJournal}
	l.queue = newQueue(w, lines, l.lost)
	return l
}

// Logger is the way into the log.
func (l *Log) Logger() *slog.Logger { return slog.New(&handler{log: l}) }

// Set applies settings, and reports whether that has changed anything.
func (l *Log) Set(s Settings) (changed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	changed = l.level.Level() != s.Level || l.json.Load() != s.JSON
	l.base = s.Level
	l.level.Set(s.Level)
	l.json.Store(s.JSON)
	return changed
}

// Is reports whether Set with these would change nothing.
func (l *Log) Is(s Settings) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.level.Level() == s.Level && l.json.Load() == s.JSON
}

// SetLevel changes the level until the next Set.
func (l *Log) SetLevel(level slog.Level) { l.level.Set(level) }

// ToggleDebug changes to the level Debug, or back from it: to the level of the
// last Set, or to Info if that was Debug itself. It returns the level now.
func (l *Log) ToggleDebug() slog.Level {
	l.mu.Lock()
	defer l.mu.Unlock()
	to := slog.LevelDebug
	if l.level.Level() == to {
		to = max(l.base, slog.LevelInfo)
	}
	l.level.Set(to)
	return to
}

// Plain writes text, of one or more lines, whatever the level: the error that
// ends the daemon, in the words in which every command says it. In JSON each line
// is a message.
func (l *Log) Plain(level slog.Level, text string) {
	for t := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		out := []byte(t + "\n")
		switch {
		case l.json.Load():
			out = l.record(level, t)
		case l.journal:
			out = []byte(priority(level) + t + "\n")
		}
		l.queue.put(out)
	}
}

// Flush waits until everything is written that was logged before, at most within. It reports whether
// everything was.
func (l *Log) Flush(within time.Duration) bool { return l.queue.flush(within) }

// Close waits until everything is written, at most within. It reports whether
// everything was. What is logged later is dropped.
func (l *Log) Close(within time.Duration) bool { return l.queue.close(within) }

// format is the handler of package slog that writes to w.
func (l *Log) format(w io.Writer) slog.Handler {
	opts := &slog.HandlerOptions{Level: slog.LevelDebug}
	if l.json.Load() {
		return slog.NewJSONHandler(w, opts)
	}
	if l.journal { // it has the time of each line
		opts.ReplaceAttr = withoutTime
	}
	return slog.NewTextHandler(w, opts)
}

func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

// lost is the line that tells of lost ones.
func (l *Log) lost(n uint64) []byte {
	return l.record(slog.LevelWarn, "lines of this log were lost: its reader did not take them", slog.Uint64("lost", n))
}

// record is a line that does not come from a logger.
func (l *Log) record(level slog.Level, msg string, attrs ...slog.Attr) []byte {
	r := slog.NewRecord(time.Now(), level, msg, 0)
	r.AddAttrs(attrs...)
	line, _ := (&handler{log: l}).line(context.Background(), r) // to memory, which does not fail
	return line
}
