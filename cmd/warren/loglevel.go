package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"warren/internal/config"
	"warren/internal/status"
)

func logLevelCmd() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "log-level debug|info|warn|error [-c FILE]",
		Short: "change from which level on the daemon logs, until its next reload or start",
		Long: "log-level has the running daemon log from this level on. The next reload or start\n" +
			"goes back to what [log] level says. SIGUSR1 changes to debug, and back.",
		Args:      cobra.MatchAll(cobra.ExactArgs(1), knownLevel),
		ValidArgs: []string{"debug", "info", "warn", "error"},
		RunE: func(cmd *cobra.Command, args []string) error {
			socket, err := socketOf(cmd.Context(), cmd.ErrOrStderr(), file)
			if err != nil {
				return err
			}
			return status.SetLogLevel(cmd.Context(), socket, args[0])
		},
	}
	configFlag(cmd, &file)
	return cmd
}

func knownLevel(_ *cobra.Command, args []string) error {
	if _, err := config.ParseLevel(args[0]); err != nil {
		return fmt.Errorf("%q %w", args[0], err)
	}
	return nil
}
