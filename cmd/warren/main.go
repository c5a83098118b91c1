// Command warren is a BGP-speaking routing agent over point-to-point tunnels.
//
// main only wires: each subcommand has a file of its own, and everything that
// the daemon does is in internal/agent.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"warren/internal/config"
)

// version is set by the linker (see the Makefile).
var version = "unknown"

const defaultConfig = "/etc/warren/warren.toml"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := root().ExecuteContext(ctx); err != nil {
		report(err)
		os.Exit(1)
	}
}

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "warren",
		Short: "BGP-speaking routing agent over point-to-point tunnels",
		Long: "Warren keeps an encrypted point-to-point tunnel to each peer, speaks BGP inside it,\n" +
			"and keeps the kernel's routes in step with what the peers announce.",
		// Errors are printed by report, once; usage only when asked for.
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	cmd.CompletionOptions.HiddenDefaultCmd = true
	cmd.AddCommand(runCmd(), checkCmd(), keygenCmd(), statusCmd(), reloadCmd(), versionCmd())
	return cmd
}

// configFlag adds the -c that run, check, status and reload share.
func configFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVarP(file, "config", "c", defaultConfig, "the router's config `file`; peers.d is beside it")
}

// report prints an error for a person. A config's mistakes are a line each,
// in the form that editors and grep understand.
func report(err error) {
	var mistakes config.Errors
	if errors.As(err, &mistakes) {
		for _, m := range mistakes {
			fmt.Fprintln(os.Stderr, m.Error())
		}
		return
	}
	fmt.Fprintln(os.Stderr, "warren:", err)
}
