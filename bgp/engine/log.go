package engine

import (
	"context"
	"log/slog"
	"net/netip"
)

// gobgpLogger is the logger that GoBGP gets. Below Info it is off: GoBGP
// formats some of its debug lines per path even when they are dropped.
func (s *Speaker) gobgpLogger() *slog.Logger { return slog.New(&logHandler{speaker: s}) }

// A logHandler turns GoBGP's records into this package's. Its notices of
// routine are dropped, warnings and errors are passed on under the peer's
// name; records of a NOTIFICATION also say why a session failed, which GoBGP
// reports nowhere else for connections that it made.
type logHandler struct {
	speaker *Speaker
	key     string // GoBGP's name for the neighbor, if any
}

func (h *logHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelInfo
}

func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *h
	for _, a := range attrs {
		if a.Key == "Key" {
			with.key = a.Value.String()
		}
	}
	return &with
}

func (h *logHandler) WithGroup(string) slog.Handler { return h }

func (h *logHandler) Handle(ctx context.Context, r slog.Record) error {
	key, code, subcode := h.key, -1, -1
	var rest []slog.Attr
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "Key":
			key = a.Value.String()
		case "Code":
			code = int(a.Value.Int64())
		case "Subcode":
			subcode = int(a.Value.Int64())
		case "Topic", "State":
		case "Error", "err", "Err":
			rest = append(rest, slog.Any("err", a.Value.Any()))
		default:
			rest = append(rest, a)
		}
		return true
	})
	addr, _ := netip.ParseAddr(key)
	if code >= 0 {
		h.speaker.onNotification(addr, r.Message == "sent notification", code, subcode)
	}
	if r.Level < slog.LevelWarn || routine[r.Message] {
		return nil
	}
	out := slog.NewRecord(r.Time, r.Level, "gobgp: "+r.Message, r.PC)
	if name := h.speaker.nameOf(addr); name != "" {
		out.AddAttrs(slog.String("peer", name))
	} else if key != "" {
		out.AddAttrs(slog.String("peer_address", key))
	}
	out.AddAttrs(rest...)
	if !h.speaker.log.Enabled(ctx, r.Level) {
		return nil
	}
	return h.speaker.log.Handler().Handle(ctx, out)
}

// routine lists what GoBGP warns of in the normal course of two ends that dial
// each other, and what is told in better words as a neighbor's problem.
var routine = map[string]bool{
	"Closed an accepted connection":                   true,
	"accepted conn is closed to avoid be blocked":     true,
	"hold timer expired":                              true,
	"failed to send keepalive on outgoing connection": true,
	"failed to send":                                  true,
	"failed to resolve local address":                 true,
	"Failed to get TCPAddr from RemoteAddr":           true,
}

// nameOf is the name of the neighbor at addr, or "".
func (s *Speaker) nameOf(addr netip.Addr) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.byAddr[addr.Unmap().WithZone("")]; n != nil {
		return n.Name
	}
	return ""
}
