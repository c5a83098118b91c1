package logging

import (
	"bytes"
	"context"
	"log/slog"
)

// handler turns records into lines for a Log's queue. What With and WithGroup
// added is applied to each record, in its turn, by the handler of package slog
// that the format asks for at that moment: the format may change at any time,
// and loggers that were made before change with it.
type handler struct {
	log  *Log
	with []func(slog.Handler) slog.Handler
}

func (h *handler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.log.level.Level()
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return h.and(func(s slog.Handler) slog.Handler { return s.WithAttrs(attrs) })
}

func (h *handler) WithGroup(name string) slog.Handler {
	return h.and(func(s slog.Handler) slog.Handler { return s.WithGroup(name) })
}

func (h *handler) and(f func(slog.Handler) slog.Handler) *handler {
	return &handler{h.log, append(h.with[:len(h.with):len(h.with)], f)}
}

func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	text, err := h.line(ctx, r)
	if err != nil {
		return err
	}
	h.log.queue.put(text)
	return nil
}

// line formats a record. The line break is the last byte, and the only one.
func (h *handler) line(ctx context.Context, r slog.Record) ([]byte, error) {
	var b bytes.Buffer
	if h.log.journal {
		b.WriteString(priority(r.Level))
	}
	s := h.log.format(&b)
	for _, f := range h.with {
		s = f(s)
	}
	err := s.Handle(ctx, r)
	return b.Bytes(), err
}

// priority is what sd-daemon(3) has before a line for the level.
func priority(l slog.Level) string {
	switch {
	case l >= slog.LevelError:
		return "<3>"
	case l >= slog.LevelWarn:
		return "<4>"
	case l >= slog.LevelInfo:
		return "<6>"
	default:
		return "<7>"
	}
}
