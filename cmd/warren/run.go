package main

import (
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"warren/internal/agent"
)

func runCmd() *cobra.Command {
	var file string
	var debug bool
	cmd := &cobra.Command{
		Use:   "run [-c FILE]",
		Short: "run the daemon",
		Long: "run keeps a tunnel and a BGP session to every peer until it is told to stop.\n" +
			"SIGHUP reloads the config, SIGTERM stops cleanly. It logs to standard error.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log := logger(debug)
			a, err := agent.New(file, version, log)
			if err != nil {
				return err
			}
			return a.Run(cmd.Context())
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().BoolVar(&debug, "debug", false, "log more")
	return cmd
}

// logger writes lines of key=value to standard error. Under systemd, the
// journal has the time of each line already.
func logger(debug bool) *slog.Logger {
	opts := &slog.HandlerOptions{Level: slog.LevelInfo}
	if debug {
		opts.Level = slog.LevelDebug
	}
	if os.Getenv("JOURNAL_STREAM") != "" {
		opts.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}
	}
	return slog.New(slog.NewTextHandler(os.Stderr, opts))
}
