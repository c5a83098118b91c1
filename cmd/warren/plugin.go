package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"warren/internal/history"
	"warren/internal/status"
)

// pluginTimeout bounds what `status --plugin` and `--check` wait for the daemon: what runs them gives up after some time,
// and says less. Tests change it.
var pluginTimeout = 10 * time.Second

// pluginFlags are those of `status --plugin`.
type pluginFlags struct {
	on                bool
	warning, critical string
}

func (f *pluginFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.on, "plugin", false, "say how it is in a line, and end as plugins of Nagios and Icinga do")
	cmd.Flags().StringVar(&f.warning, "warning", "", "with --plugin: what to warn of, as `list` FIGURE=RANGE,FIGURE=RANGE")
	cmd.Flags().StringVar(&f.critical, "critical", "", "with --plugin: what is critical, as `list` FIGURE=RANGE,FIGURE=RANGE")
	for _, other := range []string{"json", "watch", "routes"} {
		cmd.MarkFlagsMutuallyExclusive("plugin", other)
	}
	cmd.PreRunE = func(*cobra.Command, []string) error {
		if !f.on && f.warning+f.critical != "" {
			return errors.New("--warning and --critical go with --plugin only")
		}
		return nil
	}
}

// pluginHelp is what the help of status says of it.
const pluginHelp = "With --plugin print one line, with performance data, and end as Nagios and Icinga want it: 0 OK, 1 WARNING,\n" +
	"2 CRITICAL (also if no daemon answers), 3 UNKNOWN. That a peer has no session is critical, anything else that is\n" +
	"down a warning. --warning and --critical change that and add to it: FIGURE=RANGE, several with commas between.\n" +
	"Figures: peers (how many have no session), down (how many things are down), rtt (ms, of each tunnel), loss (%, of\n" +
	"a tunnel over `auto` while WireGuard carries it), prefixes (accepted from each peer), flaps (how often each peer's\n" +
	"sessions ended in the last hour). Ranges: 100 alerts above 100, 10: below 10, 10:20 outside, @10:20 inside."

// run prints the line.
func (f *pluginFlags) run(cmd *cobra.Command, file, peer string) error {
	ctx, cancel := context.WithTimeout(cmd.Context(), pluginTimeout)
	defer cancel()
	level, line, err := f.judge(ctx, file, peer)
	if err != nil {
		level = levelOf(err)
		line = status.PluginLine(level, err.Error())
	}
	if _, err := fmt.Fprintln(cmd.OutOrStdout(), line); err != nil {
		return exitError{err, int(status.LevelUnknown)}
	}
	if level == status.LevelOK {
		return nil
	}
	return exitError{reported{errors.New(line)}, int(level)}
}

func (f *pluginFlags) judge(ctx context.Context, file, peer string) (status.Level, string, error) {
	thresholds, err := status.ParseThresholds(f.warning, f.critical)
	if err != nil {
		return 0, "", err
	}
	socket, err := socketOf(ctx, io.Discard, file) // what runs it takes one line
	if err != nil {
		return 0, "", err
	}
	s, err := status.Get(ctx, socket)
	if err != nil {
		return 0, "", err
	}
	if _, ok := s.Peer(peer); peer != "" && !ok {
		return 0, "", noPeer(s, peer)
	}
	var events []history.Event
	err = status.GetHistory(ctx, socket, status.HistoryQuery{Peer: peer, Since: time.Now().Add(-status.FlapsWithin)}, func(e history.Event) error {
		events = append(events, e)
		return nil
	})
	if err != nil {
		return 0, "", err
	}
	level, line := status.Plugin(s, peer, events, thresholds)
	return level, line, nil
}

// levelOf tells a daemon that does not answer from a plugin that cannot ask it, or is asked wrongly.
func levelOf(err error) status.Level {
	for _, away := range []error{status.ErrNotRunning, context.DeadlineExceeded, io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET} {
		if errors.Is(err, away) {
			return status.LevelCritical
		}
	}
	return status.LevelUnknown
}
