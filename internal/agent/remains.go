package agent

import (
	"context"
	"errors"
	"log/slog"

	"warren/internal/config"
	"warren/internal/fib"
	"warren/internal/link"
	"warren/internal/remains"
	"warren/internal/underlay"
)

// noteRemains notes what would be left if this daemon were killed.
func (a *Agent) noteRemains(cfg *config.Config) {
	err := remains.Note(cfg.API.Socket, remains.Left{
		Config: cfg.Path, Table: cfg.FIB.Table, Metric: cfg.FIB.Metric, Protocol: cfg.FIB.Protocol,
		KeepUnreachable: cfg.FIB.KeepUnreachable, Within: cfg.BGP.RestartTime,
	})
	if err != nil {
		a.log.Warn("if this daemon is killed, and none started again, its routes stay", "err", err)
	}
}

// RemoveRemains removes what a daemon has left in the kernel that was killed.
func RemoveRemains(ctx context.Context, log *slog.Logger, l remains.Left) error {
	f, err := fib.New(fib.Config{Table: l.Table, Metric: l.Metric, Protocol: l.Protocol, Logger: log})
	if err != nil {
		return err
	}
	var keep []fib.Change
	if l.KeepUnreachable {
		keep, err = f.Unreachable(ctx)
	}
	if err == nil {
		err = f.Cleanup(ctx, keep...)
	}
	err = errors.Join(err, f.Close())
	_, failed := link.RemoveStale(isOurs)
	err = errors.Join(err, failed)
	guard, failed := underlay.New(underlay.Config{FIBTable: l.Table, FIBProtocol: l.Protocol, Logger: log})
	if failed == nil {
		failed = guard.RemoveLeft()
	}
	err = errors.Join(err, failed)
	_, failed = kernelWireGuards().removeAll(kernelSuffix(l.Config), nil)
	return errors.Join(err, failed)
}
