package child

import (
	"context"
	"io"
	"log/slog"
	"sync"

	"warren/internal/speaker/wire"
)

// handler writes records as lines that the daemon turns into records of its own log.
type handler struct {
	out   io.Writer
	level *slog.LevelVar
	attrs []wire.Attr
	group string
}

// maxLine is less than the daemon reads of a line, in bytes.
const maxLine = 32 << 10

// writing lets one line at a time out.
var writing sync.Mutex

func (h *handler) Enabled(_ context.Context, level slog.Level) bool { return level >= h.level.Level() }

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *h
	with.attrs = with.attrs[:len(with.attrs):len(with.attrs)]
	for _, a := range attrs {
		with.attrs = wire.AppendAttr(with.attrs, h.group, a)
	}
	return &with
}

func (h *handler) WithGroup(name string) slog.Handler {
	with := *h
	if name != "" {
		with.group += name + "."
	}
	return &with
}

func (h *handler) Handle(_ context.Context, r slog.Record) error {
	attrs := h.attrs[:len(h.attrs):len(h.attrs)]
	r.Attrs(func(a slog.Attr) bool {
		attrs = wire.AppendAttr(attrs, h.group, a)
		return true
	})
	line, err := wire.Record{Time: r.Time, Level: int(r.Level), Message: r.Message, Attrs: attrs}.Line()
	if err == nil && len(line) > maxLine {
		text := r.Message[:min(len(r.Message), maxText)]
		line, err = wire.Record{Time: r.Time, Level: int(r.Level), Message: text + " (more was said than fits)"}.Line()
	}
	if err != nil {
		return err
	}
	writing.Lock()
	defer writing.Unlock()
	_, err = h.out.Write(line)
	return err
}
