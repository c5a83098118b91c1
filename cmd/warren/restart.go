package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"warren/internal/status"
)

func restartCmd() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "restart [-c FILE]",
		Short: "have the daemon replace itself by the program on disk; tunnels and routes stay",
		Long: "restart has the running daemon replace itself by the program that is on disk now, as after an\n" +
			"upgrade, in the same process. Interfaces and the kernel's routes stay, and tunnels are up again\n" +
			"at once. It returns when the new one is ready. Where that would not take over, or the config\n" +
			"has mistakes, the old one goes on, and restart says why and ends with 1.",
		Args: cobra.NoArgs,
		RunE: atDaemon(&file, func(cmd *cobra.Command, socket string) error {
			result, err := status.Restart(cmd.Context(), socket)
			if err == nil {
				err = refused(cmd, result.Errors, "the daemon goes on as it was")
			}
			if err == nil {
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "warren %s runs\n", result.Version)
			}
			return err
		}),
	}
	configFlag(cmd, &file)
	return cmd
}
