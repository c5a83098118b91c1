package speaker

import (
	"bufio"
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"warren/internal/speaker/wire"
)

const (
	maxLine = 64 << 10 // bytes of a line
	// What a process may say. A busy one says some hundred lines a second when a thousand peers come up.
	linesPerSecond = 500
	lineBurst      = 5000
	// crashLines is how much is logged of what the runtime says at the process's end.
	crashLines = 200
)

// crash reads what a process writes to its descriptor 2: records of the log, which go to the
// daemon's, and what the runtime says when it panics.
type crash struct {
	log    *slog.Logger
	known  string // the reason for the end of the process before, which is not told at length again
	reason string // the first line that says why it ends; valid when read has returned
	lines  int
}

// read works until the process has ended.
func (c *crash) read(from *os.File) {
	defer from.Close()
	limit := rate.NewLimiter(linesPerSecond, lineBurst)
	in, lost := bufio.NewReaderSize(from, maxLine), 0
	for {
		line, err := in.ReadSlice('\n')
		cut := errors.Is(err, bufio.ErrBufferFull)
		switch {
		case len(line) == 0:
		case !limit.Allow():
			lost++
		default:
			if lost > 0 {
				c.log.Warn("lines of the speaker's log were lost: there were too many", slog.Int("lost", lost))
				lost = 0
			}
			c.take(line)
		}
		for cut { // the rest of a line that is too long
			_, err = in.ReadSlice('\n')
			cut = errors.Is(err, bufio.ErrBufferFull)
		}
		if err != nil {
			return
		}
	}
}

func (c *crash) take(line []byte) {
	r, err := wire.ParseRecord(line)
	if err == nil {
		r.Time = recent(r.Time, time.Now())
		if ctx := context.Background(); c.log.Enabled(ctx, r.Level) {
			_ = c.log.Handler().Handle(ctx, r) // it is bounded, and drops what does not fit
		}
		return
	}
	text := strings.TrimSpace(string(line))
	if text == "" {
		return
	}
	for _, start := range []string{"panic: ", "fatal error: ", "runtime: ", "SIG", "warren: "} {
		if c.reason == "" && strings.HasPrefix(text, start) {
			c.reason = short(text)
		}
	}
	level := slog.LevelError
	if c.reason != "" && c.reason == c.known {
		level = slog.LevelDebug
	}
	if c.lines++; c.lines <= crashLines {
		c.log.Log(context.Background(), level, "speaker: "+short(text))
	}
}
