package main

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"warren/internal/agent"
	"warren/internal/config"
	"warren/internal/remains"
)

func cleanupCmd() *cobra.Command {
	var file string
	var wait bool
	cmd := &cobra.Command{
		Use:   "cleanup [-c FILE] [--wait]",
		Short: "remove what a daemon has left that was killed, if none was started again in time",
		Long: "cleanup removes routes and interfaces that a daemon has left in the kernel that was killed, if no daemon\n" +
			"has run for [bgp] restart_time, counted from the first call after its end; with --wait it waits for\n" +
			"that. A daemon that starts does so by itself: this is for where none can be started. The unit\n" +
			"warren.service calls it whenever the daemon has ended. While a daemon runs it does nothing. The\n" +
			"config file may be broken.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			socket, err := config.Socket(file)
			if err != nil {
				fmt.Fprintf(cmd.ErrOrStderr(), "warning: %v\nwarning: what is left is looked for at %s\n", err, config.DefaultSocket)
				socket = config.DefaultSocket
			}
			log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
			remove := func(l remains.Left) error { return agent.RemoveRemains(cmd.Context(), log, l) }
			var r remains.Result
			if wait {
				r, err = remains.Wait(cmd.Context(), socket, remove)
			} else {
				r, err = remains.Clear(socket, remove)
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), remainsText(r))
			return err
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until it is time to, or a daemon runs")
	return cmd
}

// remainsText says what has become of what was left.
func remainsText(r remains.Result) string {
	switch {
	case r.Runs:
		return "a daemon runs: nothing was removed"
	case r.Left == nil:
		return "nothing was left"
	case r.Stays > 0:
		return fmt.Sprintf("what the daemon has left stays for another %v, in which it may be started again", r.Stays.Round(time.Second))
	}
	return "what the daemon had left was removed"
}
