package engine

import (
	"log/slog"
	"net/netip"

	"warren/bgp"
)

// refused tells an operator who looks why a prefix is not there. That one was
// refused which a filter did match is said aloud, once in a connection.
func (n *neighbor) refused(log *slog.Logger, p netip.Prefix, reason Reason) {
	level := slog.LevelDebug
	if reason.Kind == bgp.ReasonInside && !n.toldInside.Swap(true) {
		level = slog.LevelWarn
	}
	if log.Enabled(n.ctx, level) {
		log.Log(n.ctx, level, "prefix refused", slog.String("peer", n.Name), slog.Any("prefix", p), slog.String("reason", reason.String()))
	}
}
